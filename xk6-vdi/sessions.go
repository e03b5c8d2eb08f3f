package vdi

import (
	"errors"
	"sync"
	"time"

	"go.k6.io/k6/v2/metrics"

	"github.com/deskstorm/deskstorm/spice"
)

// sampleEvery is how often the open sessions' counts become samples: few,
// whatever the number of sessions.
const sampleEvery = time.Second

// sessions are the open sessions of a process, closed when the test ends.
type sessions struct {
	outputs *outputs

	mu      sync.Mutex
	closed  bool
	stop    chan struct{} // closed with it
	out     chan<- metrics.SampleContainer
	metrics *vdiMetrics
	base    *metrics.TagSet // of the first session, without a site
	open    map[*session]struct{}
}

func (s *sessions) init(o *outputs) {
	s.outputs = o
	s.open = map[*session]struct{}{}
	s.stop = make(chan struct{})
}

// session is one open session and what of its counts k6 has been told.
type session struct {
	*spice.Session
	tags   *metrics.TagSet
	told   spice.Stats
	report *reporter // nil: nobody is told what is typed
}

// add takes an opened session. It reports false, and closes the session, if the
// test has ended meanwhile.
func (s *sessions) add(one *session, out chan<- metrics.SampleContainer, m *vdiMetrics, base *metrics.TagSet) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		go one.Close()
		return false
	}
	s.open[one] = struct{}{}
	if s.out == nil {
		s.out, s.metrics, s.base = out, m, base
		go everySecond(s.stop, func() { s.outputs.push(s.out, s.collect()) })
	}
	return true
}

// remove takes a session out after its last counts.
func (s *sessions) remove(one *session) {
	s.mu.Lock()
	_, open := s.open[one]
	delete(s.open, one)
	s.mu.Unlock()
	if open && one.report != nil {
		one.report.leaves(one)
	}
	if open {
		c := counts{}
		c.take(one)
		s.outputs.push(s.out, c.samples(s.metrics))
	}
}

// collect makes the samples of one tick and forgets the sessions that ended
// unasked.
func (s *sessions) collect() metrics.Samples {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := counts{}
	var samples metrics.Samples
	for one := range s.open {
		c.take(one)
		// What the script is just closing is its own to remove.
		if err := one.Err(); err != nil && !errors.Is(err, spice.ErrClosed) {
			delete(s.open, one)
			if one.report != nil {
				one.report.leaves(one)
			}
			samples = append(samples, sample(s.metrics.sessionsEnded, one.tags.With("step", kindOf(err)), 1))
		}
	}
	samples = append(samples, c.samples(s.metrics)...)
	return append(samples, sample(s.metrics.sessionsOpen, s.base, float64(len(s.open))))
}

// close ends all sessions, at most a few at a time, and pushes the last counts.
func (s *sessions) close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	close(s.stop)
	all := make(chan *session, len(s.open))
	for one := range s.open {
		all <- one
	}
	s.mu.Unlock()
	close(all)
	var wg sync.WaitGroup
	for range min(closers, len(all)) {
		wg.Go(func() {
			for one := range all {
				// Those that had ended unasked are still told as that.
				if one.Err() == nil {
					one.Close()
					s.remove(one)
				}
			}
		})
	}
	wg.Wait()
	if s.metrics != nil {
		s.outputs.push(s.out, s.collect())
	}
}

// closers is how many sessions are closed at a time: each waits for its server,
// a second at most.
const closers = 512

// counts sums the sessions' counts for each set of tags.
type counts map[*metrics.TagSet]*spice.Stats

// take adds what the session has counted since it was last taken. The caller
// holds sessions.mu or is the only one who knows the session.
func (c counts) take(one *session) {
	now := one.Stats()
	sum := c[one.tags]
	if sum == nil {
		sum = &spice.Stats{}
		c[one.tags] = sum
	}
	sum.BytesReceived += now.BytesReceived - one.told.BytesReceived
	sum.BytesSent += now.BytesSent - one.told.BytesSent
	sum.Drawings += now.Drawings - one.told.Drawings
	sum.Keys += now.Keys - one.told.Keys
	one.told = now
}

func (c counts) samples(m *vdiMetrics) metrics.Samples {
	var out metrics.Samples
	for tags, sum := range c {
		for _, v := range []struct {
			metric *metrics.Metric
			value  int64
		}{{m.bytesReceived, sum.BytesReceived}, {m.bytesSent, sum.BytesSent}, {m.drawings, sum.Drawings}, {m.keys, sum.Keys}} {
			if v.value != 0 {
				out = append(out, sample(v.metric, tags, float64(v.value)))
			}
		}
	}
	return out
}
