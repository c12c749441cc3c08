//go:build integration

package integration_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"chatd/internal/cluster"
)

// TestFront attacks the front door of one system, as docs/security.md tells. Its parts
// run one after the other: some take much of what there is.
func TestFront(t *testing.T) {
	t.Setenv("CONNS_PER_ADDRESS", fmt.Sprint(connsPerAddress))
	c := startCluster(t, 2, "CHATD_LOG_FORMAT=json", "CHATD_LOG_LEVEL=debug", "CHATD_SOCKETS_PER_USER=20", "CHATD_SEND_RATE=1000")
	followed := watchLinks(t, c)
	for _, part := range []part{
		{"BrokenFrames", testBrokenFrames},
		{"FloodsOfFrames", testFloodsOfFrames},
		{"Smuggling", testSmuggling},
		{"IdleAndSlowConnections", testIdleAndSlow},
		{"ConnectionsOfOneAddress", testConnectionsOfOneAddress},
		{"SocketsOfOnePerson", testSocketsOfOnePerson},
		{"ForgedAddresses", testForgedAddresses},
		{"RightsInRedis", testRightsInRedis},
		{"Redirects", testRedirects},
		{"NamesLikeAnOwners", testNamesLikeAnOwners},
		{"BehindTLS", testBehindTLS},
		{"LogsTellNothing", testLogs}, // what all the others left there too
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, c) })
	}
	if n := followed.Load(); n > 0 {
		t.Errorf("somebody went where links in messages lead, %d times", n)
	}
}

// watchLinks sends links to a server of the test's, and counts who comes there.
func watchLinks(t *testing.T, c *cluster.Cluster) *atomic.Int32 {
	t.Helper()
	var came atomic.Int32
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { came.Add(1) }))
	t.Cleanup(target.Close)
	port := target.URL[strings.LastIndex(target.URL, ":"):]
	w := guest(t, c.URL(), "wl-mallory").connect(t)
	w.ok("join", fields{"room": "wl-room"})
	for n, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0x7f000001", "2130706433", "127.1"} {
		link := "http://" + host + port + "/latest/meta-data/"
		w.ok("send", fields{"room": "wl-room", "key": fmt.Sprint("k", n), "text": "look: " + link + " ![x](" + link + ") [x](" + link + ")"})
		w.ok("topic", fields{"room": "wl-room", "text": link})
	}
	return &came
}

// rawSocket is a WebSocket of which each byte is the test's own.
type rawSocket struct {
	net.Conn
	in *bufio.Reader
	t  *testing.T
}

func dialRaw(t *testing.T, addr string) *rawSocket {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return &rawSocket{conn, bufio.NewReader(conn), t}
}

// handshake is p's, with further header lines.
func (p *person) handshake(more ...string) string {
	return fmt.Sprintf("GET /ws HTTP/1.1\r\nHost: %s\r\nOrigin: %s\r\nCookie: jsessionid=%s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chatd.v1\r\n%s\r\n",
		p.base.Host, p.origin().Get("Origin"), p.cookie(), strings.Join(more, ""))
}

func openRaw(t *testing.T, p *person, more ...string) (*rawSocket, *http.Response) {
	t.Helper()
	s := dialRaw(t, p.base.Host)
	if _, err := io.WriteString(s, p.handshake(more...)); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(s.in, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("handshake: %v, %v", resp, err)
	}
	return s, resp
}

// frame is one frame: first is its first byte, declared its length as it is told, where
// that differs from what it has.
func frame(first byte, masked bool, declared uint64, payload []byte) []byte {
	mask := byte(0)
	if masked {
		mask = 0x80
	}
	b := []byte{first}
	switch {
	case declared < 126:
		b = append(b, mask|byte(declared))
	case declared < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, mask|126), uint16(declared))
	default:
		b = binary.BigEndian.AppendUint64(append(b, mask|127), declared)
	}
	if !masked {
		return append(b, payload...)
	}
	key := []byte{1, 2, 3, 4}
	b = append(b, key...)
	for i, c := range payload {
		b = append(b, c^key[i%4])
	}
	return b
}

func whole(first byte, payload string) []byte {
	return frame(first, true, uint64(len(payload)), []byte(payload))
}

