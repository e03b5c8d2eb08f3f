// Package dhcp is the exporter of DHCP: it asks the servers of networks again and again as a desktop's client does, reads
// their leases, audits their sockets, and says in a word what is the matter (deskstorm_dhcp_situation). Renewals that are not
// answered, though first requests are, show at once, and not when the leases of a whole network run out.
package dhcp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/deskstorm/deskstorm/exporters/collector"
	"github.com/deskstorm/deskstorm/probe/dhcp"
)

// Overdue is which part of a lease remains at least while clients renew in time: they do at half (T1, RFC 2131 section
// 4.4.5), and retransmit a little later.
const Overdue = 0.45

// exchanges are the label's values.
var exchanges = []string{"dora", "renew", "rebind"}

// auditTimeout is far more than a look at the sockets of a host takes.
const auditTimeout = 10 * time.Second

// New makes the exporter, with a source for each network and each host. What changes in a network's situation, and what
// metrics have no room for, such as a foreign server's address, it logs.
func New(c Config, log *slog.Logger) (collector.Exporter, error) {
	if err := c.check(); err != nil {
		return collector.Exporter{}, err
	}
	c = c.withDefaults()
	counts, durations := probes.CounterVec(), duration.HistogramVec()
	var hosts []*host
	for _, h := range c.Hosts {
		hosts = append(hosts, &host{Host: h})
	}
	e := collector.Exporter{Name: "dhcp", Families: Families(), Live: []prometheus.Collector{counts, durations}}
	for _, configured := range c.Networks {
		for _, exchange := range exchanges { // so that the first failure is an increase
			for _, o := range dhcp.Outcomes() {
				if configured.Target != nil {
					counts.WithLabelValues(configured.Name, exchange, string(o))
				}
			}
		}
		n := &network{Network: configured, hosts: hosts, interval: c.Interval, counts: counts, durations: durations, log: log, now: time.Now}
		timeout := auditTimeout
		if n.Target != nil {
			t := *n.Target
			t.Timeout, t.Window, t.Renewals = c.Timeout, c.Window, c.Renewals
			n.Target = &t
			timeout += t.Longest()
		}
		e.Sources = append(e.Sources, collector.Source{Target: n.Name, Interval: c.Interval, Timeout: timeout, Update: n.update})
	}
	for _, h := range hosts {
		e.Sources = append(e.Sources, collector.Source{
			Target: "sockets of " + h.Name, Interval: c.Interval, Timeout: auditTimeout, Update: h.update,
		})
	}
	return e, nil
}

// network is one and what is remembered of it.
type network struct {
	Network
	hosts     []*host
	interval  time.Duration
	counts    *prometheus.CounterVec
	durations *prometheus.HistogramVec
	log       *slog.Logger
	now       func() time.Time

	mac     net.HardwareAddr // of the probe
	granted time.Duration    // the length of the last lease that it was granted
	before  []Situation
}

// update probes and reads all that there is of the network.
func (n *network) update(ctx context.Context, emit func(prometheus.Metric)) error {
	var v view
	var errs []error
	if n.Target != nil {
		r, err := n.probe(ctx, emit)
		if err != nil {
			errs, v.failed = append(errs, err), true
		} else {
			v.result, v.expected = &r, len(n.Target.Servers) > 0
		}
	}
	if n.LeaseFile != "" {
		if err := n.readLeases(emit, &v); err != nil {
			errs, v.failed = append(errs, err), true
		}
	}
	processes := n.sharing(v.result)
	v.shared = len(processes) > 1
	found := v.situations()
	for _, s := range Situations() {
		emit(situation.Value(collector.Bool(slices.Contains(found, s)), n.Name, string(s)))
	}
	n.tell(found, v.result, processes)
	return errors.Join(errs...)
}

