package rabbitmq

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/deskstorm/deskstorm/exporters/collector"
	probe "github.com/deskstorm/deskstorm/probe/amqp"
	"github.com/deskstorm/deskstorm/probe/sockdiag"
)

// never is a protection that there is none of.
const never = time.Duration(math.MaxInt64)

// connection is a connection as one or both sources know it.
type connection struct {
	service, group string
	row            *row   // nil: the management API does not know it
	trace          *trace // nil: the kernel was not asked
}

// protection is after how long a silence something is sent that keeps the connection in a firewall's memory.
func (c *connection) protection() time.Duration {
	p := never
	if c.row != nil && c.row.heartbeat > 0 {
		p = c.row.heartbeat / 2 // both sides send twice a heartbeat's time
	}
	if c.trace != nil {
		for _, t := range []time.Duration{c.trace.keepAlive, c.trace.peer()} {
			if t > 0 {
				p = min(p, t)
			}
		}
	}
	return p
}

// idle is since when nothing moved. The kernel knows it exactly; the API's octets tell it from the first look on.
func (c *connection) idle() (time.Duration, bool) {
	if c.trace != nil {
		return c.trace.Idle(), true
	}
	return c.row.idle, c.row.idleKnown
}

// summary is what is told of a service's connections with a group of peers.
type summary struct {
	connections, withoutHeartbeat, halfOpen, unprotected int
	heartbeatMin, heartbeatMax                           time.Duration // 0: none has one
	keepAlive                                            time.Duration // 0: none has it
	idle, growing, weakest                               time.Duration
	idleKnown                                            bool
	unacknowledged                                       int64
	timers                                               map[sockdiag.Timer]int
}

func (s *summary) add(c *connection, lower, upper time.Duration) {
	s.connections++
	if r := c.row; r != nil {
		s.unacknowledged += r.unacknowledged
		s.growing = max(s.growing, r.growing)
		switch {
		case r.heartbeat == 0:
			s.withoutHeartbeat++
		case s.heartbeatMin == 0:
			s.heartbeatMin, s.heartbeatMax = r.heartbeat, r.heartbeat
		default:
			s.heartbeatMin, s.heartbeatMax = min(s.heartbeatMin, r.heartbeat), max(s.heartbeatMax, r.heartbeat)
		}
	}
	if t := c.trace; t != nil {
		s.timers[t.Timer]++
		s.keepAlive = max(s.keepAlive, t.keepAlive)
		if t.HalfOpen() {
			s.halfOpen++
		}
	}
	if idle, known := c.idle(); known {
		s.idle, s.idleKnown = max(s.idle, idle), true
	}
	p := c.protection()
	s.weakest = max(s.weakest, p)
	if p == never || risky(p, lower, upper) {
		s.unprotected++
	}
}

// risky says whether a connection that is silent until its protection may be cut before. It is not enough that no connection
// was seen cut as early: that a silence as long was survived must have been seen.
func risky(protection, lower, upper time.Duration) bool {
	return upper != probe.Unknown && protection >= lower
}

// assess makes the metrics of what is known. The caller has the lock.
func (b *broker) assess() {
	lower, upper, cutKnown := b.cut()
	type key struct{ service, group string }
	summaries := map[key]*summary{}
	joined, rowsCount, tracesCount := b.join()
	for _, c := range joined {
		k := key{c.service, c.group}
		if summaries[k] == nil {
			summaries[k] = &summary{timers: map[sockdiag.Timer]int{}}
		}
		summaries[k].add(c, lower, upper)
	}
	// A connection is not called unprotected because a source that would know better does not answer.
	protectionKnown := (b.sockets == nil || tracesCount) && (b.management == nil || !b.rowsAt.IsZero())
	var metrics []prometheus.Metric
	emit := func(m prometheus.Metric) { metrics = append(metrics, m) }
	if cutKnown {
		emit(cutOff.Value(lower.Seconds(), b.name, "lower"))
		emit(cutOff.Value(seconds(upper), b.name, "upper"))
	}
	for k, s := range summaries {
		labels := []string{b.name, k.service, k.group}
		with := func(more string) []string { return []string{b.name, k.service, k.group, more} }
		emit(connections.Value(float64(s.connections), labels...))
		if protectionKnown {
			emit(weakestProtection.Value(seconds(s.weakest), labels...))
			emit(unprotected.Value(float64(s.unprotected), labels...))
		}
		if protectionKnown && cutKnown {
			emit(lossRisk.Value(collector.Bool(risky(s.weakest, lower, upper)), labels...))
		}
		if s.idleKnown {
			emit(idle.Value(s.idle.Seconds(), labels...))
		}
		if rowsCount {
			emit(withoutHeartbeat.Value(float64(s.withoutHeartbeat), labels...))
			emit(unacknowledged.Value(float64(s.unacknowledged), labels...))
			emit(unacknowledgedGrowth.Value(s.growing.Seconds(), labels...))
		}
		if s.heartbeatMin > 0 {
			emit(heartbeat.Value(s.heartbeatMin.Seconds(), with("min")...))
			emit(heartbeat.Value(s.heartbeatMax.Seconds(), with("max")...))
		}
		if tracesCount {
			emit(halfOpen.Value(float64(s.halfOpen), labels...))
			for _, t := range timers {
				emit(sockets.Value(float64(s.timers[t.timer]), with(t.name)...))
			}
		}
		if s.keepAlive > 0 {
			emit(keepAlive.Value(s.keepAlive.Seconds(), labels...))
		}
	}
	b.assessed.Store(&metrics)
}

// timers are the values of the label timer.
var timers = []struct {
	timer sockdiag.Timer
	name  string
}{
	{sockdiag.None, "none"}, {sockdiag.Keepalive, "keepalive"},
	{sockdiag.Retransmit, "retransmit"}, {sockdiag.ZeroWindow, "zero_window"},
}

// seconds is +Inf for never, which is also a cut-off's bound that is not known.
func seconds(d time.Duration) float64 {
	if d == never {
		return math.Inf(1)
	}
	return d.Seconds()
}
