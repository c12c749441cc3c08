//go:build integration

package integration_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"chatd/internal/cluster"
)

// startTLS runs a HAProxy with the configuration's lines for TLS, in front of the
// cluster's first instance, and returns its addresses with and without TLS.
func startTLS(t *testing.T, c *cluster.Cluster) (secure, plain string, roots *x509.CertPool) {
	t.Helper()
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	both := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	certificate := filepath.Join(dir, "chat.pem")
	if err := os.WriteFile(certificate, both, 0o644); err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(both)

	text, err := os.ReadFile(filepath.Join(root(t), "haproxy", "haproxy.cfg"))
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^    #   (bind|http-)`)
	if n := len(lines.FindAll(text, -1)); n != 5 {
		t.Fatalf("%d lines for TLS in haproxy.cfg, want 5", n)
	}
	secure, plain = freeAddr(t), freeAddr(t)
	cfg := lines.ReplaceAllString(string(text), "    $1")
	cfg = strings.NewReplacer("bind :443 ", "bind "+secure+" ", "bind :80\n", "bind "+plain+"\n", "/etc/haproxy/chat.pem", certificate).Replace(cfg)
	file := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(cfg), 0o600); err != nil {
		t.Fatal(err)
	}
	program, err := exec.LookPath("haproxy")
	if err != nil {
		program = "/usr/sbin/haproxy"
	}
	var log bytes.Buffer
	cmd := exec.Command(program, "-db", "-f", file)
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Env = append(os.Environ(), "BIND="+freeAddr(t), "RUNTIME_SOCKET="+filepath.Join(dir, "s"), "STATE_FILE=/dev/null", "CHATD_1="+c.Instances()[0].Addr, "CHATD_2_STATE=disabled", "CHATD_3_STATE=disabled", "RUN_AS=root", "RUN_AS_GROUP=root")
	if os.Getuid() != 0 {
		cmd.Env = append(cmd.Env, "RUN_AS=", "RUN_AS_GROUP=")
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	eventually(t, 10*time.Second, "HAProxy listens, and serves", func() bool {
		conn, err := tls.Dial("tcp", secure, &tls.Config{RootCAs: roots})
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return secure, plain, roots
}

func freeAddr(t *testing.T) string {
	t.Helper()
	addr, err := cluster.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// Behind TLS the cookie is for TLS only, browsers are told to use nothing else, and what
// comes without it is led there or refused.
func testBehindTLS(t *testing.T, c *cluster.Cluster) {
	secure, plain, roots := startTLS(t, c)
	p := visitor(t, "https://"+secure)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Cleanup(transport.CloseIdleConnections)
	p.http.Transport = transport
	eventually(t, 10*time.Second, "the instance is up", func() bool { return p.get(t, "/login").status == http.StatusOK })

	a := p.ask(t, http.MethodPost, "/login", url.Values{"username": {"tls-alice"}}, http.Header{"Origin": {"https://" + secure}})
	set := a.header.Values("Set-Cookie")
	if a.status != http.StatusSeeOther || len(set) == 0 {
		t.Fatalf("login is %d, sets %q: %s", a.status, set, a.body)
	}
	for _, cookie := range set {
		for _, attribute := range []string{"; Secure", "; HttpOnly", "; SameSite=Lax", "; Path=/"} {
			if !strings.Contains(cookie+";", attribute+";") {
				t.Errorf("%q has no %s", cookie, attribute)
			}
		}
		if strings.Contains(strings.ToLower(cookie), "domain") {
			t.Errorf("%q is for other hosts too", cookie)
		}
	}
	if w := p.connect(t); w.user != "tls-alice" {
		t.Errorf("the socket is %q's", w.user)
	}
	for _, origin := range []string{"http://" + secure, "https://" + plain, "http://" + plain} {
		if _, status, err := p.shake(t, http.Header{"Origin": {origin}}); err == nil || status != http.StatusForbidden {
			t.Errorf("a handshake from %s is %d", origin, status)
		}
	}
	for _, path := range []string{"/", "/login", "/nothing", "/metrics", "/api/rooms", "/livez", "/static/x/js/main.js"} {
		if hsts := p.get(t, path).header.Values("Strict-Transport-Security"); len(hsts) != 1 || hsts[0] != "max-age=31536000" {
			t.Errorf("%s: TLS for ever: %q", path, hsts)
		}
	}

	q := visitor(t, "http://"+plain)
	for _, path := range []string{"/", "/login?x=y", "/ws"} {
		a := q.get(t, path)
		if to := a.header.Get("Location"); a.status != http.StatusMovedPermanently || to != "https://"+plain+path || a.header.Get("Strict-Transport-Security") != "" {
			t.Errorf("GET %s without TLS: %d to %q", path, a.status, to)
		}
	}
	for _, path := range []string{"/login", "/session/refresh", "/logout"} {
		if a := q.ask(t, http.MethodPost, path, url.Values{"username": {"tls-bob"}}, nil); a.status != http.StatusForbidden || a.header.Get("Set-Cookie") != "" {
			t.Errorf("POST %s without TLS: %d, sets %q", path, a.status, a.header.Get("Set-Cookie"))
		}
	}

	for _, x := range []struct {
		name string
		with *tls.Config
		ok   bool
	}{
		{"TLS 1.0", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, false},
		{"TLS 1.1", &tls.Config{MinVersion: tls.VersionTLS11, MaxVersion: tls.VersionTLS11}, false},
		{"TLS 1.2", &tls.Config{MaxVersion: tls.VersionTLS12}, true},
		{"TLS 1.3", &tls.Config{MinVersion: tls.VersionTLS13}, true},
		{"no forward secrecy", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_CBC_SHA}}, false},
		{"CBC", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA}}, false},
		{"3DES and RC4", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA}}, false},
	} {
		x.with.RootCAs = roots
		conn, err := tls.Dial("tcp", secure, x.with)
		if (err == nil) != x.ok {
			t.Errorf("%s: %v", x.name, err)
		}
		if err == nil {
			conn.Close()
		}
	}
	two := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	t.Cleanup(two.CloseIdleConnections)
	resp, err := (&http.Client{Transport: two}).Get("https://" + secure + "/login")
	if err != nil || resp.ProtoMajor != 2 || resp.StatusCode != http.StatusOK {
		t.Errorf("by HTTP/2: %v, %v", resp, err)
	} else {
		resp.Body.Close()
	}
	socketByHTTP2(t, p, secure, roots)
}