// code reads until the socket ends, and returns the code that the server closed it with;
// 0 where it said none.
func (s *rawSocket) code() int {
	s.t.Helper()
	for {
		var head [2]byte
		if _, err := io.ReadFull(s.in, head[:]); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				s.t.Fatal("the socket stays open")
			}
			return 0
		}
		n := uint64(head[1] & 0x7f)
		var long [8]byte
		switch n {
		case 126:
			_, _ = io.ReadFull(s.in, long[6:])
			n = binary.BigEndian.Uint64(long[:])
		case 127:
			_, _ = io.ReadFull(s.in, long[:])
			n = binary.BigEndian.Uint64(long[:])
		}
		payload := make([]byte, n)
		if _, err := io.ReadFull(s.in, payload); err != nil {
			return 0
		}
		if head[0]&0xf == 8 && n >= 2 {
			return int(binary.BigEndian.Uint16(payload))
		}
	}
}

// RFC 6455, sections 5, 7.4 and 10: what is not allowed closes its socket with the right
// code, and nobody else hears of it.
func testBrokenFrames(t *testing.T, c *cluster.Cluster) {
	witness := guest(t, c.Instances()[0].URL(), "fr-witness").connect(t)
	witness.ok("join", fields{"room": "fr-room"})
	pid := c.Instances()[0].PID()
	const text, binary, ping, pong, bye, more, fin = 0x1, 0x2, 0x9, 0xa, 0x8, 0x0, 0x80
	send := `{"type":"send","id":1,"room":"fr-room","key":"k","text":"from a broken frame"}`
	cases := []struct {
		name string
		data []byte
		want []int
	}{
		{"not masked", frame(fin|text, false, uint64(len(send)), []byte(send)), []int{0, 1002}}, // RFC 6455, 5.1: the code may be left out
		{"an empty frame that is not masked", frame(fin|text, false, 0, nil), []int{0, 1002}},
		{"a long ping", whole(fin|ping, strings.Repeat("x", 126)), []int{1002}},
		{"a long close", whole(fin|bye, "\x03\xe8"+strings.Repeat("x", 124)), []int{1002}},
		{"a ping in fragments", whole(ping, "x"), []int{1002}},
		{"a continuation of nothing", whole(fin|more, send), []int{1002}},
		{"two messages at once", slices.Concat(whole(text, send[:5]), whole(fin|text, send[5:])), []int{1002}},
		{"a close of one byte", whole(fin|bye, "x"), []int{1002}},
		{"a close with a code that is none", whole(fin|bye, "\x03\xe7"), []int{1002}},
		{"a close with a code that is not for the wire", whole(fin|bye, "\x03\xed"), []int{1002}},
		{"a close with a reason that is no text", whole(fin|bye, "\x03\xe8\xff\xfe"), []int{1000, 1002, 1007}},
		{"not UTF-8", whole(fin|text, "{\"type\":\"rooms\",\"id\":1,\"x\":\"\xc3\x28\"}"), []int{4400}},
		{"half a code point in each fragment", slices.Concat(whole(text, "{\"type\":\"rooms\",\"id\":1,\"x\":\"\xc3"), whole(fin|more, "\"}")), []int{4400}},
		{"binary", whole(fin|binary, send), []int{4400}},
		{"a length of 2^63", frame(fin|text, true, 1<<63, []byte("x")), []int{0, 1002, 1009}},
		{"a length of 2^63-1", frame(fin|text, true, 1<<63-1, []byte(strings.Repeat("x", 70_000))), []int{1009}},
		{"a length of 2^32", frame(fin|text, true, 1<<32, []byte(strings.Repeat("x", 70_000))), []int{1009}},
		{"one byte too much in two fragments", slices.Concat(whole(text, padded(65536)[:40_000]), whole(fin|more, padded(65537)[40_000:])), []int{1009}},
		{"a fragment for each byte, for ever", bytes.Repeat(whole(more, "x"), 100_000), []int{1002, 1009}},
		{"HTTP", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), []int{1002}},
		{"zeros", make([]byte, 4096), []int{1002}},
	}
	for _, bit := range []byte{0x40, 0x20, 0x10} {
		cases = append(cases, struct {
			name string
			data []byte
			want []int
		}{fmt.Sprintf("reserved bit %#x", bit), whole(fin|bit|text, send), []int{1002}})
	}
	for _, opcode := range []byte{3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf} {
		cases = append(cases, struct {
			name string
			data []byte
			want []int
		}{fmt.Sprintf("opcode %#x", opcode), whole(fin|opcode, send), []int{1002}})
	}
	cases = append(cases, struct {
		name string
		data []byte
		want []int
	}{"fragments behind a beginning, for ever", slices.Concat(whole(text, "x"), bytes.Repeat(whole(more, "x"), 70_000)), []int{1009}})
	for _, base := range []string{c.Instances()[0].URL(), c.URL()} {
		p := guest(t, base, "fr-mallory")
		for _, bad := range cases {
			s, _ := openRaw(t, p)
			// Who is closed in the middle of it cannot write the rest.
			go func() { _, _ = s.Write(bad.data) }()
			if code := s.code(); !slices.Contains(bad.want, code) && !(len(bad.data) > 4000 && code == 0) {
				t.Errorf("%s at %s: closed with %d, want %v", bad.name, base, code, bad.want)
			}
			s.Close()
		}
	}
	for _, o := range witness.fence() {
		if o["seq"] != nil {
			t.Errorf("a broken frame was carried out: %v", o)
		}
	}
	if c.Instances()[0].PID() != pid {
		t.Error("the instance is another process now")
	}
}

