package bench

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"time"
)

// WebSocket's opcodes (RFC 6455, section 5.2).
const (
	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10
)

// appendFrame appends a client's frame to buf. It is masked with zeros, which changes
// nothing: to servers it is a mask as good as any.
func appendFrame(buf []byte, op byte, payload []byte) []byte {
	const final, masked = 0x80, 0x80
	buf = append(buf, final|op)
	switch n := len(payload); {
	case n < 126:
		buf = append(buf, masked|byte(n))
	case n < 1<<16:
		buf = append(buf, masked|126)
		buf = binary.BigEndian.AppendUint16(buf, uint16(n))
	default:
		buf = append(buf, masked|127)
		buf = binary.BigEndian.AppendUint64(buf, uint64(n))
	}
	buf = append(buf, 0, 0, 0, 0)
	return append(buf, payload...)
}

// cutFrame returns the first of a server's frames in data and what follows; ok is
// false if it is not whole yet.
func cutFrame(data []byte) (op byte, payload, rest []byte, ok bool) {
	if len(data) < 2 {
		return 0, nil, data, false
	}
	n, head := int(data[1]&0x7f), 2
	switch n {
	case 126:
		if head = 4; len(data) < head {
			return 0, nil, data, false
		}
		n = int(binary.BigEndian.Uint16(data[2:]))
	case 127:
		if head = 10; len(data) < head {
			return 0, nil, data, false
		}
		n = int(binary.BigEndian.Uint64(data[2:]))
	}
	if len(data)-head < n {
		return 0, nil, data, false
	}
	return data[0] & 0x0f, data[head : head+n], data[head+n:], true
}

// mark stands once in each message, and nowhere else in what servers send: so to
// count deliveries is to count a byte.
const mark = '~'

// textBytes is the length of a message.
const textBytes = 128

const stampBytes = 1 + 16 + 8 // mark, moment and number, in hex

// appendText appends a message's text: when it was sent, and its number.
func appendText(buf []byte, at time.Duration, number int) []byte {
	var b [12]byte
	binary.BigEndian.PutUint64(b[:], uint64(at))
	binary.BigEndian.PutUint32(b[8:], uint32(number))
	buf = append(buf, mark)
	buf = hex.AppendEncode(buf, b[:])
	return append(buf, padding...)
}

var padding = bytes.Repeat([]byte("x"), textBytes-stampBytes)

// stamps calls f for each message in the payload, in order.
func stamps(payload []byte, f func(at time.Duration, number int)) {
	for {
		i := bytes.IndexByte(payload, mark)
		if i < 0 || len(payload)-i < stampBytes {
			return
		}
		var b [12]byte
		if _, err := hex.Decode(b[:], payload[i+1:i+stampBytes]); err == nil {
			f(time.Duration(binary.BigEndian.Uint64(b[:])), int(binary.BigEndian.Uint32(b[8:])))
		}
		payload = payload[i+stampBytes:]
	}
}
