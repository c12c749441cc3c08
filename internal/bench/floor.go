package bench

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Floor serves the least that passes for chatd at an address, until ctx ends: what
// is said in a room is put into the bytes that chatd would make of it, and one loop
// writes them to the room's sockets, one after the other. Nothing is kept or looked
// at, nobody is logged in, and there is no second instance.
func Floor(ctx context.Context, addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	f := &floor{rooms: map[string]*floorRoom{}, due: make(chan delivery, 1024)}
	go f.write() // ends with the process, as those of the connections do
	for {
		conn, err := ln.Accept()
		if err != nil {
			return ctx.Err()
		}
		go func() {
			defer conn.Close()
			_ = f.serve(conn) // the other side sees the end
		}()
	}
}

type floor struct {
	due chan delivery

	mu    sync.Mutex
	rooms map[string]*floorRoom
}

type floorRoom struct {
	name  string
	conns []net.Conn
	seq   int
	prev  string
}

// A delivery is a frame and who gets it.
type delivery struct {
	to    []net.Conn
	frame []byte
}

func (f *floor) write() {
	for d := range f.due {
		for _, conn := range d.to {
			_, _ = conn.Write(d.frame) // one that is gone is seen by its reader
		}
	}
}

func (f *floor) serve(conn net.Conn) error {
	in := bufio.NewReaderSize(conn, 1024)
	req, err := http.ReadRequest(in)
	if err != nil {
		return err
	}
	if req.URL.Path != "/ws" {
		_, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		return err
	}
	// The answer to webSocketKey, which is the only one that comes.
	if _, err := io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chatd.v1\r\n\r\n"); err != nil {
		return err
	}
	if _, err := conn.Write(serverFrame([]byte(`{"type":"welcome"}`))); err != nil {
		return err
	}
	var joined *floorRoom
	defer func() {
		if joined != nil {
			f.mu.Lock()
			defer f.mu.Unlock()
			joined.conns = slices.DeleteFunc(slices.Clone(joined.conns), func(c net.Conn) bool { return c == conn })
		}
	}()
	for {
		payload, err := clientFrame(in)
		if err != nil {
			return err
		}
		var ask struct {
			Type, Room, Key, Text string
			ID                    int64
		}
		if err := json.Unmarshal(payload, &ask); err != nil {
			return err
		}
		f.mu.Lock()
		r := f.rooms[ask.Room]
		if r == nil {
			r = &floorRoom{name: ask.Room}
			f.rooms[ask.Room] = r
		}
		var d delivery
		switch ask.Type {
		case "join":
			r.conns = append(slices.Clone(r.conns), conn)
			joined = r
		case "send":
			d = delivery{r.conns, r.event(ask.Key, ask.Text)}
		}
		f.mu.Unlock()
		if d.to != nil {
			f.due <- d
		}
		if _, err := conn.Write(serverFrame(fmt.Appendf(nil, `{"type":"ok","id":%d,"room":"%s"}`, ask.ID, ask.Room))); err != nil {
			return err
		}
	}
}

// event is what chatd's append makes, byte for byte but for the values.
func (r *floorRoom) event(key, text string) []byte {
	r.seq++
	id := fmt.Sprintf("%d-%d", r.seq, 1<<62+rand.Int64N(1<<61))
	data := fmt.Appendf(nil, `{"type":"message","room":"%s","seq":%d,"event":"%s","prev":"%s","at":"%s","from":"bench-person-1","key":"%s","text":"%s"}`,
		r.name, r.seq, id, r.prev, time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), key, text)
	r.prev = id
	return serverFrame(data)
}

func serverFrame(payload []byte) []byte {
	frame := []byte{0x80 | opText}
	if n := len(payload); n < 126 {
		frame = append(frame, byte(n))
	} else {
		frame = binary.BigEndian.AppendUint16(append(frame, 126), uint16(n))
	}
	return append(frame, payload...)
}

// clientFrame reads a masked text frame of less than 64 KiB.
func clientFrame(in *bufio.Reader) ([]byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(in, head[:2]); err != nil {
		return nil, err
	}
	n := int(head[1] & 0x7f)
	if n == 126 {
		if _, err := io.ReadFull(in, head[:2]); err != nil {
			return nil, err
		}
		n = int(binary.BigEndian.Uint16(head[:]))
	}
	mask := head[4:]
	if _, err := io.ReadFull(in, mask); err != nil {
		return nil, err
	}
	payload := make([]byte, n)
	if _, err := io.ReadFull(in, payload); err != nil {
		return nil, err
	}
	for i := range payload {
		payload[i] ^= mask[i%4]
	}
	return payload, nil
}
