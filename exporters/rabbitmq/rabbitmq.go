// Package rabbitmq tells which of a RabbitMQ broker's connections would lose a message to a firewall that forgets silent
// connections, before one is lost, and which seem to have been forgotten already.
//
// Three sources know parts of it, and any of them may be left out: the management API knows services, heartbeats and what is
// unacknowledged; the kernel of the broker's host knows keepalive and what the peer acknowledges no more; canaries measure from
// outside when connections are cut. What RabbitMQ's own prometheus plugin tells is not told again.
package rabbitmq

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/deskstorm/deskstorm/exporters/collector"
	"github.com/deskstorm/deskstorm/internal/configfile"
	probe "github.com/deskstorm/deskstorm/probe/amqp"
)

// Config is the exporter's configuration. Names are the values of labels.
type Config struct {
	Brokers  []Broker
	Services []string // told apart by their connections' names; the others are "other". Empty: DefaultServices
	Groups   []Group  // of peers, by address, the first that matches; the others are "other"
}

// Group is a group of peers.
type Group struct {
	Name     string
	Networks []netip.Prefix
}

// Broker is a broker: one node, or a cluster that is asked at one node. It needs at least one of its three sources.
type Broker struct {
	Name       string
	Management *Management
	Sockets    *Sockets
	Canary     *Canary
	// CutOff is after how long a silence the firewall is known to cut connections. It takes the place of the canaries' ladder,
	// where canaries cannot be behind the firewall. 0: not known.
	CutOff time.Duration
}

// Management is the broker's management API.
type Management struct {
	URL      string // http://broker:15672
	User     string // with the tag "monitoring"
	Password configfile.Secret
	CA       string        // the file that has the authorities' certificates, in PEM; empty: the system's
	Node     string        // only connections of this node ("rabbit@broker1"); empty: of all
	Interval time.Duration // 0: 1 min
	Timeout  time.Duration // 0: 50 s

	dial dialFunc // for tests
}

// Sockets are the connections that the kernel of this host has with the broker's clients.
type Sockets struct {
	Ports     []uint16      // the broker's; empty: 5672 and 5671
	Namespace string        // a file for the network namespace that the broker runs in; empty: the exporter's own
	Interval  time.Duration // 0: 15 s
}

// Canary is who sends messages to itself.
type Canary struct {
	Address  string // host:port of the broker
	VHost    string // best one of its own; empty: /
	User     string
	Password configfile.Secret
	TLS      bool
	CA       string // the file that has the authorities' certificates, in PEM; empty: the system's
	// Instance is in its queues' names, and must be another for each exporter that has canaries at a broker. Empty: the host's
	// name.
	Instance string
	Interval time.Duration   // of round trips on fresh connections; 0: 1 min
	Ladder   []time.Duration // the silences; nil: DefaultLadder
	Idle     []IdleCanary    // that are protected as services should be
	Patience time.Duration   // for each step; 0: 10 s

	dial dialFunc // for tests
}