// probe probes, emits what it found and counts it. An exchange that failed on this side is an error too.
func (n *network) probe(ctx context.Context, emit func(prometheus.Metric)) (dhcp.Result, error) {
	r, err := dhcp.Probe(ctx, *n.Target)
	var lacks dhcp.MissingCapabilityError
	if e := (*dhcp.MissingCapabilityError)(nil); errors.As(err, &e) {
		lacks = *e
	}
	for _, c := range n.Target.Needs() {
		emit(missingCapability.Value(collector.Bool(slices.Contains(lacks.Missing, c)), n.Name, string(c)))
	}
	if err != nil {
		return r, err
	}
	n.mac = r.MAC
	for i, x := range []dhcp.Exchange{r.DORA, r.Renew, r.Rebind} {
		name := exchanges[i]
		n.counts.WithLabelValues(n.Name, name, string(x.Outcome)).Inc()
		switch x.Outcome {
		case dhcp.Acknowledged:
			n.durations.WithLabelValues(n.Name, name).Observe(x.Latency.Seconds())
			emit(success.Value(1, n.Name, name))
		case dhcp.NoAnswer, dhcp.Refused, dhcp.WrongServer:
			emit(success.Value(0, n.Name, name))
		case dhcp.Failed:
			err = errors.Join(err, fmt.Errorf("%s: %w", name, x.Err))
		}
	}
	emit(servers.Value(float64(len(r.Servers)), n.Name))
	emit(foreignServers.Value(float64(len(r.Foreign)), n.Name))
	if r.RenewalsSent > 0 {
		emit(renewalsAnswered.Value(float64(r.RenewalsAnswered)/float64(r.RenewalsSent), n.Name))
	}
	if r.DORA.Outcome == dhcp.Acknowledged {
		n.granted = r.Lease.Duration
		seconds := r.Lease.Duration.Seconds()
		if seconds == 0 {
			seconds = math.Inf(1)
		}
		emit(grantedLease.Value(seconds, n.Name))
	}
	return r, err
}

// readLeases emits what the server's lease file says.
func (n *network) readLeases(emit func(prometheus.Metric), v *view) error {
	f, err := dhcp.ReadLeases(n.LeaseFile)
	if err != nil {
		return err
	}
	length := n.LeaseTime
	if length == 0 {
		length = n.granted
	}
	now, smallest := n.now(), 1.0
	var number, overdue, inRange int
	for _, l := range f.Leases {
		if !l.Expires.IsZero() && !l.Expires.After(now) {
			continue // dnsmasq forgets it with the next packet
		}
		if slices.ContainsFunc(n.Ranges, func(r Range) bool { return r.Contains(l.Address) }) {
			inRange++
		}
		if n.mac != nil && n.mac.String() == l.MAC.String() {
			continue // the probe's own; left behind if its release was lost
		}
		number++
		left := l.Remaining(now, length)
		smallest = min(smallest, left)
		if left < Overdue {
			overdue++
		}
	}
	emit(leases.Value(float64(number), n.Name))
	emit(malformedLines.Value(float64(f.Malformed), n.Name))
	if length > 0 && number > 0 {
		emit(remaining.Value(smallest, n.Name))
		emit(overdueLeases.Value(float64(overdue), n.Name))
	}
	v.overdue = overdue > 0
	if size := n.rangeSize(); size > 0 {
		emit(rangeAddresses.Value(float64(size), n.Name))
		emit(rangeLeases.Value(float64(inRange), n.Name))
		v.full = inRange >= size
	}
	return nil
}

func (n *network) rangeSize() int {
	size := 0
	for _, r := range n.Ranges {
		size += r.Size()
	}
	return size
}

// sharing are the processes that share the network's server's socket, if it is on one of the hosts that are audited. An audit
// that fails is told by the host's own source.
func (n *network) sharing(r *dhcp.Result) []string {
	var of []netip.Addr
	if n.Target != nil {
		of = n.Target.Servers
	}
	if r != nil {
		of = slices.Concat(of, r.Servers)
	}
	for _, h := range n.hosts {
		audit, err := h.audit(n.interval)
		if err != nil {
			continue
		}
		if slices.ContainsFunc(of, func(a netip.Addr) bool { return audit.Addresses[a] }) && audit.Shared() {
			return audit.Processes()
		}
	}
	return nil
}

// tell logs what changed, with what would not fit into metrics.
func (n *network) tell(found []Situation, r *dhcp.Result, processes []string) {
	if slices.Equal(found, n.before) {
		return
	}
	first := n.before == nil
	n.before = found
	if found[0] == Healthy {
		if !first {
			n.log.Info("the network's DHCP is healthy again", "network", n.Name)
		}
		return
	}
	words := make([]string, len(found))
	for i, s := range found {
		words[i] = string(s)
	}
	attributes := []any{"network", n.Name, "situation", strings.Join(words, ", ")}
	if r != nil {
		attributes = append(attributes, "servers", r.Servers, "foreign", r.Foreign, "dora", r.DORA.Outcome, "renew", r.Renew.Outcome,
			"rebind", r.Rebind.Outcome, "renewals_answered", r.RenewalsAnswered, "renewals_sent", r.RenewalsSent)
		for _, e := range []dhcp.Exchange{r.DORA, r.Renew, r.Rebind} {
			if e.Outcome == dhcp.Refused {
				attributes = append(attributes, "nak", e.Message, "nak_from", e.Server)
			}
		}
	}
	if len(processes) > 0 {
		attributes = append(attributes, "sharing", processes)
	}
	n.log.Warn("the network's DHCP", attributes...)
}
