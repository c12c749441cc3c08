package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// profile takes a profile of the processor time of the first server for so long, and,
// when the function that it returns is called, which waits for that, of its memory. It
// does nothing for systems that tell nothing of themselves, or if nobody asked for it.
func (b *bench) profile(ctx context.Context, s *system, load string, d time.Duration) (wait func() error) {
	if b.Profile == "" || len(s.admins) == 0 {
		return func() error { return nil }
	}
	base := filepath.Join(b.Profile, strings.ReplaceAll(strings.ReplaceAll(load, ",", ""), " ", "-"))
	url := "http://" + s.admins[0] + "/debug/pprof/"
	done := make(chan error, 1)
	go func() {
		done <- save(ctx, base+".cpu", fmt.Sprintf("%sprofile?seconds=%d", url, max(1, int(d.Seconds()))))
	}()
	return func() error {
		return errors.Join(<-done, save(ctx, base+".metrics", "http://"+s.admins[0]+"/metrics"), save(ctx, base+".allocs", url+"allocs"), save(ctx, base+".heap", url+"heap?gc=1"))
	}
}

// save writes what url answers to a file.
func save(ctx context.Context, file, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, resp.Body)
	return errors.Join(err, f.Close())
}
