package web

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// reportKind is the content type of what browsers report.
const reportKind = "application/csp-report"

// directives are those of the policy, for counting: a stranger's word is no label.
var directives = func() (names []string) {
	for directive := range strings.SplitSeq(policy, ";") {
		name, _, _ := strings.Cut(strings.TrimSpace(directive), " ")
		names = append(names, name)
	}
	return append(names, "script-src-elem", "script-src-attr", "style-src-elem", "style-src-attr", "frame-src")
}()

// report takes a browser's word that something on a page went against the policy: an
// attack, an extension, or a fault of ours. Anybody can send it, so it is counted, one a
// second is logged, and nothing else is made of it.
func (s *Server) report(c echo.Context) error {
	var body struct {
		Report struct {
			Directive string `json:"violated-directive"`
			Blocked   string `json:"blocked-uri"`
		} `json:"csp-report"`
	}
	if err := json.NewDecoder(c.Request().Body).Decode(&body); err != nil {
		return echo.ErrBadRequest
	}
	directive, _, _ := strings.Cut(body.Report.Directive, " ")
	if !slices.Contains(directives, directive) {
		directive = "other"
	}
	violations.WithLabelValues(directive).Inc()
	if now := time.Now().Unix(); s.reported.Swap(now) != now {
		blocked := []rune(body.Report.Blocked)
		s.Log.Info("a browser reports what the policy has blocked", "directive", directive, "blocked", string(blocked[:min(len(blocked), 100)]))
	}
	return c.NoContent(http.StatusNoContent)
}
