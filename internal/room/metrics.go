package room

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var (
	openRooms = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "chatd_rooms",
		Help: "Rooms that have readers on this instance.",
	})
	delivered = promauto.NewCounter(prometheus.CounterOpts{
		Name: "chatd_events_delivered_total",
		Help: "Durable events put into readers' queues.",
	})
	gaps = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "chatd_room_gaps_total",
		Help: "Looks into the feed for events that may have been missed, by result: filled, none, lost, failed.",
	}, []string{"result"})
	refilled = promauto.NewCounter(prometheus.CounterOpts{
		Name: "chatd_events_refilled_total",
		Help: "Events that the relay missed and the feed brought.",
	})
	shed = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "chatd_queue_drops_total",
		Help: "What full queues cost, by kind: ephemeral (shed), slow (connection given up).",
	}, []string{"kind"})
)
