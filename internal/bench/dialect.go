package bench

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
)

// said is what a frame means to a socket that is being opened.
type said int

const (
	nothing said = iota
	welcome      // connected: it may join
	resumed      // and is back in its room, with what it missed on the way
	joined       // in its room, with what it missed
	afresh       // in its room, but what it missed is lost
	refused      // what it asked for is not to be had
	busy         // or not now
)

// A dialect is how one kind of system is spoken to. It keeps nothing itself: what a
// socket must remember is in the socket. The slices that it returns are new, those
// that it is given are valid during the call.
type dialect interface {
	// before is an HTTP request to be answered with 200 before a socket that has been
	// connected connects again, nil if there is none.
	before(s *socket, addr string) []byte
	// answered takes the head of that answer.
	answered(s *socket, head []byte)
	// upgrade is the request for a WebSocket.
	upgrade(s *socket, addr string) []byte
	// first is the first frame to say then, nil to wait for what the server says.
	first(s *socket) []byte
	// join asks for the socket's room, after the last message that it had there.
	join(s *socket) []byte
	// heard says what a frame means to a socket that is being opened, and may return an
	// answer to it.
	heard(s *socket, payload []byte) (said, []byte)
	// beat is the answer to a heartbeat, nil if this frame is none.
	beat(payload []byte) []byte
	// send says a message.
	send(s *socket, id int, room string, text []byte) []byte
	// confirmed counts the answers to sends that are good, and those that are not.
	confirmed(payload []byte) (good, bad int)
	// remember notes where the socket is in its room, from a frame with messages.
	remember(s *socket, payload []byte)
}

const webSocketKey = "dGhlIHNhbXBsZSBub25jZQ==" // the RFC's own: nobody checks that it is random

func upgradeRequest(addr, path, more string) []byte {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nOrigin: http://%s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n%s\r\n", path, addr, addr, webSocketKey, more)
}

// between returns what stands in text between the last head and the next tail, "" if
// there is none.
func between(text []byte, head, tail string) string {
	i := bytes.LastIndex(text, []byte(head))
	if i < 0 {
		return ""
	}
	text = text[i+len(head):]
	if i = bytes.Index(text, []byte(tail)); i < 0 {
		return ""
	}
	return string(text[:i])
}

// chatdDialect is chatd's (docs/protocol.md), and the floor's, which knows no logins.
type chatdDialect struct{ floor bool }

func (d chatdDialect) before(s *socket, addr string) []byte {
	if d.floor {
		return nil
	}
	return fmt.Appendf(nil, "POST /session/refresh HTTP/1.1\r\nHost: %s\r\nOrigin: http://%s\r\nCookie: jsessionid=%s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
		addr, addr, *s.login)
}

func (chatdDialect) answered(s *socket, head []byte) {
	if cookie := between(head, "jsessionid=", ";"); cookie != "" {
		*s.login = cookie
	}
}

func (chatdDialect) upgrade(s *socket, addr string) []byte {
	return upgradeRequest(addr, "/ws", "Sec-WebSocket-Protocol: chatd.v1\r\nCookie: jsessionid="+*s.login+"\r\n")
}

func (chatdDialect) first(*socket) []byte { return nil }

func (chatdDialect) join(s *socket) []byte {
	s.id++
	after := ""
	if s.last != "" {
		after = `,"after":"` + s.last + `"`
	}
	return fmt.Appendf(nil, `{"type":"join","id":%d,"room":"%s"%s}`, s.id, s.room, after)
}

func (chatdDialect) heard(s *socket, payload []byte) (said, []byte) {
	switch {
	case bytes.Contains(payload, []byte(`"type":"welcome"`)):
		return welcome, nil
	case bytes.Contains(payload, []byte(`"retry_after_ms"`)):
		return busy, nil
	case bytes.Contains(payload, []byte(`"type":"error"`)):
		return refused, nil
	case bytes.Contains(payload, fmt.Appendf(nil, `"type":"ok","id":%d,`, s.id)):
		if s.last != "" && bytes.Contains(payload, []byte(`"resumed":false`)) {
			return afresh, nil
		}
		return joined, nil
	}
	return nothing, nil
}

func (chatdDialect) beat([]byte) []byte { return nil }

func (chatdDialect) send(_ *socket, id int, room string, text []byte) []byte {
	return fmt.Appendf(nil, `{"type":"send","id":%d,"room":"%s","key":"k%d","text":"%s"}`, id, room, id, text)
}

func (chatdDialect) confirmed(payload []byte) (good, bad int) {
	return bytes.Count(payload, []byte(`"type":"ok"`)), bytes.Count(payload, []byte(`"type":"error"`))
}

func (chatdDialect) remember(s *socket, payload []byte) {
	if event := between(payload, `"event":"`, `"`); event != "" {
		s.last = event
	}
}

// centrifugoDialect is Centrifugo's JSON protocol. A room is a channel; a login is a
// token that the server checks.
type centrifugoDialect struct{}

const centrifugoSecret = "of the benchmark, on loopback"

// centrifugoToken is a JSON Web Token for a person.
func centrifugoToken(user string) string {
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode([]byte(`{"sub":"`+user+`"}`))
	mac := hmac.New(sha256.New, []byte(centrifugoSecret))
	mac.Write([]byte(signed))
	return signed + "." + encode(mac.Sum(nil))
}

