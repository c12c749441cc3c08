package web

import (
	"context"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// policy lets a page load what this server serves and nothing else; no inline
// code, no frames, and no text that becomes markup.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'; report-uri /report"

// documentHeaders mean something for pages only; an image can be one.
var documentHeaders = []string{"Content-Security-Policy", "Cross-Origin-Opener-Policy", "Permissions-Policy", "Referrer-Policy"}

// unused are the features of a browser that the page does not need, so nothing that
// might get into it has them either.
const unused = "accelerometer=(), autoplay=(), camera=(), display-capture=(), encrypted-media=(), fullscreen=(), gamepad=(), " +
	"geolocation=(), gyroscope=(), hid=(), idle-detection=(), local-fonts=(), magnetometer=(), microphone=(), midi=(), payment=(), " +
	"picture-in-picture=(), publickey-credentials-create=(), publickey-credentials-get=(), screen-wake-lock=(), serial=(), " +
	"storage-access=(), usb=(), window-management=(), xr-spatial-tracking=()"

func (s *Server) securityHeaders(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		if s.secure(c.Request()) {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin") // no-referrer would make forms say "Origin: null"
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", unused)
		h.Set("Cache-Control", "no-store") // static files say otherwise
		return next(c)
	}
}

// knownHost refuses requests for hosts that are not ours, where it is known which are:
// another name that leads here would be another origin, with rights of its own. Health
// is asked for by address.
func (s *Server) knownHost(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		path := c.Request().URL.Path
		if len(s.Hosts) == 0 || path == "/livez" || path == "/readyz" {
			return next(c)
		}
		host, scheme := c.Request().Host, "http"
		if s.secure(c.Request()) {
			scheme = "https"
		}
		if !slices.ContainsFunc(s.Hosts, func(ours string) bool { return hostPort(host, scheme) == hostPort(ours, scheme) }) {
			return &statusError{http.StatusMisdirectedRequest, "unknown_host", "There is no chat under this name."}
		}
		return next(c)
	}
}

// plainBody refuses bodies that are not what a form sends: none is compressed, and no
// page of another site can make a browser send anything else without being asked.
func plainBody(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if r.ContentLength == 0 {
			return next(c)
		}
		kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		want := "application/x-www-form-urlencoded"
		if c.Path() == "/report" {
			want = reportKind
		}
		if r.Header.Get("Content-Encoding") != "" || err != nil || kind != want {
			return echo.ErrUnsupportedMediaType
		}
		return next(c)
	}
}

// securityText says where faults are reported (RFC 9116).
func (s *Server) securityText(c echo.Context) error {
	if s.Contact == "" {
		return echo.ErrNotFound
	}
	const goodFor = 180 * 24 * time.Hour
	return c.String(http.StatusOK, "Contact: "+s.Contact+"\nExpires: "+time.Now().Add(goodFor).UTC().Format(time.RFC3339)+"\nPreferred-Languages: en, de\n")
}

// sameOrigin refuses requests that change something and come from another site's
// page. The handshake, a GET, is guarded by originAllowed.
func (s *Server) sameOrigin(next echo.HandlerFunc) echo.HandlerFunc {
	guard := http.NewCrossOriginProtection()
	for _, origin := range s.Origins {
		if err := guard.AddTrustedOrigin(origin); err != nil {
			s.Log.Warn("origin not usable", "origin", origin, "err", err) // config has checked it
		}
	}
	return func(c echo.Context) error {
		if err := guard.Check(c.Request()); err != nil {
			return &statusError{http.StatusForbidden, "foreign_origin", "This request came from another site's page."}
		}
		return next(c)
	}
}

// originAllowed says whether the request's Origin is the one that it was sent
// to, scheme and port included, or one that the operator named. A request
// without an Origin, or with two, is not from a page and not allowed.
func (s *Server) originAllowed(r *http.Request) bool {
	values := r.Header.Values("Origin")
	if len(values) != 1 {
		return false
	}
	u, err := url.Parse(values[0])
	if err != nil || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return false
	}
	scheme := "http"
	if s.secure(r) {
		scheme = "https"
	}
	if u.Scheme == scheme && hostPort(u.Host, scheme) == hostPort(r.Host, scheme) {
		return true
	}
	return slices.Contains(s.Origins, strings.ToLower(values[0]))
}

func hostPort(host, scheme string) string {
	host = strings.ToLower(host)
	if scheme == "https" {
		return strings.TrimSuffix(host, ":443")
	}
	return strings.TrimSuffix(host, ":80")
}

// Secure says whether the browser came by TLS, to this instance or to a proxy
// that is believed.
func Secure(proxies []netip.Prefix) func(*http.Request) bool {
	return func(r *http.Request) bool {
		return r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" && believed(proxies, r.RemoteAddr)
	}
}

func (s *Server) secure(r *http.Request) bool { return Secure(s.Proxies)(r) }

func believed(proxies []netip.Prefix, remote string) bool {
	addr, err := netip.ParseAddrPort(remote)
	return err == nil && within(proxies, addr.Addr())
}

func within(networks []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(addr.Unmap()) })
}

// realIP finds the browser's address behind the proxies that are believed.
func (s *Server) realIP() echo.IPExtractor {
	trust := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, p := range s.Proxies {
		_, network, err := net.ParseCIDR(p.String())
		if err == nil {
			trust = append(trust, echo.TrustIPRange(network))
		}
	}
	return echo.ExtractIPFromXFFHeader(trust...)
}

// counted returns the browser's address for counting; the zero address if only a proxy's
// is known, behind which there may be anybody.
func (s *Server) counted(c echo.Context) netip.Addr {
	addr, err := netip.ParseAddr(c.RealIP())
	if err != nil || within(s.Proxies, addr) {
		return netip.Addr{}
	}
	return addr
}

// readOut reads what is left of a body that is too large, within reason, before
// it is refused: a proxy that is still sending it may drop an answer that comes first.
func readOut(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		err := next(c)
		if err != nil && statusOf(err).status == http.StatusRequestEntityTooLarge {
			_, _ = io.CopyN(io.Discard, c.Request().Body, 4*maxBodyBytes)
		}
		return err
	}
}

// timeout bounds how long a request's handler waits for Redis.
func timeout(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		ctx, cancel := context.WithTimeout(c.Request().Context(), requestTimeout)
		defer cancel()
		c.SetRequest(c.Request().WithContext(ctx))
		return next(c)
	}
}
