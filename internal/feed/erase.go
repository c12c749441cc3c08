package feed

import (
	"context"
	_ "embed"
	"strings"

	"github.com/redis/go-redis/v9"

	"chatd/internal/chat"
)

// searched is how many entries are looked at in one round trip.
const searched = 1000

//go:embed erase.lua
var eraseSource string

var eraseScript = redis.NewScript(eraseSource)

// Erase takes a person's name out of all that every room keeps. What they said stays,
// with the empty name. It looks at all keys, and may be done again after an error.
func (f *Feed) Erase(ctx context.Context, user string) error {
	is := strings.TrimSuffix(string(chat.Encode(struct {
		From string `json:"from"`
	}{user})), "}")
	is = strings.TrimPrefix(is, "{")
	const becomes = `"from":""`
	keys := f.rdb.Scan(ctx, 0, feedKey("*"), searched).Iterator()
	for keys.Next(ctx) {
		has, err := f.has(ctx, keys.Val(), is)
		if err != nil {
			return err
		}
		if !has {
			continue
		}
		anew := strings.TrimSuffix(keys.Val(), "feed") + "feed-anew"
		if err := eraseScript.Run(ctx, f.rdb, []string{keys.Val(), anew}, is, becomes).Err(); err != nil {
			return chat.Unavailable("erase name", err)
		}
	}
	if err := keys.Err(); err != nil {
		return chat.Unavailable("look for feeds", err)
	}
	return nil
}

// has says whether any event of a feed has this in its JSON.
func (f *Feed) has(ctx context.Context, key, part string) (bool, error) {
	from := "-"
	for {
		entries, err := f.rdb.XRangeN(ctx, key, from, "+", searched).Result()
		if err != nil {
			return false, chat.Unavailable("look for name", err)
		}
		for _, entry := range entries {
			if json, _ := entry.Values["e"].(string); strings.Contains(json, part) {
				return true, nil
			}
		}
		if len(entries) < searched {
			return false, nil
		}
		from = "(" + entries[len(entries)-1].ID
	}
}
