package openstack

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/deskstorm/deskstorm/cloud/notification"
	"github.com/deskstorm/deskstorm/exporters/collector"
)

var (
	notifications = collector.Counter("deskstorm_openstack_notifications_total",
		"Notifications of this priority that the service sent.", "service", "priority")
	malformed = collector.Counter("deskstorm_openstack_notifications_malformed_total",
		"Messages among the notifications that are none.")
	listening = collector.Gauge("deskstorm_openstack_listening",
		"1 while notifications are heard, 0 while the message broker is away.")
)

// priorities are those that are listened to, as routing keys have them.
var priorities = []string{"error", "critical"}

// publishers are the services whose names are labels, as notification.Notification.Service has them.
var publishers = []string{
	"nova-api", "nova-compute", "nova-conductor", "nova-scheduler", "network", "dhcp_agent", "l3_agent", "image", "identity", "volume",
}

// notified counts notifications.
type notified struct {
	notifications *prometheus.CounterVec
	malformed     *prometheus.CounterVec
	listening     prometheus.Gauge
}

func newNotified() *notified {
	n := &notified{notifications: notifications.CounterVec(), malformed: malformed.CounterVec(), listening: listening.GaugeVec().WithLabelValues()}
	for _, service := range append([]string{other}, publishers...) {
		for _, priority := range priorities {
			n.notifications.WithLabelValues(service, priority).Add(0)
		}
	}
	n.malformed.WithLabelValues().Add(0)
	return n
}

func (n *notified) handle(of notification.Notification) {
	priority := strings.ToLower(of.Priority)
	for _, known := range priorities {
		if priority == known {
			n.notifications.WithLabelValues(serviceOf(of), priority).Inc()
		}
	}
}

func serviceOf(of notification.Notification) string { return known(publishers, of.Service()) }

func (n *notified) bad(error) { n.malformed.WithLabelValues().Inc() }
