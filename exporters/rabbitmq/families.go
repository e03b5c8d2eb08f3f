package rabbitmq

import "github.com/deskstorm/deskstorm/exporters/collector"

// What is told of connections, by broker, service and group of peers.
var (
	connections = collector.Gauge("deskstorm_rabbitmq_connections",
		"Connections that services have with the broker, without the canaries' own.", byService...)
	withoutHeartbeat = collector.Gauge("deskstorm_rabbitmq_connections_without_heartbeat",
		"Connections that negotiated no AMQP heartbeat; from the management API.", byService...)
	heartbeat = collector.Gauge("deskstorm_rabbitmq_heartbeat_seconds",
		"The shortest (bound min) and longest (max) AMQP heartbeat that connections negotiated, of those that have one.",
		append(byService, "bound")...)
	idle = collector.Gauge("deskstorm_rabbitmq_idle_seconds",
		"For how long no byte moved on the connection that was silent longest; heartbeats are bytes.", byService...)
	sockets = collector.Gauge("deskstorm_rabbitmq_sockets",
		"Connections by the timer that the kernel of the broker's host runs: none, keepalive, retransmit or zero_window.",
		append(byService, "timer")...)
	keepAlive = collector.Gauge("deskstorm_rabbitmq_keepalive_seconds",
		"After how long a silence the broker's kernel probes the peer: the longest of the connections whose keepalive is on.",
		byService...)
	halfOpen = collector.Gauge("deskstorm_rabbitmq_suspected_half_open_connections",
		"Connections whose peer acknowledges no more what the broker's kernel sent again and again.", byService...)
	unacknowledged = collector.Gauge("deskstorm_rabbitmq_unacknowledged_messages",
		"Messages that the broker delivered and that were not acknowledged.", byService...)
	unacknowledgedGrowth = collector.Gauge("deskstorm_rabbitmq_unacknowledged_growth_seconds",
		"For how long a connection's unacknowledged messages have not become fewer: the longest of all; 0 if none has any.",
		byService...)
	weakestProtection = collector.Gauge("deskstorm_rabbitmq_weakest_protection_seconds",
		"After how long a silence a heartbeat or TCP keepalive would be sent on the least protected connection; +Inf: never.",
		byService...)
	unprotected = collector.Gauge("deskstorm_rabbitmq_unprotected_connections",
		"Connections on which nothing would be sent before they may be cut, or nothing ever.", byService...)
	lossRisk = collector.Gauge("deskstorm_rabbitmq_message_loss_risk",
		"1 if silent connections are cut and the weakest protection is not sooner than a silence that was seen to be survived.",
		byService...)
)

// What canaries tell.
var (
	cutOff = collector.Gauge("deskstorm_rabbitmq_idle_cutoff_seconds",
		"Between which silences connections are cut: the longest survived (lower), the shortest lost (upper; +Inf if none was).",
		"broker", "bound")
	canaryUp = collector.Gauge("deskstorm_rabbitmq_canary_up",
		"1 if the canary's last message arrived, else 0.", "broker", "canary")
	canarySilence = collector.Gauge("deskstorm_rabbitmq_canary_silence_seconds",
		"For how long the canary's connection is silent before its message; 0 for a fresh connection.", "broker", "canary")
	canaryTrips = collector.Counter("deskstorm_rabbitmq_canary_round_trips_total",
		"Canaries' round trips by outcome: delivered, lost (confirmed, not delivered), closed, refused, denied, timeout, "+
			"unconfirmed or failed.",
		"broker", "canary", "outcome")
	canaryLatency = collector.Histogram("deskstorm_rabbitmq_canary_round_trip_seconds",
		"From publishing to the delivery of canaries' messages that arrived.",
		[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}, "broker", "canary")
	canaryLast = collector.Gauge("deskstorm_rabbitmq_canary_last_round_trip_timestamp_seconds",
		"When the canary's last round trip ended.", "broker", "canary")
	canaryCleanupFailures = collector.Counter("deskstorm_rabbitmq_canary_cleanup_failures_total",
		"How often a canary's queue or half-open connection may have been left on the broker for a while.", "broker", "canary")
)

// byService are the labels of what is told of services. Appending copies it: it has no room.
var byService = []string{"broker", "service", "group"}

// Families are all metrics of the exporter.
func Families() []*collector.Family {
	return []*collector.Family{
		connections, withoutHeartbeat, heartbeat, idle, sockets, keepAlive, halfOpen, unacknowledged, unacknowledgedGrowth,
		weakestProtection, unprotected, lossRisk,
		cutOff, canaryUp, canarySilence, canaryTrips, canaryLatency, canaryLast, canaryCleanupFailures,
	}
}
