package vdi

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.k6.io/k6/v2/js/modules"
	"go.k6.io/k6/v2/metrics"

	"github.com/deskstorm/deskstorm/spice"
)

// testEnd is k6's event for the end of all virtual users' work, teardown
// included; outputs still take samples then. Its name lives in an internal
// package of k6 (internal/event, TestEnd); a test holds the number.
const testEnd = 3

// sampleEvery is how often the open sessions' counts become samples: few,
// whatever the number of sessions.
const sampleEvery = time.Second

// sessions are the open sessions of a process. They are closed when the test
// ends, and nothing reaches k6's outputs afterwards.
type sessions struct {
	watch sync.Once

	mu      sync.RWMutex
	ended   bool
	stop    context.CancelFunc
	running context.Context
	out     chan<- metrics.SampleContainer
	metrics *vdiMetrics
	base    *metrics.TagSet // of the first session, without a site
	open    map[*session]struct{}
}

// session is one open session and what of its counts k6 has been told.
type session struct {
	*spice.Session
	tags *metrics.TagSet
	told spice.Stats
}

// watchTestEnd closes everything when k6 says that the test has ended, which it
// does after gracefulStop, after an abort and after SIGINT alike.
func (s *sessions) watchTestEnd(vu modules.VU) {
	s.watch.Do(func() {
		s.open = map[*session]struct{}{}
		s.running, s.stop = context.WithCancel(context.Background())
		global := vu.Events().Global
		if global == nil {
			return // Only in tests of modules.
		}
		_, events := global.Subscribe(testEnd)
		go func() {
			for e := range events {
				s.close()
				e.Done()
			}
		}()
	})
}

// add takes an opened session. It reports false, and closes the session, if the
// test has ended meanwhile.
func (s *sessions) add(one *session, out chan<- metrics.SampleContainer, m *vdiMetrics, base *metrics.TagSet) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		go one.Close()
		return false
	}
	s.open[one] = struct{}{}
	if s.out == nil {
		s.out, s.metrics, s.base = out, m, base
		go s.tell()
	}
	return true
}

// remove takes a session out after its last counts.
func (s *sessions) remove(one *session) {
	s.mu.Lock()
	_, open := s.open[one]
	delete(s.open, one)
	s.mu.Unlock()
	if open {
		c := counts{}
		c.take(one)
		s.push(s.out, c.samples(s.metrics))
	}
}

// push gives samples to k6's outputs. That an iteration's context has ended
// does not matter: its last samples count too. After the test k6 has closed the
// channel.
func (s *sessions) push(out chan<- metrics.SampleContainer, samples metrics.Samples) {
	if len(samples) == 0 {
		return
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.ended {
		out <- samples
	}
}

// tell pushes the counts of all sessions until the test ends.
func (s *sessions) tell() {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.push(s.out, s.collect())
		case <-s.running.Done():
			return
		}
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
			samples = append(samples, sample(s.metrics.sessionsEnded, one.tags.With("step", kindOf(err)), 1))
		}
	}
	samples = append(samples, c.samples(s.metrics)...)
	return append(samples, sample(s.metrics.sessionsOpen, s.base, float64(len(s.open))))
}

// close ends all sessions, at most a few at a time, and pushes the last counts.
func (s *sessions) close() {
	s.stop()
	s.mu.RLock()
	all := make(chan *session, len(s.open))
	for one := range s.open {
		all <- one
	}
	s.mu.RUnlock()
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
		s.push(s.out, s.collect())
	}
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
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
