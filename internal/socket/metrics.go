package socket

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var (
	open = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "chatd_sockets",
		Help: "Open WebSockets.",
	})
	closed = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "chatd_sockets_closed_total",
		Help: "Closed WebSockets, by close code, or peer where the peer closed.",
	}, []string{"code"})
	requests = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "chatd_requests_total",
		Help: "Requests on sockets, by type and result: ok, or the error's code.",
	}, []string{"type", "result"})
)