// Pings, empty fragments and messages without end, from peers that do not read: others
// are served as before, and nothing of a compressed frame is ever expanded.
func testFloodsOfFrames(t *testing.T, c *cluster.Cluster) {
	witness := guest(t, c.Instances()[0].URL(), "fl-witness").connect(t)
	p := guest(t, c.Instances()[0].URL(), "fl-mallory")
	s, resp := openRaw(t, p, "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits; server_no_context_takeover\r\n")
	if got := resp.Header.Values("Sec-WebSocket-Extensions"); len(got) > 0 {
		t.Errorf("the server agrees to %q", got)
	}
	if _, err := s.Write(whole(0x80|0x40|0x1, "\xaa\x56\x2a\x2e\x29\xca\xcc\x4b\x07\x00")); err != nil {
		t.Fatal(err)
	}
	if code := s.code(); code != 1002 {
		t.Errorf("a compressed frame: %d", code)
	}
	for what, flood := range map[string][]byte{"pings": bytes.Repeat(whole(0x89, ""), 300), "pongs": bytes.Repeat(whole(0x8a, ""), 300)} {
		s, _ := openRaw(t, p)
		if _, err := s.Write(flood); err != nil {
			t.Fatal(err)
		}
		if code := s.code(); code != 4429 {
			t.Errorf("300 %s at once: %d", what, code)
		}
	}
	floods := map[string][]byte{
		"pings":           bytes.Repeat(whole(0x89, strings.Repeat("x", 125)), 2000),
		"empty fragments": append(whole(0x01, ""), bytes.Repeat(whole(0x00, ""), 20_000)...),
		"empty messages":  bytes.Repeat(whole(0x81, ""), 20_000),
		"refused":         bytes.Repeat(whole(0x81, `{"type":"rooms","id":1}`), 5000),
	}
	for range 4 {
		for _, flood := range floods {
			s, _ := openRaw(t, p)
			go func() {
				for {
					if _, err := s.Write(flood); err != nil {
						return
					}
				}
			}()
		}
	}
	for n := range 10 {
		began := time.Now()
		witness.ok("send", fields{"room": "fl-room", "key": fmt.Sprint("k", n), "text": "heard all the same"})
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("an answer took %v beside the floods", took)
		}
	}
}

