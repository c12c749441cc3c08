package chat

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// Subprotocol is the WebSocket subprotocol of this contract.
	Subprotocol = "chatd.v1"
	// MaxFrameBytes is the largest frame that a client may send.
	MaxFrameBytes = 64 << 10
	// MaxHistory is the most events that one history request brings.
	MaxHistory = 200
	// MaxPositions is the most positions that one join of universe names.
	MaxPositions = 1000
	// PingInterval is how often every socket hears a ping.
	PingInterval = 25 * time.Second

	maxKeyBytes = 64
	maxEmoji    = 16
	maxBack     = 1 << 31
	maxTopic    = 250
	maxQuery    = 200
)

// A Request is one object from a client. Fields that its type does not use are
// ignored.
type Request struct {
	Type      string            `json:"type"`
	ID        *int64            `json:"id"`
	Room      string            `json:"room"`
	After     string            `json:"after"`
	Before    string            `json:"before"`
	Event     string            `json:"event"`
	User      string            `json:"user"`
	Target    string            `json:"target"`
	Key       string            `json:"key"`
	Text      string            `json:"text"`
	Reply     string            `json:"reply"`
	Emoji     string            `json:"emoji"`
	On        *bool             `json:"on"`
	Until     string            `json:"until"`
	Back      int64             `json:"back"`
	Mute      bool              `json:"mute"`
	Role      string            `json:"role"`
	Limit     int               `json:"limit"`
	Positions map[string]string `json:"positions"`
}

// DecodeFrame reads the requests of one text frame. An error means that the
// frame is not what the contract asks for (close code 4400); nothing of it is
// then to be carried out.
func DecodeFrame(frame []byte) ([]Request, error) {
	if !utf8.Valid(frame) {
		return nil, BadRequest("the frame is not UTF-8")
	}
	var reqs []Request
	for line := range bytes.SplitSeq(frame, []byte{'\n'}) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		var req Request
		if line[0] != '{' {
			return nil, BadRequest("the frame is not JSON objects")
		}
		if err := json.Unmarshal(line, &req); err != nil {
			return nil, BadRequest("the frame is not JSON objects of the contract's kind")
		}
		if ambiguous(line) {
			return nil, BadRequest("the frame has a field twice, or one that differs from the contract's in its case")
		}
		if req.ID == nil && req.Type != "typing" {
			return nil, BadRequest("a request has no id")
		}
		if len(req.Positions) > MaxPositions {
			return nil, BadRequest("too many positions")
		}
		reqs = append(reqs, req)
	}
	return reqs, nil
}

// CheckKey returns an error unless key is 1 to 64 of A-Z a-z 0-9 - _ . :
func CheckKey(key string) error {
	if key == "" || len(key) > maxKeyBytes {
		return BadRequest("key must have 1 to %d characters", maxKeyBytes)
	}
	for i := range len(key) {
		c := key[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-_.:", rune(c)) {
			return BadRequest("key may have A-Z a-z 0-9 - _ . : only")
		}
	}
	return nil
}

// CheckText returns an error unless text is something to say: not blank, at
// most max code points, without control characters other than tab and newline.
func CheckText(text string, max int) error {
	if strings.TrimSpace(text) == "" {
		return &Error{Code: CodeEmpty, Message: "There is nothing in this message."}
	}
	if n := utf8.RuneCountInString(text); n > max {
		return &Error{Code: CodeTooLong, Message: "This message is too long: it has " + strconv.Itoa(n) + " characters, " + strconv.Itoa(max) + " are allowed."}
	}
	for _, r := range text {
		if unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r' {
			return BadRequest("text has control characters")
		}
	}
	return nil
}

