package cluster

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// redisSay is [Cluster.RedisSay] to one at addr.
func redisSay(ctx context.Context, addr, command string) (answer string, err error) {
	err = talk(ctx, "tcp", addr, func(conn net.Conn) error {
		if _, err := io.WriteString(conn, command+"\r\n"); err != nil {
			return err
		}
		if answer, err = readReply(bufio.NewReader(conn)); err != nil {
			return fmt.Errorf("redis: %s: %w", command, err)
		}
		return nil
	})
	return answer, err
}

const talkWithin = 2 * time.Second

// talk connects, has a talk of at most talkWithin, and hangs up.
func talk(ctx context.Context, network, addr string, what func(net.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, talkWithin)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	return what(conn)
}

// readReply reads one answer of RESP, version 2.
func readReply(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", errors.New("an empty answer")
	}
	kind, rest := line[0], line[1:]
	switch kind {
	case '+', ':':
		return rest, nil
	case '-':
		return "", errors.New(rest)
	case '$', '*':
		n, err := strconv.Atoi(rest)
		if err != nil || n < 0 {
			return "", err // nothing there is an answer too
		}
		if kind == '$' {
			text := make([]byte, n+len("\r\n"))
			_, err := io.ReadFull(r, text)
			return string(text[:n]), err
		}
		var parts []string
		for range n {
			part, err := readReply(r)
			if err != nil {
				return "", err
			}
			parts = append(parts, part)
		}
		return strings.Join(parts, "\n"), nil
	}
	return "", fmt.Errorf("an answer of no known kind: %q", line)
}

func redisPing(ctx context.Context, addr string) error {
	// While it loads its file it says -LOADING.
	answer, err := redisSay(ctx, addr, "PING")
	if err == nil && answer != "PONG" {
		err = fmt.Errorf("redis says %q", answer)
	}
	return err
}

// Metric is the sum of a metric, named with its labels as on /metrics, over all
// instances that run. One that no instance has said yet is 0.
func (c *Cluster) Metric(ctx context.Context, name string) (sum float64, err error) {
	for _, i := range c.Instances() {
		if i.PID() == 0 {
			continue
		}
		value, err := metric(ctx, "http://"+i.Admin+"/metrics", name)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", i.Name, err)
		}
		sum += value
	}
	return sum, nil
}

func metric(ctx context.Context, url, name string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := looker.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(text) {
		if value, ok := strings.CutPrefix(string(line), name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, nil
}