// What could be read as one request by HAProxy and as two by chatd is refused by both, or
// there is one answer to it and the connection ends.
func testSmuggling(t *testing.T, c *cluster.Cluster) {
	const inner = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(inner), inner)
	form := "Content-Type: application/x-www-form-urlencoded\r\n"
	oneRequest := []string{"both lengths", "a folded line", "5,000 headers", "another version", "a chunk with a sign", "a chunk beyond 64 bits", "a chunk that ends in the void"}
	for name, request := range map[string]string{
		"both lengths":                  "POST /logout HTTP/1.1\r\nHost: x\r\n" + form + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked,
		"two lengths":                   "POST /logout HTTP/1.1\r\nHost: x\r\n" + form + "Content-Length: 0\r\nContent-Length: 36\r\n\r\n" + inner,
		"two lengths in a line":         "POST /logout HTTP/1.1\r\nHost: x\r\n" + form + "Content-Length: 0, 36\r\n\r\n" + inner,
		"a length with a sign":          "POST /logout HTTP/1.1\r\nHost: x\r\n" + form + "Content-Length: +0\r\n\r\n" + inner,
		"a negative length":             "POST /logout HTTP/1.1\r\nHost: x\r\n" + form + "Content-Length: -1\r\n\r\n" + inner,
		"a length in hex":               "POST /logout HTTP/1.1\r\nHost: x\r\n" + form + "Content-Length: 0x0\r\n\r\n" + inner,
		"an unknown encoding":           "POST /logout HTTP/1.1\r\nHost: x\r\n" + form + "Transfer-Encoding: xchunked\r\n\r\n" + chunked,
		"identity and chunked":          "POST /logout HTTP/1.1\r\nHost: x\r\n" + form + "Transfer-Encoding: identity, chunked\r\n\r\n" + chunked,
		"chunked twice":                 "POST /logout HTTP/1.1\r\nHost: x\r\n" + form + "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n" + chunked,
		"a space before the colon":      "POST /logout HTTP/1.1\r\nHost: x\r\n" + form + "Transfer-Encoding : chunked\r\n\r\n" + chunked,
		"a folded line":                 "POST /logout HTTP/1.1\r\nHost: x\r\n" + form + "Transfer-Encoding:\r\n chunked\r\nContent-Length: 4\r\n\r\n" + chunked,
		"a tab in the name":             "POST /logout HTTP/1.1\r\nHost: x\r\n" + form + "Content-Length\t: 0\r\n\r\n" + inner,
		"a NUL in a value":              "GET / HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
		"a return in a value":           "GET / HTTP/1.1\r\nHost: x\r\nX: a\rContent-Length: 5\r\n\r\n",
		"no Host":                       "GET / HTTP/1.1\r\n\r\n",
		"two Hosts":                     "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
		"a space in the path":           "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
		"another version":               "GET / HTTP/3.9\r\nHost: x\r\n\r\n",
		"a chunk with a sign":           "POST /logout HTTP/1.1\r\nHost: x\r\n" + form + "Transfer-Encoding: chunked\r\n\r\n+24\r\n" + inner + "\r\n0\r\n\r\n",
		"a chunk beyond 64 bits":        "POST /logout HTTP/1.1\r\nHost: x\r\n" + form + "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\nx\r\n0\r\n\r\n",
		"a chunk that ends in the void": "POST /logout HTTP/1.1\r\nHost: x\r\n" + form + "Transfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n0\r\n\r\n",
		"headers of 100 KB":             "GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 100_000) + "\r\n\r\n",
		"5,000 headers":                 "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X: y\r\n", 5000) + "\r\n",
		"an upgrade with a body":        "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 36\r\n\r\n" + inner,
		"an upgrade that is refused":    "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 777\r\n\r\n",
	} {
		for _, base := range []string{c.URL(), c.Instances()[0].URL()} {
			s := dialRaw(t, strings.TrimPrefix(base, "http://"))
			// What is refused is closed while the rest is still under way.
			_, _ = io.WriteString(s, request)
			_ = s.Conn.(*net.TCPConn).CloseWrite()
			all, _ := io.ReadAll(s.in)
			answers := bytes.Count(all, []byte("HTTP/1."))
			if answers > 1 {
				t.Errorf("%s at %s: %d answers: %.300q", name, base, answers, all)
			}
			if refused := regexp.MustCompile(`^HTTP/1\.. [45]`).Match(all); len(all) > 0 && !refused && !slices.Contains(oneRequest, name) {
				t.Errorf("%s at %s: %.60q", name, base, all)
			}
		}
	}
}

// Connections that say nothing, or one byte at a time, cost others nothing.
func testIdleAndSlow(t *testing.T, c *cluster.Cluster) {
	const idle = 1000
	p := guest(t, c.URL(), "is-alice")
	w := p.connect(t)
	var slow []*rawSocket
	for _, addr := range []string{c.HAProxy.Addr, c.Instances()[0].Addr} {
		for n := range idle {
			s := dialRaw(t, addr)
			if n%2 == 1 { // the others say nothing at all
				continue
			}
			if _, err := io.WriteString(s, "GET / HTTP/1.1\r\nHost: x\r\nX-"); err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				slow = append(slow, s)
			}
		}
		for n := range 20 {
			began := time.Now()
			p.get(t, "/")
			visitor(t, "http://"+addr).get(t, "/login")
			w.ok("send", fields{"room": "is-room", "key": fmt.Sprint(addr, n), "text": "x"})
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("beside %d idle connections at %s: %v", idle, addr, took)
			}
		}
	}
	for _, s := range slow {
		if _, err := io.Copy(io.Discard, s); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("headers that never end are waited for at %s", s.RemoteAddr())
		}
	}
}

