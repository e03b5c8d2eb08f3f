package vdi

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net/http"
	"sync"
	"time"

	"go.k6.io/k6/v2/metrics"

	"github.com/deskstorm/deskstorm/internal/activity"
)

// reportTo is an exporter of active users as a script names it. It is
// comparable: thin clients that report to the same one share a reporter.
type reportTo struct {
	url   string
	token string // a site's: one process speaks for many thin clients
	ca    string // a certificate's path or text; empty: the system's authorities
}

const (
	reportEvery   = 10 * time.Second
	reportTimeout = 10 * time.Second
	// maxUnsent bounds what is kept while the exporter is away: a minute of ten thousand thin clients.
	maxUnsent = 60_000
)

// reporters tell exporters of active users what the thin clients of a process
// do, as the agents on real ones would, so that a load test moves the same
// gauges.
type reporters struct {
	outputs *outputs

	mu     sync.Mutex
	closed bool
	stop   chan struct{} // closed with it
	by     map[reportTo]*reporter
	under  sync.WaitGroup
}

func (r *reporters) init(o *outputs) {
	r.outputs, r.stop, r.by = o, make(chan struct{}), map[reportTo]*reporter{}
}

// reporter is the way to one exporter.
type reporter struct {
	client  *activity.Client
	run     string
	outputs *outputs
	out     chan<- metrics.SampleContainer
	metric  *metrics.Metric
	base    *metrics.TagSet

	sending sync.Mutex // held while reports are on their way

	mu        sync.Mutex
	open      map[*session]*seat
	sequences map[string]uint64 // by thin client, over all its sessions
	unsent    []activity.Report
	dropped   int
}

// seat is a thin client with an open session.
type seat struct {
	client, site string
	told         int64 // keys
	since        time.Time
}

// reporter returns the way to an exporter, and begins to report there.
func (r *reporters) reporter(to reportTo, out chan<- metrics.SampleContainer, m *vdiMetrics, base *metrics.TagSet) (*reporter, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known, ok := r.by[to]; ok || r.closed {
		return known, nil
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if to.ca != "" {
		pool, err := readCA(to.ca)
		if err != nil {
			return nil, fmt.Errorf("report.%w", err)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	client, err := activity.NewClient(to.url, to.token, &http.Client{Transport: transport, Timeout: reportTimeout})
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	one := &reporter{
		client: client, run: rand.Text(), outputs: r.outputs, out: out, metric: m.reports, base: base,
		open: map[*session]*seat{}, sequences: map[string]uint64{},
	}
	r.by[to] = one
	r.under.Go(func() {
		tick := time.NewTicker(reportEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				one.tell(context.Background())
			case <-r.stop:
				return
			}
		}
	})
	return one, nil
}

// close sends the last reports. All sessions have ended.
func (r *reporters) close() {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return
	}
	r.closed = true
	close(r.stop)
	r.mu.Unlock()
	r.under.Wait()
	for _, one := range r.by {
		one.tell(context.Background())
	}
}

// sits notes a thin client whose session is open.
func (r *reporter) sits(s *session, client, site string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := wallClock()
	r.open[s] = &seat{client: client, site: site, since: now}
	r.add(s, now, false)
}

// leaves notes that a session has ended.
func (r *reporter) leaves(s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open[s] != nil {
		r.add(s, wallClock(), true)
		delete(r.open, s)
	}
}

// add makes a report of what a seat has done since its last one. The caller
// holds r.mu.
func (r *reporter) add(s *session, now time.Time, leaving bool) {
	at := r.open[s]
	keys := s.Stats().Keys
	if now.Before(at.since) { // the clock was set back
		at.since = now
	}
	connected := !leaving
	r.sequences[at.client]++
	one := activity.Report{
		Client: at.client, Run: r.run, Sequence: r.sequences[at.client], From: at.since, To: now, Events: uint64(keys - at.told),
		Connected: &connected, Leaving: leaving, Site: at.site,
	}
	at.told, at.since = keys, now
	if len(r.unsent) >= maxUnsent {
		r.dropped++
		return
	}
	r.unsent = append(r.unsent, one)
}

// wallClock is the time as the exporter will read it: without Go's monotonic
// reading, by which times differ otherwise than they are written.
func wallClock() time.Time { return time.Now().Round(0) }

// tell reports what all seats have done, and what could not be sent before.
func (r *reporter) tell(ctx context.Context) {
	r.sending.Lock()
	defer r.sending.Unlock()
	r.mu.Lock()
	now := wallClock()
	for s := range r.open {
		r.add(s, now, false)
	}
	send := r.unsent
	r.unsent = nil
	dropped := r.dropped
	r.dropped = 0
	r.mu.Unlock()

	results := map[string]int{"dropped": dropped}
	var again []activity.Report
	for len(send) > 0 {
		batch := send[:min(len(send), activity.MaxReports)]
		send = send[len(batch):]
		answered, err := r.client.Send(ctx, batch)
		if err != nil { // nothing is known of any: the same reports are sent again, and not counted twice
			results["failed"] += len(batch)
			again = append(again, append(batch, send...)...)
			break
		}
		for _, a := range answered {
			results[string(a)]++
		}
	}
	r.mu.Lock()
	r.unsent = append(again, r.unsent...)
	if over := len(r.unsent) - maxUnsent; over > 0 { // the oldest are worth the least
		r.unsent, r.dropped = r.unsent[over:], r.dropped+over
	}
	r.mu.Unlock()
	var samples metrics.Samples
	for result, n := range results {
		if n > 0 {
			samples = append(samples, sample(r.metric, r.base.With("class", result), float64(n)))
		}
	}
	r.outputs.push(r.out, samples)
}
