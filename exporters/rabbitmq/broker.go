package rabbitmq

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/deskstorm/deskstorm/exporters/collector"
	probe "github.com/deskstorm/deskstorm/probe/amqp"
	"github.com/deskstorm/deskstorm/probe/sockdiag"
)

// socketsTimeout bounds the kernel's answer. 10,000 connections take it a tenth of a second.
const socketsTimeout = 10 * time.Second

// broker puts together what the sources know of one broker. It is a prometheus.Collector of what it last found.
type broker struct {
	name       string
	classify   classifier
	management *management
	sockets    *Sockets
	canary     *Canary
	canaryTLS  *tls.Config
	live       *canaryMetrics
	cutOff     time.Duration // 0 if not known beforehand
	now        func() time.Time
	log        *slog.Logger

	mu                 sync.Mutex
	rows               rows
	looked             []row // at rowsAt
	rowsAt             time.Time
	asked, askedBefore time.Time // when the last two answers of the API were asked for
	traces             traces    // at tracesAt
	tracesAt           time.Time
	rungs              []probe.Rung             // the ladder, shortest silence first
	outcomes           map[string]probe.Outcome // canaries' last

	assessed atomic.Pointer[[]prometheus.Metric] // so that a scrape waits for nobody
}

// updateManagement asks, and assesses anew even if nobody answered: what was said too long ago is told no more.
func (b *broker) updateManagement(ctx context.Context) error {
	asked := b.now()
	all, err := b.management.connections(ctx)
	var unacknowledged map[string]int64
	if err == nil {
		unacknowledged, err = b.management.unacknowledged(ctx)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		b.rowsAt = b.now()
		b.askedBefore, b.asked = b.asked, asked
		b.looked = b.rows.look(b.rowsAt, all, unacknowledged, b.classify)
	}
	b.assess()
	return err
}

func (b *broker) updateSockets(ctx context.Context) error {
	all, err := b.askKernel(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		b.tracesAt = b.now()
		b.traces = b.traces.look(b.tracesAt, all)
	}
	b.assess()
	return err
}

func (b *broker) askKernel(ctx context.Context) (all []sockdiag.Socket, _ error) {
	for _, port := range b.sockets.Ports {
		some, err := sockdiag.Established(ctx, port, b.sockets.Namespace)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// climbed takes what became of a rung of the ladder.
func (b *broker) climbed(rung probe.Rung) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.rungs {
		if b.rungs[i].Idle == rung.Idle {
			b.rungs[i] = rung
		}
	}
	b.assess()
}

// cut says between which silences connections are cut, and whether anything is known of it.
func (b *broker) cut() (lower, upper time.Duration, known bool) {
	if b.cutOff > 0 {
		return b.cutOff, b.cutOff, true
	}
	lower, upper = probe.CutOff(b.rungs)
	return lower, upper, lower > 0 || upper != probe.Unknown
}

// current says whether what a source said is not too old to be set against what another one says.
func current(now, at time.Time, interval, timeout time.Duration) bool {
	return !at.IsZero() && now.Sub(at) <= 3*interval+timeout
}

// known says whether what a source said may be told at all.
func known(now, at time.Time, interval time.Duration) bool {
	return !at.IsZero() && now.Sub(at) <= collector.StaleAfter(interval)
}

// join makes one list of both sources' connections, and says whose word counted. What one of them said long ago, while the other
// goes on, names connections and tells their heartbeats, and does not keep those that are gone.
func (b *broker) join() (joined []*connection, rowsCount, tracesCount bool) {
	now := b.now()
	rowsCount = b.management != nil && current(now, b.rowsAt, b.management.Interval, b.management.Timeout)
	tracesCount = b.sockets != nil && current(now, b.tracesAt, b.sockets.Interval, socketsTimeout)
	if !rowsCount && !tracesCount {
		rowsCount = b.management != nil && known(now, b.rowsAt, b.management.Interval)
		tracesCount = b.sockets != nil && known(now, b.tracesAt, b.sockets.Interval)
	}
	if !rowsCount && !tracesCount {
		return nil, false, false
	}
	joined = make([]*connection, 0, max(len(b.looked), len(b.traces)))
	named := make(map[netip.AddrPort]bool, len(b.looked))
	for i := range b.looked {
		r := &b.looked[i]
		named[r.remote] = true
		t, there := b.traces[r.remote]
		if r.own || !rowsCount && !there {
			continue
		}
		c := &connection{service: r.service, group: b.classify.group(r.remote.Addr()), row: r}
		if tracesCount && there {
			c.trace = &t
		}
		joined = append(joined, c)
	}
	if !tracesCount {
		return joined, rowsCount, tracesCount
	}
	for remote, t := range b.traces {
		if !named[remote] && (!rowsCount || b.overlooked(t)) {
			joined = append(joined, &connection{service: other, group: b.classify.group(remote.Addr()), trace: &t})
		}
	}
	return joined, rowsCount, tracesCount
}

// overlooked says whether the API had the time to name a connection and did not. Until then nobody knows whose it is: a canary's
// would count as a service's without protection, and there always is a new one. What is lost already is told at once.
func (b *broker) overlooked(t trace) bool { return t.HalfOpen() || !t.since.After(b.askedBefore) }

// Describe sends nothing: the exporter's families are all that there is.
func (b *broker) Describe(chan<- *prometheus.Desc) {}

// Collect sends what was last found.
func (b *broker) Collect(out chan<- prometheus.Metric) {
	if assessed := b.assessed.Load(); assessed != nil {
		for _, m := range *assessed {
			out <- m
		}
	}
}

// target is a canary's. Its connection and queue have the broker's name too: two may be nodes of one cluster.
func (b *broker) target(role string, password string) probe.Target {
	c := b.canary
	return probe.Target{
		Address: c.Address, VHost: c.VHost, User: c.User, Password: password, TLS: b.canaryTLS,
		Name: fmt.Sprintf("%s%s.%s.%s", ownPrefix, c.Instance, b.name, role), Patience: c.Patience, Dial: c.dial,
	}
}
