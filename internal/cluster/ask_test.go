package cluster

import (
	"bufio"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestRedisAnswers(t *testing.T) {
	for answer, want := range map[string]string{
		"+PONG\r\n":                            "PONG",
		":12\r\n":                              "12",
		"$5\r\nhe\nlo\r\n":                     "he\nlo",
		"$-1\r\n":                              "",
		"*2\r\n$9\r\n127.0.0.1\r\n$1\r\n7\r\n": "127.0.0.1\n7",
		"-LOADING its file\r\n":                "error: LOADING its file",
		"$5\r\nhel":                            "error: unexpected EOF",
		"?\r\n":                                `error: an answer of no known kind: "?"`,
		"\r\n":                                 "error: an empty answer",
	} {
		got, err := readReply(bufio.NewReader(strings.NewReader(answer)))
		if err != nil {
			got = "error: " + err.Error()
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", answer, got, want)
		}
	}
}

func TestRedisIsAskedOneCommand(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	heard := make(chan string, 1)
	go func() { // ends with its one connection
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		line, _ := bufio.NewReader(conn).ReadString('\n')
		heard <- line
		_, _ = conn.Write([]byte(":3\r\n"))
	}()
	c := &Cluster{Redis: &Process{Addr: ln.Addr().String()}}
	answer, err := c.RedisSay(within(t, 10*time.Second), "CLIENT KILL TYPE pubsub")
	if err != nil || answer != "3" {
		t.Errorf("got %q, %v", answer, err)
	}
	if got := <-heard; got != "CLIENT KILL TYPE pubsub\r\n" {
		t.Errorf("Redis heard %q", got)
	}
}

func TestMetric(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("# HELP a_total Of a.\na_total{kind=\"slow\"} 3\na_total{kind=\"fast\"} 4\n"))
	}))
	defer server.Close()
	for name, want := range map[string]float64{`a_total{kind="fast"}`: 4, `a_total{kind="none"}`: 0} {
		got, err := metric(within(t, 10*time.Second), server.URL, name)
		if err != nil || got != want {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
}
