package cluster

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are taken from below Linux's range for outgoing connections (32768 and up).
// A port that net.Listen(":0") gives is from that range: while its owner is being
// restarted, any outgoing connection may get it.
const (
	lowestPort  = 20_000
	highestPort = 32_000
)

// FreeAddr is an address on loopback that nobody listens on now. Somebody else may
// take it before its owner does; see startOnFreePorts.
func FreeAddr() (string, error) {
	var err error
	for range 100 {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(lowestPort+rand.IntN(highestPort-lowestPort)))
		if err = available(addr); err == nil {
			return addr, nil
		}
	}
	return "", fmt.Errorf("no free port: %w", err)
}

func available(addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return ln.Close()
}
