package feed

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var (
	appended = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "chatd_events_appended_total",
		Help: "Events that this instance appended, by result: ok, or duplicate for a repeated key.",
	}, []string{"result"})
	received = promauto.NewCounter(prometheus.CounterOpts{
		Name: "chatd_relay_events_total",
		Help: "Durable events that the relay brought to this instance.",
	})
	relayLag = promauto.NewHistogram(prometheus.HistogramOpts{
		Name:    "chatd_relay_lag_seconds",
		Help:    "Time that this instance's probe took through Redis and back.",
		Buckets: prometheus.ExponentialBuckets(0.0002, 2.5, 10),
	})
	reconnects = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "chatd_relay_reconnects_total",
		Help: "Relay connections given up, by reason: deaf, or error.",
	}, []string{"reason"})
)