// socketByHTTP2 opens a socket as browsers do on a connection that speaks HTTP/2 (RFC 8441).
func socketByHTTP2(t *testing.T, p *person, addr string, roots *x509.CertPool) {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: roots, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	var head bytes.Buffer
	encoder := hpack.NewEncoder(&head)
	for _, field := range [][2]string{
		{":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "https"}, {":path", "/ws"}, {":authority", addr},
		{"origin", "https://" + addr}, {"cookie", "jsessionid=" + p.cookie()}, {"sec-websocket-version", "13"}, {"sec-websocket-protocol", "chatd.v1"},
	} {
		_ = encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}) // to memory
	}
	var heard []byte
	for !bytes.Contains(heard, []byte(`"type":"welcome"`)) {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatalf("after %q: %v", heard, err)
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if allowed, ok := frame.Value(http2.SettingEnableConnectProtocol); !frame.IsAck() && (!ok || allowed != 1) {
				t.Fatal("sockets by HTTP/2 are not offered")
			} else if frame.IsAck() {
				continue
			}
			_ = framer.WriteSettingsAck() // what fails here is seen at the next read
			_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head.Bytes(), EndHeaders: true})
		case *http2.MetaHeadersFrame:
			if status := frame.PseudoValue("status"); status != "200" {
				t.Fatalf("the socket is %s", status)
			}
		case *http2.DataFrame:
			heard = append(heard, frame.Data()...)
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			t.Fatalf("after %q: %v", heard, frame)
		}
	}
}
