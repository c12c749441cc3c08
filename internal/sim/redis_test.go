package sim

import (
	"cmp"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/parse"
)

// redisError is an error that Redis itself answered with.
type redisError string

func (e redisError) Error() string { return string(e) }
func (redisError) RedisError()     {}

// status is a simple string of the protocol, such as OK.
type status string

// A store is what a Redis keeps: the few types and commands that a feed uses,
// answered as the real one does (TestStoreAnswersAsRedis).
type store struct {
	streams map[string]*stream
	strings map[string]text
	hashes  map[string][][2]string // small hashes keep the order of insertion
	nodes   int                    // events that "MAXLEN ~" lets go at once
}

type stream struct {
	entries []entry // never changed in place, so a clone may share them
	last    streamID
}

type entry struct {
	id     streamID
	fields []string
}

type streamID struct{ ms, seq uint64 }

type text struct {
	value   string
	expires time.Time // zero: never
}

func newStore(nodes int) *store {
	return &store{streams: map[string]*stream{}, strings: map[string]text{}, hashes: map[string][][2]string{}, nodes: nodes}
}

// clone returns what a backup or a replica has.
func (s *store) clone() *store {
	c := newStore(s.nodes)
	for k, v := range s.streams {
		c.streams[k] = &stream{slices.Clone(v.entries), v.last}
	}
	for k, v := range s.strings {
		c.strings[k] = v
	}
	for k, v := range s.hashes {
		c.hashes[k] = slices.Clone(v)
	}
	return c
}

// effects are what a command needs and does outside the data.
type effects struct {
	now     time.Time
	publish func(channel, payload string)
	full    bool // XADD fails
}

// do carries out one command. The reply is nil, a string, a status, an int64 or
// a []any of these.
func (s *store) do(fx effects, args []string) (any, error) {
	switch name := strings.ToUpper(args[0]); name {
	case "GET":
		t, ok := s.strings[args[1]]
		if !ok || !t.expires.IsZero() && !t.expires.After(fx.now) {
			return nil, nil
		}
		return t.value, nil
	case "SET":
		t := text{value: args[2]}
		if len(args) == 5 && args[3] == "EX" {
			secs, err := strconv.Atoi(args[4])
			if err != nil {
				return nil, redisError("ERR value is not an integer or out of range")
			}
			t.expires = fx.now.Add(time.Duration(secs) * time.Second)
		}
		s.strings[args[1]] = t
		return status("OK"), nil
	case "EXISTS":
		t, isText := s.strings[args[1]]
		if s.streams[args[1]] != nil || s.hashes[args[1]] != nil || isText && (t.expires.IsZero() || t.expires.After(fx.now)) {
			return int64(1), nil
		}
		return int64(0), nil
	case "XADD":
		return s.xadd(fx, args)
	case "XRANGE", "XREVRANGE":
		return s.xrange(args, name == "XREVRANGE")
	case "XDEL":
		st, n := s.streams[args[1]], int64(0)
		for _, arg := range args[2:] {
			id, err := parseID(arg, 0)
			if err != nil {
				return nil, err
			}
			if st == nil {
				continue
			}
			if i, found := st.find(id); found {
				st.entries = slices.Delete(st.entries, i, i+1)
				n++
			}
		}
		return n, nil
	case "XINFO":
		st := s.streams[args[2]]
		if st == nil {
			return nil, redisError("ERR no such key")
		}
		return []any{"length", int64(len(st.entries)), "last-generated-id", st.last.String()}, nil
	case "HGET":
		if i := s.field(args[1], args[2]); i >= 0 {
			return s.hashes[args[1]][i][1], nil
		}
		return nil, nil
	case "HMGET":
		values := make([]any, 0, len(args)-2)
		for _, field := range args[2:] {
			if i := s.field(args[1], field); i >= 0 {
				values = append(values, s.hashes[args[1]][i][1])
			} else {
				values = append(values, nil)
			}
		}
		return values, nil
	case "HSET":
		if i := s.field(args[1], args[2]); i >= 0 {
			s.hashes[args[1]][i][1] = args[3]
			return int64(0), nil
		}
		s.hashes[args[1]] = append(s.hashes[args[1]], [2]string{args[2], args[3]})
		return int64(1), nil
	case "HDEL":
		i := s.field(args[1], args[2])
		if i < 0 {
			return int64(0), nil
		}
		if h := slices.Delete(s.hashes[args[1]], i, i+1); len(h) > 0 {
			s.hashes[args[1]] = h
		} else {
			delete(s.hashes, args[1])
		}
		return int64(1), nil
	case "HKEYS", "HGETALL":
		all := []any{}
		for _, f := range s.hashes[args[1]] {
			all = append(all, f[0])
			if name == "HGETALL" {
				all = append(all, f[1])
			}
		}
		return all, nil
	case "TIME":
		us := fx.now.UnixMicro()
		return []any{strconv.FormatInt(us/1e6, 10), strconv.FormatInt(us%1e6, 10)}, nil
	case "PUBLISH":
		fx.publish(args[1], args[2])
		return int64(0), nil
	default:
		return nil, redisError("ERR unknown command '" + args[0] + "'")
	}
}

