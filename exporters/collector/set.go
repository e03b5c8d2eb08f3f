package collector

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
)

// Limits of what is asked at once. A source that failed waits only for others that failed, so that dead targets, which take
// their whole timeout, never hold up the living.
const (
	atOnce        = 16
	atOnceFailing = 4
)

// restartPause is before an Exporter's Run is called again.
const restartPause = 5 * time.Second

// What a Set says of its sources.
var (
	lastSuccess = Gauge("deskstorm_exporter_last_success_timestamp_seconds",
		"When the source last answered in full; 0 if never.", "collector", "target")
	lastFailure = Gauge("deskstorm_exporter_last_failure_timestamp_seconds",
		"When asking the source last failed; 0 if never.", "collector", "target")
	dataAge = Gauge("deskstorm_exporter_data_age_seconds",
		"How long ago the asking began that the served data comes from.", "collector", "target")
	updateDuration = Gauge("deskstorm_exporter_update_duration_seconds",
		"How long the last asking took.", "collector", "target")
	updates = Counter("deskstorm_exporter_updates_total",
		"How often the source was asked, by result: success or failure.", "collector", "target", "result")
	running = Gauge("deskstorm_exporter_running",
		"1 while the exporter's listener works or tries to, 0 while it waits to be started again after a failure.", "collector")
)

// Families are what a Set serves besides its exporters' own.
func Families() []*Family {
	return []*Family{lastSuccess, lastFailure, dataAge, updateDuration, updates, running}
}

// Set runs exporters and serves their metrics from memory. It is a prometheus.Collector.
type Set struct {
	exporters []Exporter
	sources   []*source
	listeners []*listener
	now       func() time.Time
	log       *slog.Logger

	healthy, failing chan struct{} // a place each for who is asked
}

// NewSet makes a Set that does nothing until Run.
func NewSet(exporters []Exporter, log *slog.Logger) *Set {
	s := &Set{
		exporters: exporters, now: time.Now, log: log,
		healthy: make(chan struct{}, atOnce), failing: make(chan struct{}, atOnceFailing),
	}
	for _, e := range exporters {
		for _, src := range e.Sources {
			s.sources = append(s.sources, &source{Source: src, collector: e.Name})
		}
		if e.Run != nil {
			s.listeners = append(s.listeners, &listener{run: e.Run, collector: e.Name})
		}
	}
	return s
}

// Run asks all sources again and again until the context ends.
func (s *Set) Run(ctx context.Context) error {
	var g errgroup.Group
	for _, src := range s.sources {
		g.Go(func() error { s.poll(ctx, src); return nil })
	}
	for _, l := range s.listeners {
		g.Go(func() error { s.listen(ctx, l); return nil })
	}
	return g.Wait()
}

// Ready says whether each source was asked at least once.
func (s *Set) Ready() bool {
	for _, src := range s.sources {
		if src.state.Load() == nil {
			return false
		}
	}
	return true
}

// source is a Source and what came of it.
type source struct {
	Source
	collector string
	state     atomic.Pointer[state]
}

// state is what a source last said. It does not change once stored.
type state struct {
	metrics              []prometheus.Metric
	begun                time.Time // of the asking that metrics come from
	success, failure     time.Time
	took                 time.Duration
	successes, failures  uint64
	failedLast, answered bool // answered: there are metrics
}

func (s *Set) poll(ctx context.Context, src *source) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		begun := s.now()
		s.ask(ctx, src)
		timer.Reset(max(0, src.Interval-s.now().Sub(begun)))
	}
}

// ask asks once, when there is a place.
func (s *Set) ask(ctx context.Context, src *source) {
	before := src.state.Load()
	if before == nil {
		before = &state{}
	}
	places := s.healthy
	if before.failedLast {
		places = s.failing
	}
	select {
	case places <- struct{}{}:
	case <-ctx.Done():
		return
	}
	defer func() { <-places }()

	begun := s.now()
	bounded, cancel := context.WithTimeout(ctx, src.Timeout)
	defer cancel()
	var mu sync.Mutex
	var metrics []prometheus.Metric
	over := false
	err := guard(func() error {
		return src.Update(bounded, func(m prometheus.Metric) {
			mu.Lock()
			defer mu.Unlock()
			if !over {
				metrics = append(metrics, m)
			}
		})
	})
	mu.Lock()
	over = true
	mu.Unlock()
	if ctx.Err() != nil {
		return // the exporter ends; that is no failure of the source
	}
	after := *before
	after.took = s.now().Sub(begun)
	after.failedLast = err != nil
	if err == nil {
		after.success = s.now()
		after.successes++
	} else {
		after.failure = s.now()
		after.failures++
		s.log.Warn("a source did not answer in full", "collector", src.collector, "target", src.Target, "err", err)
	}
	if err == nil || len(metrics) > 0 {
		after.metrics, after.begun, after.answered = metrics, begun, true
	}
	src.state.Store(&after)
}

// listener is an exporter's Run and whether it runs.
type listener struct {
	run       func(context.Context) error
	collector string
	runs      atomic.Bool
}

func (s *Set) listen(ctx context.Context, l *listener) {
	for {
		l.runs.Store(true)
		err := guard(func() error { return l.run(ctx) })
		l.runs.Store(false)
		if ctx.Err() != nil {
			return
		}
		s.log.Warn("a listener ended; it is started again", "collector", l.collector, "after", restartPause, "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(restartPause):
		}
	}
}

// guard makes an error of a panic: one exporter's mistake must not end the others.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}