const connsPerAddress = 1200

// One host does not have all connections that there are.
func testConnectionsOfOneAddress(t *testing.T, c *cluster.Cluster) {
	const tooMany = 100
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 7)}}
	refused := 0
	for n := range connsPerAddress + tooMany {
		conn, err := from.Dial("tcp", c.HAProxy.Addr)
		if err != nil { // a reset that comes before the end of Dial
			refused++
			continue
		}
		defer conn.Close()
		if n < connsPerAddress {
			continue
		}
		// Well before those that say nothing are given up.
		if err := conn.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			refused++
			break
		}
	}
	if refused == 0 {
		t.Errorf("one address may have %d connections and more", connsPerAddress)
	}
	if a := visitor(t, c.URL()).get(t, "/login"); a.status != http.StatusOK {
		t.Errorf("another address: %d", a.status)
	}
}

func testSocketsOfOnePerson(t *testing.T, c *cluster.Cluster) {
	p := guest(t, c.Instances()[0].URL(), "so-mallory")
	var open []*wire
	for range 20 {
		open = append(open, p.connect(t))
	}
	if _, status, err := p.shake(t, p.origin()); err == nil || status != http.StatusTooManyRequests {
		t.Errorf("the 21st socket: %d, %v", status, err)
	}
	guest(t, c.Instances()[0].URL(), "so-alice").connect(t)
	for _, w := range open[:5] {
		w.ws.CloseNow()
	}
	eventually(t, 5*time.Second, "a place that is free again", func() bool {
		ws, _, err := p.shake(t, p.origin())
		if err == nil {
			ws.CloseNow()
		}
		return err == nil
	})
}

// Whatever a client says of where it comes from, HAProxy and chatd do not believe it.
func testForgedAddresses(t *testing.T, c *cluster.Cluster) {
	p := visitor(t, c.URL())
	forged := http.Header{}
	for _, name := range []string{"X-Forwarded-For", "X-Real-Ip", "X-Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "X-Forwarded-Host", "X-Original-Url", "X-Rewrite-Url"} {
		forged.Set(name, "203.0.113.77")
	}
	forged.Set("Forwarded", "for=203.0.113.77;proto=https;host=evil.example")
	forged.Set("X-Forwarded-Proto", "https")
	forged.Set("X-Http-Method-Override", "POST")
	a := p.ask(t, http.MethodGet, "/login", nil, forged)
	if a.status != http.StatusOK || a.header.Get("Strict-Transport-Security") != "" || strings.Contains(a.body+fmt.Sprint(a.header), "evil") {
		t.Errorf("%d, %v", a.status, a.header)
	}
	if a := p.ask(t, http.MethodGet, "/logout", nil, forged); a.status != http.StatusMethodNotAllowed && a.status != http.StatusNotFound {
		t.Errorf("GET /logout as if it were a POST: %d", a.status)
	}
}

// Who has an instance's login of Redis reads and writes chatd's keys, and governs nothing.
func testRightsInRedis(t *testing.T, c *cluster.Cluster) {
	ctx := within(t, 10*time.Second)
	users, err := os.ReadFile(filepath.Join(filepath.Dir(c.RedisDir()), "users.acl"))
	if err != nil {
		t.Fatal(err)
	}
	password := regexp.MustCompile(`user chatd on >(\S+)`).FindSubmatch(users)
	if password == nil {
		t.Fatalf("no password in %q", users)
	}
	opt, err := redis.ParseURL("redis://chatd:" + string(password[1]) + "@" + c.Redis.Addr)
	if err != nil {
		t.Fatal(err)
	}
	r := redis.NewClient(opt)
	defer r.Close()
	if err := r.Set(ctx, "chatd:front:probe", "x", time.Minute).Err(); err != nil {
		t.Fatalf("its own key: %v", err)
	}
	if refused, err := c.RedisSay(ctx, "ACL LOG"); err != nil || refused != "" {
		t.Errorf("before this: %v\n%s", err, refused)
	}
	for _, command := range []string{
		"CONFIG GET dir", "CONFIG SET dir /tmp", "FLUSHALL", "FLUSHDB", "KEYS *", "RANDOMKEY", "SHUTDOWN NOSAVE", "SAVE", "BGREWRITEAOF",
		"REPLICAOF 127.0.0.1 1", "MONITOR", "CLIENT LIST", "CLIENT KILL TYPE normal", "ACL LIST", "ACL SETUSER chatd +@all", "ACL WHOAMI", "MODULE LIST", "MIGRATE 127.0.0.1 1 chatd:x 0 1",
		"SCRIPT FLUSH", "SCRIPT KILL", "FUNCTION FLUSH", "INFO", "LATENCY RESET", "SLOWLOG GET", "RENAME chatd:front:probe other", "DUMP chatd:front:probe", "SWAPDB 0 1", "MOVE chatd:front:probe 1",
		"BLPOP chatd:x 1", "SORT chatd:x", "GET other", "SET other x", "DEL other", "XADD other * a b", "PUBLISH other x", "SUBSCRIBE other", "PSUBSCRIBE *", "EVAL return(redis.call('GET','other')) 0", "PUBSUB CHANNELS",
	} {
		var words []any
		for _, w := range strings.Fields(command) {
			words = append(words, w)
		}
		if err := r.Do(ctx, words...).Err(); err == nil || !strings.Contains(err.Error(), "NOPERM") && !strings.Contains(err.Error(), "No permissions") && !strings.Contains(err.Error(), "can't access") && !strings.Contains(err.Error(), "no permissions") {
			t.Errorf("%s: %v", command, err)
		}
	}
	if _, err := c.RedisSay(ctx, "ACL LOG RESET"); err != nil {
		t.Error(err)
	}
}

