package web

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var handshakes = promauto.NewCounterVec(prometheus.CounterOpts{
	Name: "chatd_handshakes_total",
	Help: "Handshakes, by result: ok (let through), or the status that refused it.",
}, []string{"result"})

var violations = promauto.NewCounterVec(prometheus.CounterOpts{
	Name: "chatd_policy_violations_total",
	Help: "What browsers reported to be against the content security policy, by directive; anybody can report.",
}, []string{"directive"})