// CheckEmoji returns an error unless emoji is one to show below a message: up to 16
// code points, among them a symbol, and nothing that could be read as words, be
// invisible or turn the direction of the text around it.
func CheckEmoji(emoji string) error {
	symbols := 0
	for n, r := range []rune(emoji) {
		switch {
		case n == maxEmoji:
			return BadRequest("emoji is too long")
		case unicode.In(r, unicode.So, unicode.Sk, unicode.Sm) && r >= 0x80, r == 0x203C, r == 0x2049: // ‼ ⁉
			symbols++
		case r == 0x20E3: // turns a digit into a key
			symbols++
		case r >= '0' && r <= '9', r == '#', r == '*':
		case r == 0x200D, r == 0xFE0F, r >= 0xE0020 && r <= 0xE007F: // joiner, emoji style, tags of flags
		default:
			return BadRequest("emoji is not an emoji")
		}
	}
	if symbols == 0 {
		return BadRequest("emoji is not an emoji")
	}
	return nil
}

// CheckTopic returns an error unless topic is what a room may be about: one line of
// at most 250 code points, or "".
func CheckTopic(topic string) error {
	if topic == "" {
		return nil
	}
	if strings.ContainsAny(topic, "\r\n") {
		return BadRequest("a topic is one line")
	}
	return CheckText(topic, maxTopic)
}

// CheckRole returns an error unless role is one to give to somebody.
func CheckRole(role string) error {
	switch role {
	case Owner, Moderator, Plain, Muted, Banned:
		return nil
	}
	return BadRequest("role must be owner, moderator, member, muted or banned")
}

// CheckQuery returns an error unless query is something to look for, "" included.
func CheckQuery(query string) error {
	if utf8.RuneCountInString(query) > maxQuery {
		return BadRequest("a query has at most %d characters", maxQuery)
	}
	return nil
}

// Welcome is the first object that a socket hears.
type Welcome struct {
	Type             string    `json:"type"`
	User             string    `json:"user"`
	Instance         string    `json:"instance"`
	SessionExpiresAt time.Time `json:"session_expires_at"`
	PingMillis       int64     `json:"ping_ms"`
	Limits           Limits    `json:"limits"`
}

// Limits tells a client what it may send. Text counts code points.
type Limits struct {
	Text int `json:"text"`
}

// A RoomInfo is a room as the list of rooms shows it.
type RoomInfo struct {
	Room   Room   `json:"room"`
	Joined bool   `json:"joined"`
	With   string `json:"with,omitempty"`
	MarkInfo
	Muted   bool   `json:"muted,omitempty"`
	Role    string `json:"role,omitempty"` // of the person, unless they are a plain member
	Topic   string `json:"topic,omitempty"`
	TopicAt int64  `json:"topic_at,omitempty"` // Unix milliseconds
}

// A FoundRoom is a public room as somebody finds it who looks for one.
type FoundRoom struct {
	Room    Room   `json:"room"`
	Joined  bool   `json:"joined"`
	Topic   string `json:"topic,omitempty"`
	Members int64  `json:"members"`
}

// MarkInfo is a Mark as clients are told it.
type MarkInfo struct {
	Read     EventID `json:"read,omitempty"`
	ReadSeq  int64   `json:"read_seq,omitempty"`
	ReadBack int64   `json:"read_back,omitempty"`
}

// Info returns the mark as clients are told it.
func (m Mark) Info() MarkInfo { return MarkInfo{m.Event, m.Event.Seq(), m.Back} }

// A Mark is how far a person has read a room: up to Event, "" for nothing of it. Back
// counts how often they marked something as unread: of two marks the one with the
// larger Back is the later one, then the one with the larger seq. So marks may be told
// in any order.
type Mark struct {
	Event EventID `json:"event"`
	Back  int64   `json:"back,omitempty"`
}

// ParseMark returns the mark of a request, or a bad_request error.
func ParseMark(event string, back int64) (Mark, error) {
	id, err := ParseEventID("event", event)
	switch {
	case err != nil:
		return Mark{}, err
	case back < 0 || back > maxBack:
		return Mark{}, BadRequest("back must be 0 to %d", int64(maxBack))
	case id == "" && back == 0:
		return Mark{}, BadRequest("event is missing")
	}
	return Mark{id, back}, nil
}