func (s *store) field(key, field string) int {
	return slices.IndexFunc(s.hashes[key], func(f [2]string) bool { return f[0] == field })
}

func (s *store) xadd(fx effects, args []string) (any, error) {
	if fx.full {
		return nil, redisError("OOM command not allowed when used memory > 'maxmemory'.")
	}
	rest, limit := args[2:], -1
	if rest[0] == "MAXLEN" {
		limit, _ = strconv.Atoi(rest[2])
		rest = rest[3:]
	}
	id, err := parseID(rest[0], 0)
	if err != nil {
		return nil, err
	}
	st := s.streams[args[1]]
	if st == nil {
		st = &stream{}
	}
	if id.compare(st.last) <= 0 {
		return nil, redisError("ERR The ID specified in XADD is equal or smaller than the target stream top item")
	}
	s.streams[args[1]] = st
	st.entries = append(st.entries, entry{id, slices.Clone(rest[1:])})
	st.last = id
	for limit >= 0 && len(st.entries)-s.nodes >= limit {
		st.entries = slices.Clone(st.entries[s.nodes:])
	}
	return id.String(), nil
}

func (s *store) xrange(args []string, reverse bool) (any, error) {
	from, to := args[2], args[3]
	if reverse {
		from, to = to, from
	}
	limit := 1 << 30
	lo, err := parseEnd(from, 0)
	if err != nil {
		return nil, err
	}
	hi, err := parseEnd(to, 1<<64-1)
	if err != nil {
		return nil, err
	}
	if len(args) == 6 {
		limit, _ = strconv.Atoi(args[5])
	}
	found := []any{}
	if st := s.streams[args[1]]; st != nil {
		a, _ := st.find(lo)
		b, last := st.find(hi)
		if last {
			b++
		}
		for n := range max(b-a, 0) {
			i := a + n
			if reverse {
				i = b - 1 - n
			}
			if len(found) == limit {
				break
			}
			fields := make([]any, len(st.entries[i].fields))
			for j, f := range st.entries[i].fields {
				fields[j] = f
			}
			found = append(found, []any{st.entries[i].id.String(), fields})
		}
	}
	return found, nil
}

func (st *stream) find(id streamID) (int, bool) {
	return slices.BinarySearchFunc(st.entries, id, func(e entry, id streamID) int { return e.id.compare(id) })
}

func (id streamID) compare(other streamID) int {
	return cmp.Or(cmp.Compare(id.ms, other.ms), cmp.Compare(id.seq, other.seq))
}

func (id streamID) String() string {
	return strconv.FormatUint(id.ms, 10) + "-" + strconv.FormatUint(id.seq, 10)
}

func parseEnd(s string, seq uint64) (streamID, error) {
	switch s {
	case "-":
		return streamID{}, nil
	case "+":
		return streamID{1<<64 - 1, 1<<64 - 1}, nil
	}
	return parseID(s, seq)
}

func parseID(s string, seq uint64) (id streamID, err error) {
	ms, rest, ok := strings.Cut(s, "-")
	id.seq = seq
	id.ms, err = strconv.ParseUint(ms, 10, 64)
	if ok && err == nil {
		id.seq, err = strconv.ParseUint(rest, 10, 64)
	}
	if err != nil {
		err = redisError("ERR Invalid stream ID specified as stream command argument")
	}
	return id, err
}

// A machine runs scripts, one at a time. It lives longer than a run.
type machine struct {
	l        *lua.LState
	compiled map[string]*lua.FunctionProto
	call     func(args []string) (any, error)
	rewrite  func(src string) string // makes a mistake in a script; nil for none
}

func newMachine() *machine {
	m := &machine{l: lua.NewState(), compiled: map[string]*lua.FunctionProto{}}
	api := m.l.NewTable()
	api.RawSetString("call", m.l.NewFunction(func(l *lua.LState) int {
		args := make([]string, l.GetTop())
		for i := range args {
			args[i] = l.CheckString(i + 1)
		}
		reply, err := m.call(args)
		if err != nil {
			l.RaiseError("%s", err.Error())
		}
		l.Push(toLua(l, reply))
		return 1
	}))
	m.l.SetGlobal("redis", api)
	cjson := m.l.NewTable()
	cjson.RawSetString("decode", m.l.NewFunction(func(l *lua.LState) int {
		var v map[string]any
		if err := json.Unmarshal([]byte(l.CheckString(1)), &v); err != nil {
			l.RaiseError("%s", err.Error())
		}
		t := l.NewTable()
		for k, v := range v {
			switch v := v.(type) {
			case string:
				t.RawSetString(k, lua.LString(v))
			case float64:
				t.RawSetString(k, lua.LNumber(v))
			}
		}
		l.Push(t)
		return 1
	}))
	m.l.SetGlobal("cjson", cjson)
	return m
}