func (centrifugoDialect) before(*socket, string) []byte { return nil }
func (centrifugoDialect) answered(*socket, []byte)      {}

func (centrifugoDialect) upgrade(_ *socket, addr string) []byte {
	return upgradeRequest(addr, "/connection/websocket", "")
}

func (centrifugoDialect) first(s *socket) []byte {
	s.id++
	return fmt.Appendf(nil, `{"id":%d,"connect":{"token":"%s"}}`, s.id, *s.login)
}

func (centrifugoDialect) join(s *socket) []byte {
	s.id++
	after := ""
	if s.epoch != "" {
		after = fmt.Sprintf(`,"recover":true,"epoch":"%s","offset":%s`, s.epoch, s.last)
	}
	return fmt.Appendf(nil, `{"id":%d,"subscribe":{"channel":"%s"%s}}`, s.id, s.room, after)
}

func (d centrifugoDialect) heard(s *socket, payload []byte) (said, []byte) {
	switch {
	case bytes.Contains(payload, []byte(`"error":{`)):
		return refused, nil
	case bytes.Contains(payload, []byte(`"connect":{`)):
		return welcome, nil
	case bytes.Contains(payload, []byte(`"subscribe":{`)):
		lost := s.epoch != "" && !bytes.Contains(payload, []byte(`"recovered":true`))
		s.epoch = between(payload, `"epoch":"`, `"`)
		if s.last == "" {
			s.last = "0" // a channel in which nothing was said yet
		}
		d.remember(s, payload)
		if lost {
			return afresh, nil
		}
		return joined, nil
	}
	return nothing, nil
}

// beat looks for an empty command alone in its line: servers put several in a frame.
func (centrifugoDialect) beat(payload []byte) []byte {
	if len(payload) == 2 || bytes.HasPrefix(payload, []byte("{}\n")) || bytes.Contains(payload, []byte("\n{}")) {
		return []byte("{}")
	}
	return nil
}

func (centrifugoDialect) send(_ *socket, id int, room string, text []byte) []byte {
	return fmt.Appendf(nil, `{"id":%d,"publish":{"channel":"%s","data":{"text":"%s"}}}`, id, room, text)
}

func (centrifugoDialect) confirmed(payload []byte) (good, bad int) {
	return bytes.Count(payload, []byte(`"publish":{`)), bytes.Count(payload, []byte(`"error":{`))
}

func (centrifugoDialect) remember(s *socket, payload []byte) {
	i := bytes.LastIndex(payload, []byte(`"offset":`))
	if i < 0 {
		return
	}
	digits := payload[i+len(`"offset":`):]
	n := 0
	for n < len(digits) && digits[n] >= '0' && digits[n] <= '9' {
		n++
	}
	s.last = string(digits[:n])
}

// socketIODialect is Socket.IO 4's, over Engine.IO 4, as socketio/server.js takes it.
type socketIODialect struct{}

func (socketIODialect) before(*socket, string) []byte { return nil }
func (socketIODialect) answered(*socket, []byte)      {}

func (socketIODialect) upgrade(_ *socket, addr string) []byte {
	return upgradeRequest(addr, "/socket.io/?EIO=4&transport=websocket", "")
}

func (socketIODialect) first(*socket) []byte { return nil }

func (socketIODialect) join(s *socket) []byte {
	s.id++
	return fmt.Appendf(nil, `42%d["join","%s"]`, s.id, s.room)
}

func (socketIODialect) heard(s *socket, payload []byte) (said, []byte) {
	switch {
	case bytes.HasPrefix(payload, []byte("0{")): // Engine.IO is open: Socket.IO may connect
		if s.epoch == "" {
			return nothing, []byte("40")
		}
		return nothing, fmt.Appendf(nil, `40{"pid":"%s","offset":"%s"}`, s.epoch, s.last)
	case bytes.HasPrefix(payload, []byte("40")):
		pid := between(payload, `"pid":"`, `"`)
		back := s.epoch != "" && pid == s.epoch
		s.lostTrack = s.epoch != "" && !back
		s.epoch = pid
		if back {
			return resumed, nil
		}
		return welcome, nil
	case bytes.HasPrefix(payload, []byte("44")):
		return refused, nil
	case bytes.HasPrefix(payload, []byte("43"+strconv.Itoa(s.id))):
		if s.lostTrack {
			return afresh, nil
		}
		return joined, nil
	}
	return nothing, nil
}

func (socketIODialect) beat(payload []byte) []byte {
	if len(payload) == 1 && payload[0] == '2' {
		return []byte("3")
	}
	return nil
}

func (socketIODialect) send(_ *socket, id int, room string, text []byte) []byte {
	return fmt.Appendf(nil, `42%d["send","%s","%s"]`, id, room, text)
}

func (socketIODialect) confirmed(payload []byte) (good, bad int) {
	if bytes.HasPrefix(payload, []byte("43")) {
		return 1, 0
	}
	return 0, 0
}

func (socketIODialect) remember(s *socket, payload []byte) {
	if bytes.HasPrefix(payload, []byte(`42["message"`)) {
		s.last = between(payload, `","`, `"`)
	}
}