// A Roster is who is in a room, and which of them are away.
type Roster struct {
	Here []string `json:"here,omitempty"`
	Away []string `json:"away,omitempty"`
}

// Answers to requests.
type (
	// Joined answers join. Heads and Fresh are for universe. Role is the person's, ""
	// for a plain member.
	Joined struct {
		Answer
		Room    Room              `json:"room"`
		Resumed bool              `json:"resumed"`
		Events  []json.RawMessage `json:"events"`
		Head    EventID           `json:"head"`
		Heads   map[Room]EventID  `json:"heads,omitempty"`
		Fresh   []Room            `json:"fresh,omitempty"`
		Role    string            `json:"role,omitempty"`
		Roster
	}
	// Kept answers send, edit, retract and react.
	Kept struct {
		Answer
		Room      Room    `json:"room"`
		Event     EventID `json:"event"`
		Seq       int64   `json:"seq"`
		Duplicate bool    `json:"duplicate"`
	}
	// Page answers history.
	Page struct {
		Answer
		Room   Room              `json:"room"`
		Events []json.RawMessage `json:"events"`
	}
	// RoomList answers rooms.
	RoomList struct {
		Answer
		Rooms []RoomInfo `json:"rooms"`
	}
	// Marked answers read: how far this person has read by now.
	Marked struct {
		Answer
		Room Room `json:"room"`
		MarkInfo
	}
	// MemberList answers members.
	MemberList struct {
		Answer
		Room    Room     `json:"room"`
		Members []Member `json:"members"`
	}
	// Hits answers search. Next is "" at the end.
	Hits struct {
		Answer
		Room   Room              `json:"room"`
		Events []json.RawMessage `json:"events"`
		Next   EventID           `json:"next"`
	}
	// Found answers find.
	Found struct {
		Answer
		Rooms []FoundRoom `json:"rooms"`
		More  bool        `json:"more,omitempty"`
	}
	// Done answers leave, invite, expel, role, topic, mute, away and back.
	Done struct {
		Answer
		Room Room `json:"room,omitempty"`
	}
	// Answer is what every answer begins with.
	Answer struct {
		Type string `json:"type"`
		ID   int64  `json:"id"`
	}
)

// A Member is somebody in a room. Role is "" for a plain member.
type Member struct {
	User  string `json:"user"`
	Owner bool   `json:"owner,omitempty"`
	Role  string `json:"role,omitempty"`
}

// OK returns the head of a good answer to the request of this id.
func OK(id int64) Answer { return Answer{Type: "ok", ID: id} }

// Refusal is the answer to a request that failed.
type Refusal struct {
	Answer
	Code       string `json:"code"`
	Message    string `json:"message"`
	RetryAfter int64  `json:"retry_after_ms,omitempty"`
}

// Refuse returns the answer that tells a client of err.
func Refuse(id int64, err *Error) Refusal {
	return Refusal{Answer{"error", id}, err.Code, err.Message, err.RetryAfter.Milliseconds()}
}

// Notices carry no seq, are not kept and may be lost.
type Notice struct {
	Type     string `json:"type"`
	Room     Room   `json:"room,omitempty"`
	User     string `json:"user,omitempty"`
	From     string `json:"from,omitempty"`
	State    string `json:"state,omitempty"`
	Joined   *bool  `json:"joined,omitempty"`
	With     string `json:"with,omitempty"`
	WithinMS int64  `json:"within_ms,omitempty"`
	Role     string `json:"role,omitempty"`
}

// Read tells a person's sockets how far they have read a room.
type Read struct {
	Type string `json:"type"`
	Room Room   `json:"room"`
	MarkInfo
}

// Encode returns v as one JSON object without a newline. v must be one of this
// package's wire types.
func Encode(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("chat: encode: " + err.Error()) // only plain structs reach this
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'})
}

// Raw returns the events' JSON, never nil, ready to stand in an answer.
func Raw(events []Event) []json.RawMessage {
	raw := make([]json.RawMessage, len(events))
	for i, ev := range events {
		raw[i] = ev.Data
	}
	return raw
}
