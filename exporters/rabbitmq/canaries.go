package rabbitmq

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/deskstorm/deskstorm/exporters/collector"
	probe "github.com/deskstorm/deskstorm/probe/amqp"
)

// canaryMetrics count what canaries of all brokers found.
type canaryMetrics struct {
	up, silence, last *prometheus.GaugeVec
	trips, failures   *prometheus.CounterVec
	latency           *prometheus.HistogramVec
}

func newCanaryMetrics() *canaryMetrics {
	return &canaryMetrics{
		up: canaryUp.GaugeVec(), silence: canarySilence.GaugeVec(), last: canaryLast.GaugeVec(),
		trips: canaryTrips.CounterVec(), failures: canaryCleanupFailures.CounterVec(), latency: canaryLatency.HistogramVec(),
	}
}

func (m *canaryMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.up, m.silence, m.last, m.trips, m.failures, m.latency}
}

// expect makes a canary's counters begin at 0, so that their first increase is seen.
func (m *canaryMetrics) expect(broker, canary string, silence time.Duration) {
	m.silence.WithLabelValues(broker, canary).Set(silence.Seconds())
	m.failures.WithLabelValues(broker, canary)
	for _, o := range probe.Outcomes() {
		if o != probe.Canceled {
			m.trips.WithLabelValues(broker, canary, string(o))
		}
	}
}

func (m *canaryMetrics) take(broker, canary string, at time.Time, r probe.Result) {
	if r.LeftBehind != nil {
		m.failures.WithLabelValues(broker, canary).Inc()
	}
	if r.Outcome == probe.Canceled {
		return // the exporter ends
	}
	m.up.WithLabelValues(broker, canary).Set(collector.Bool(r.Outcome == probe.Delivered))
	m.last.WithLabelValues(broker, canary).Set(float64(at.UnixNano()) / 1e9)
	m.trips.WithLabelValues(broker, canary, string(r.Outcome)).Inc()
	if r.Outcome == probe.Delivered {
		m.latency.WithLabelValues(broker, canary).Observe(r.Latency.Seconds())
	}
}

// Names of canaries that are not configured: the one whose connection is a new one, and the ladder's.
const (
	fresh        = "fresh"
	ladderPrefix = "ladder-"
)

// freshCanary makes a round trip. Its failing is what it is there to find, and no failure of the source.
func (b *broker) freshCanary(ctx context.Context) error {
	password, err := b.canary.Password.Read()
	if err != nil {
		return err
	}
	b.live.expect(b.name, fresh, 0)
	t := b.target(fresh, password)
	t.Heartbeat = freshHeartbeat
	r := probe.RoundTrip(ctx, t)
	b.take(fresh, r)
	if r.Outcome == probe.Canceled {
		return r.Err
	}
	return nil
}

// take counts what a canary found, and logs it if it is not what the one before found.
func (b *broker) take(canary string, r probe.Result) {
	b.live.take(b.name, canary, b.now(), r)
	b.mu.Lock()
	if b.outcomes == nil {
		b.outcomes = map[string]probe.Outcome{}
	}
	before := b.outcomes[canary]
	b.outcomes[canary] = r.Outcome
	b.mu.Unlock()
	log := b.log.With("broker", b.name, "canary", canary)
	if r.LeftBehind != nil {
		log.Warn("a canary could not clean up", "err", r.LeftBehind)
	}
	switch {
	case r.Outcome == before, r.Outcome == probe.Canceled:
	case r.Outcome != probe.Delivered:
		log.Warn("a canary's message did not arrive", "outcome", r.Outcome, "err", r.Err)
	case before != "":
		log.Info("a canary's message arrived again")
	}
}

// idleCanaries are those that run on their own: a round trip takes as long as its silence.
func (b *broker) idleCanaries() (runs []func(context.Context)) {
	if b.canary == nil {
		return nil
	}
	for _, rung := range b.rungs {
		c := IdleCanary{Name: ladderPrefix + rung.Idle.String(), Silence: rung.Idle}
		runs = append(runs, func(ctx context.Context) { b.run(ctx, c, b.climbed) })
	}
	for _, c := range b.canary.Idle {
		runs = append(runs, func(ctx context.Context) { b.run(ctx, c, func(probe.Rung) {}) })
	}
	return runs
}

// retryPause is before a canary that reached nobody tries again.
const retryPause = 10 * time.Second

// run lets a canary be silent and speak until the context ends.
func (b *broker) run(ctx context.Context, c IdleCanary, done func(probe.Rung)) {
	b.live.expect(b.name, c.Name, c.Silence)
	var before probe.Outcome
	for ctx.Err() == nil {
		r := b.afterIdle(ctx, c)
		b.take(c.Name, r)
		if tells(before, r.Outcome) {
			done(probe.Rung{Idle: c.Silence, At: b.now(), Outcome: r.Outcome})
		}
		before = r.Outcome
		if r.Outcome != probe.Delivered && r.Outcome != probe.Lost { // which took their time
			select {
			case <-ctx.Done():
			case <-time.After(retryPause):
			}
		}
	}
}

// tells says whether an outcome tells something of silences. That the broker was not reached does not; nor does a connection
// that was closed once: the broker may have been restarted.
func tells(before, outcome probe.Outcome) bool {
	switch outcome {
	case probe.Delivered, probe.Lost:
		return true
	case probe.Closed:
		return before == probe.Closed
	}
	return false
}

func (b *broker) afterIdle(ctx context.Context, c IdleCanary) probe.Result {
	password, err := b.canary.Password.Read()
	if err != nil {
		return probe.Result{Outcome: probe.Failed, Err: err}
	}
	t := b.target(c.Name, password)
	t.Heartbeat = c.Heartbeat
	if c.KeepAlive > 0 {
		t.KeepAlive = net.KeepAliveConfig{Enable: true, Idle: c.KeepAlive, Interval: c.KeepAlive, Count: 3}
	}
	r := probe.AfterIdle(ctx, t, t.Name, c.Silence)
	if (r.Outcome == probe.Lost || r.Outcome == probe.Canceled) && b.management != nil {
		// The broker may believe in the connection until its kernel gives up. Its user may close it.
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.canary.Patience)
		defer cancel()
		if err := b.management.closeConnections(closing, b.canary.User, password, t.Name); err != nil && r.LeftBehind == nil {
			r.LeftBehind = fmt.Errorf("closing the canary's connection on the broker: %w", err)
		}
	}
	return r
}

// together runs all until the context ends.
func together(runs []func(context.Context)) func(context.Context) error {
	return func(ctx context.Context) error {
		var g sync.WaitGroup
		for _, run := range runs {
			g.Go(func() { run(ctx) })
		}
		g.Wait()
		return ctx.Err()
	}
}
