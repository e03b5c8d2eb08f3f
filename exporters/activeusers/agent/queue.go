package agent

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/deskstorm/deskstorm/internal/activity"
)

// queue is the reports that the exporter has not settled, the oldest first.
type queue struct {
	limit int

	mu      sync.Mutex
	reports []activity.Report
	dropped uint64 // since the last one was added
}

// add appends a report, which also tells how many were lost since the one before.
func (q *queue) add(r activity.Report) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.reports) >= q.limit {
		q.dropped += 1 + q.reports[0].State.Dropped // what it would have told is lost with it
		q.reports = q.reports[1:]
	}
	r.State.Dropped, q.dropped = min(q.dropped, activity.MaxEvents), 0
	q.reports = append(q.reports, r)
}

// head is a copy of the oldest.
func (q *queue) head(most int) []activity.Report {
	q.mu.Lock()
	defer q.mu.Unlock()
	return append([]activity.Report(nil), q.reports[:min(most, len(q.reports))]...)
}

// settle removes what need not be sent again. Meanwhile the oldest may have been dropped.
func (q *queue) settle(sent []activity.Report, results []activity.Result) (left int) {
	settled := map[uint64]bool{}
	for i, r := range results {
		if r.Settled() {
			settled[sent[i].Sequence] = true
		} else {
			left++
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	var keep []activity.Report
	for _, r := range q.reports {
		if !settled[r.Sequence] {
			keep = append(keep, r)
		}
	}
	q.reports = keep
	return left
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.reports)
}

// Sending again: after a second at first, later after a minute, each time somewhere in the upper half of that, so that thousands
// of agents do not come back at once.
const (
	firstPause  = time.Second
	longPause   = time.Minute
	sendTimeout = 15 * time.Second
	batch       = 100 // reports in a request
)

// sender empties the queue.
type sender struct {
	queue *queue
	to    Sender
	log   *slog.Logger
	wake  chan struct{}
}

func (s *sender) poke() {
	select {
	case s.wake <- struct{}{}:
	default: // it is awake
	}
}

func (s *sender) run(ctx context.Context) {
	pause := firstPause
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		for s.queue.len() > 0 {
			err := s.send(ctx)
			if ctx.Err() != nil {
				return
			}
			if err == nil {
				if failing {
					s.log.Info("the exporter takes reports again")
				}
				failing, pause = false, firstPause
				continue
			}
			if !failing {
				s.log.Warn("the exporter does not take reports; they wait", "err", err)
			}
			failing = true
			wait := pause/2 + rand.N(pause/2)
			if refused, ok := errors.AsType[*activity.RefusedError](err); ok && refused.After > wait {
				wait = refused.After + rand.N(pause)
			}
			pause = min(2*pause, longPause)
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
		}
	}
}

// errUnsettled is when the exporter answered and did not want the reports now.
var errUnsettled = errors.New("the exporter refuses the token, or does not know this client")

func (s *sender) send(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	reports := s.queue.head(batch)
	results, err := s.to.Send(ctx, reports)
	if err != nil {
		return err
	}
	if s.queue.settle(reports, results) > 0 {
		return errUnsettled
	}
	return nil
}

// flush sends what is there, once.
func (s *sender) flush(ctx context.Context) error {
	for s.queue.len() > 0 {
		if err := s.send(ctx); err != nil {
			return err
		}
	}
	return nil
}