// Redirects lead to places here, whatever the address says.
func testRedirects(t *testing.T, c *cluster.Cluster) {
	p := guest(t, c.URL(), "re-alice")
	seen := 0
	for _, base := range []string{c.URL(), c.Instances()[0].URL()} {
		for _, cookie := range []string{"", "Cookie: jsessionid=" + p.cookie() + "\r\n"} {
			for _, target := range []string{
				"/?next=//evil.example", "/login?next=https://evil.example", "/login?next=/%09/evil.example", "/login?return_to=%5c%5cevil.example", "/login?redirect=javascript:alert(1)",
				"//evil.example", "//evil.example/login", "/\\evil.example", "/%09/evil.example", "/%2f%2fevil.example", "/%5cevil.example", "/login/", "/login//evil.example", "/./login", "/x/..//evil.example",
				"http://evil.example/", "http://evil.example/login", "/login;//evil.example", "/login%0d%0aLocation:%20//evil.example", "/account?next=//evil.example", "/register?next=//evil.example",
			} {
				for _, method := range []string{"GET", "POST"} {
					s := dialRaw(t, strings.TrimPrefix(base, "http://"))
					_, _ = fmt.Fprintf(s, "%s %s HTTP/1.1\r\nHost: %s\r\n%sConnection: close\r\nContent-Length: 0\r\n\r\n", method, target, p.base.Host, cookie)
					resp, err := http.ReadResponse(s.in, nil)
					if err != nil {
						t.Errorf("%s %s at %s: %v", method, target, base, err)
						continue
					}
					for _, to := range resp.Header.Values("Location") {
						seen++
						if u, err := url.Parse(to); err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(to, "/") || strings.Contains(to, "evil") || strings.ContainsAny(to, "\\\t") || strings.HasPrefix(to, "//") {
							t.Errorf("%s %s at %s leads to %q", method, target, base, to)
						}
					}
					resp.Body.Close()
					s.Close()
				}
			}
		}
	}
	if seen < 8 {
		t.Errorf("only %d redirects", seen)
	}
}

// Nobody comes in, as a guest or with an account, under a name that people take for an owner's.
func testNamesLikeAnOwners(t *testing.T, c *cluster.Cluster) {
	owner(t, c.Instances()[0].URL(), "na-moderator0")
	for _, name := range []string{"na-rnoderator0", "na-moderatoro", "NA-MODERATORO", "na-m\u043ederator0", "na-moderator\u200b0", "\uff4e\uff41-moderatoro"} {
		for _, i := range c.Instances() {
			p := visitor(t, i.URL())
			if a := p.enters(t, name, ""); a.status != http.StatusUnauthorized || p.cookie() != "" {
				t.Errorf("a guest %+q is %d at %s", name, a.status, i.Name)
			}
			if a := p.ask(t, http.MethodPost, "/register", url.Values{"username": {name}, "password": {phrase}}, nil); a.status < 400 || a.status > 499 || p.cookie() != "" {
				t.Errorf("an account %+q is %d at %s", name, a.status, i.Name)
			}
		}
	}
	guest(t, c.URL(), "na-moderator")
}