// run runs a script on a store. As with the real one, what it did before an
// error stays done.
func (m *machine) run(s *store, fx effects, src string, keys, args []string) (any, error) {
	proto := m.compiled[src]
	if proto == nil {
		chunk, err := parse.Parse(strings.NewReader(src), "script")
		if err == nil {
			proto, err = lua.Compile(chunk, "script")
		}
		if err != nil {
			return nil, redisError("ERR Error compiling script: " + err.Error())
		}
		m.compiled[src] = proto
	}
	m.call = func(args []string) (any, error) { return s.do(fx, args) }
	m.l.SetGlobal("KEYS", toLua(m.l, list(keys)))
	m.l.SetGlobal("ARGV", toLua(m.l, list(args)))
	m.l.Push(m.l.NewFunctionFromProto(proto))
	if err := m.l.PCall(0, 1, nil); err != nil {
		msg, _, _ := strings.Cut(err.Error(), "\n")
		return nil, redisError("ERR " + msg)
	}
	defer m.l.SetTop(0)
	return fromLua(m.l.Get(-1)), nil
}

func list(in []string) []any {
	out := make([]any, len(in))
	for i, s := range in {
		out[i] = s
	}
	return out
}

func toLua(l *lua.LState, v any) lua.LValue {
	switch v := v.(type) {
	case string:
		return lua.LString(v)
	case int64:
		return lua.LNumber(v)
	case status:
		t := l.NewTable()
		t.RawSetString("ok", lua.LString(v))
		return t
	case []any:
		t := l.CreateTable(len(v), 0)
		for _, x := range v {
			t.Append(toLua(l, x))
		}
		return t
	default:
		return lua.LFalse
	}
}

func fromLua(v lua.LValue) any {
	switch v := v.(type) {
	case lua.LString:
		return string(v)
	case lua.LNumber:
		return int64(v)
	case *lua.LTable:
		out := []any{}
		for i := 1; v.RawGetInt(i) != lua.LNil; i++ {
			out = append(out, fromLua(v.RawGetInt(i)))
		}
		return out
	default:
		return nil
	}
}

func sha(src string) string {
	sum := sha1.Sum([]byte(src))
	return hex.EncodeToString(sum[:])
}

// newRedisClient returns a client of the product's library whose commands never
// reach a network: answer carries each of them out. A pipeline is an error: no
// part of the feed uses one.
func newRedisClient(answer func(ctx context.Context, args []string) (any, error)) *redis.Client {
	c := redis.NewClient(&redis.Options{MaxRetries: -1, Dialer: func(context.Context, string, string) (net.Conn, error) {
		return nil, fmt.Errorf("the simulation has no network")
	}})
	c.AddHook(hook(answer))
	return c
}

type hook func(ctx context.Context, args []string) (any, error)

func (hook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (hook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h hook) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		args := make([]string, len(cmd.Args()))
		for i, arg := range cmd.Args() {
			switch arg := arg.(type) {
			case string:
				args[i] = arg
			case []byte:
				args[i] = string(arg)
			default:
				args[i] = fmt.Sprint(arg)
			}
		}
		reply, err := h(ctx, args)
		if err == nil {
			err = set(cmd, reply)
		}
		if err != nil {
			cmd.SetErr(err)
		}
		return err
	}
}

// set gives a command its reply in the library's own types.
func set(cmd redis.Cmder, reply any) error {
	switch cmd := cmd.(type) {
	case *redis.Cmd:
		if reply == nil {
			return redis.Nil
		}
		cmd.SetVal(reply)
	case *redis.StringCmd:
		if reply == nil {
			return redis.Nil
		}
		cmd.SetVal(reply.(string))
	case *redis.XMessageSliceCmd:
		entries := reply.([]any)
		messages := make([]redis.XMessage, len(entries))
		for i, e := range entries {
			pair := e.([]any)
			fields := pair[1].([]any)
			values := make(map[string]any, len(fields)/2)
			for j := 0; j < len(fields); j += 2 {
				values[fields[j].(string)] = fields[j+1]
			}
			messages[i] = redis.XMessage{ID: pair[0].(string), Values: values}
		}
		cmd.SetVal(messages)
	case *redis.MapStringStringCmd:
		fields := reply.([]any)
		values := make(map[string]string, len(fields)/2)
		for j := 0; j < len(fields); j += 2 {
			values[fields[j].(string)] = fields[j+1].(string)
		}
		cmd.SetVal(values)
	default:
		return fmt.Errorf("the simulation does not know %T", cmd)
	}
	return nil
}

// serve carries out a command from outside. scripts are those that the server
// knows by their hash.
func (m *machine) serve(s *store, fx effects, scripts map[string]string, args []string) (any, error) {
	switch strings.ToUpper(args[0]) {
	case "EVAL":
		scripts[sha(args[1])] = args[1]
		args[1] = sha(args[1])
		fallthrough
	case "EVALSHA":
		src, ok := scripts[args[1]]
		if !ok {
			return nil, redisError("NOSCRIPT No matching script. Please use EVAL.")
		}
		if m.rewrite != nil {
			src = m.rewrite(src)
		}
		keys, err := strconv.Atoi(args[2])
		if err != nil {
			return nil, redisError("ERR value is not an integer or out of range")
		}
		return m.run(s, fx, src, args[3:3+keys], args[3+keys:])
	default:
		return s.do(fx, args)
	}
}
