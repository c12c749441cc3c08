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

// RedisSay says one command, its words separated by spaces, to Redis and returns the
// answer: a bulk or simple string or an integer as its text, an array with each
// element on a line of its own. Redis' own errors are errors here.
func (c *Cluster) RedisSay(ctx context.Context, command string) (string, error) {
	return redisSay(ctx, c.Redis.Addr, command)
}

func redisSay(ctx context.Context, addr, command string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, command+"\r\n"); err != nil {
		return "", err
	}
	answer, err := readReply(bufio.NewReader(conn))
	if err != nil {
		return "", fmt.Errorf("redis: %s: %w", command, err)
	}
	return answer, nil
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