// IdleCanary is a canary whose connection is silent for a time before each round trip.
type IdleCanary struct {
	Name      string
	Silence   time.Duration
	Heartbeat time.Duration // 0: off
	KeepAlive time.Duration // of TCP: the time before, and between, its three probes; 0: off
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// DefaultServices are OpenStack's programs that are connected to the broker, as oslo.messaging names their connections.
func DefaultServices() []string {
	return []string{
		"nova-compute", "nova-conductor", "nova-scheduler", "nova-api", "nova-api-wsgi",
		"neutron-server", "neutron-rpc-server", "neutron-openvswitch-agent", "neutron-linuxbridge-agent", "neutron-dhcp-agent",
		"neutron-l3-agent", "neutron-metadata-agent", "cinder-api", "cinder-scheduler", "cinder-volume", "cinder-backup",
		"heat-engine", "glance-api", "keystone", "ceilometer-agent-notification", "uwsgi", "mod_wsgi",
	}
}

// DefaultLadder is around the time-outs that firewalls usually have: some minutes, half an hour, an hour.
func DefaultLadder() []time.Duration {
	return []time.Duration{
		time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour,
	}
}

const (
	other     = "other"
	ownPrefix = probe.QueuePrefix // begins the names of canaries' connections too

	// freshHeartbeat is the fresh connections', so that the broker misses one that was lost within 30 s and removes its queue.
	freshHeartbeat = 10 * time.Second
)

// New makes the exporter. It reads certificates, and asks no server. What canaries find is logged when it changes.
func New(config Config, log *slog.Logger) (collector.Exporter, error) {
	e := collector.Exporter{Name: "rabbitmq", Families: Families()}
	services := config.Services
	if len(services) == 0 {
		services = DefaultServices()
	}
	live := newCanaryMetrics()
	e.Live = live.collectors()
	classify := classifier{services: services, groups: config.Groups}
	var runs []func(context.Context)
	for _, c := range config.Brokers {
		b, err := newBroker(c, classify, live, log)
		if err != nil {
			return collector.Exporter{}, fmt.Errorf("the broker %s: %w", c.Name, err)
		}
		e.Live = append(e.Live, b)
		e.Sources = append(e.Sources, b.sources()...)
		runs = append(runs, b.idleCanaries()...)
	}
	if len(runs) > 0 {
		e.Run = together(runs)
	}
	return e, nil
}

func newBroker(c Broker, classify classifier, live *canaryMetrics, log *slog.Logger) (*broker, error) {
	b := &broker{name: c.Name, classify: classify, live: live, cutOff: c.CutOff, now: time.Now, log: log}
	if c.Management == nil && c.Sockets == nil && c.Canary == nil {
		return nil, errors.New("it needs management, sockets or canary to ask")
	}
	if m := c.Management; m != nil {
		roots, err := tlsConfig(m.CA)
		if err != nil {
			return nil, err
		}
		b.management = &management{Management: *m, client: httpClient(roots, m.dial)}
		b.management.Interval = cmp.Or(m.Interval, time.Minute)
		b.management.Timeout = cmp.Or(m.Timeout, 50*time.Second)
	}
	if s := c.Sockets; s != nil {
		copied := *s
		copied.Interval = cmp.Or(s.Interval, 15*time.Second)
		if len(s.Ports) == 0 {
			copied.Ports = []uint16{5672, 5671}
		}
		b.sockets = &copied
	}
	if c.Canary != nil {
		copied := *c.Canary
		if copied.Ladder == nil {
			copied.Ladder = DefaultLadder()
		}
		copied.Interval = cmp.Or(copied.Interval, time.Minute)
		copied.Patience = cmp.Or(copied.Patience, 10*time.Second)
		if copied.Instance == "" {
			host, err := os.Hostname()
			if err != nil {
				return nil, fmt.Errorf("naming the canaries' queues (set instance): %w", err)
			}
			copied.Instance = host
		}
		b.canary = &copied
		if copied.TLS {
			roots, err := tlsConfig(copied.CA)
			if err != nil {
				return nil, err
			}
			b.canaryTLS = cmp.Or(roots, &tls.Config{})
		}
		for _, silence := range slices.Sorted(slices.Values(copied.Ladder)) {
			b.rungs = append(b.rungs, probe.Rung{Idle: silence})
		}
	}
	return b, nil
}

// sources are those that are asked at intervals.
func (b *broker) sources() (s []collector.Source) {
	add := func(what string, interval, timeout time.Duration, update func(context.Context) error) {
		s = append(s, collector.Source{
			Target: b.name + "/" + what, Interval: interval, Timeout: timeout,
			// Sources are put together before they are served, by the broker.
			Update: func(ctx context.Context, _ func(prometheus.Metric)) error { return update(ctx) },
		})
	}
	if m := b.management; m != nil {
		add("management", m.Interval, m.Timeout, b.updateManagement)
	}
	if b.sockets != nil {
		add("sockets", b.sockets.Interval, socketsTimeout, b.updateSockets)
	}
	if b.canary != nil {
		add("canary", b.canary.Interval, 5*b.canary.Patience, b.freshCanary)
	}
	return s
}
