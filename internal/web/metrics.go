package web

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var handshakes = promauto.NewCounterVec(prometheus.CounterOpts{
	Name: "chatd_handshakes_total",
	Help: "Handshakes that have ended, by result: ok (a socket was served), or the status that refused it.",
}, []string{"result"})
