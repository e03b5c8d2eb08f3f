package schedule

import (
	"context"
	"slices"
	"time"
)

// carryOut does what was decided and accounted for.
func (s *Scheduler) carryOut(j *Job, d Decision, now time.Time) {
	for _, skipped := range d.Skipped {
		s.skip(skipped)
	}
	if d.Run != nil {
		s.offer(&Start{Job: *j, Trigger: d.Trigger, Occurrence: d.Run.At, Due: d.Run.Due, Deadline: j.deadline(d, now)})
	}
}

// offer starts a run, lets it wait, or skips it.
func (s *Scheduler) offer(o *Start) {
	s.mutex.Lock()
	skips, err := s.place(o)
	s.mutex.Unlock()
	if err != nil {
		skips = append(skips, o.skipped(Skip{Stopped, err.Error()}))
	}
	for _, skipped := range skips {
		s.skip(skipped)
	}
}

// place is offer with the mutex held. It returns what is skipped because of it.
func (s *Scheduler) place(o *Start) ([]Skipped, error) {
	if err := s.mayStart(); err != nil {
		return nil, err
	}
	if s.states[o.Job.Name].Pause != nil && o.Trigger != Manual {
		return []Skipped{o.skipped(Skip{Paused, "the job is paused"})}, nil
	}
	what, why := s.board.admit(o)
	switch what {
	case begin:
		s.begin(o)
	case wait:
		s.board.waiting = append(s.board.waiting, o)
	case refuse:
		return []Skipped{o.skipped(why)}, nil
	case replaces:
		var skips []Skipped
		for _, w := range s.board.drop(func(w *Start) bool { return w.Job.Name == o.Job.Name }) {
			skips = append(skips, w.skipped(Skip{Overlapped, "the next run of the job replaced it while it waited"}))
		}
		if r := s.board.running[o.Job.Name]; r != nil {
			r.cancel(ErrReplaced)
		}
		s.board.waiting = append(s.board.waiting, o)
		return skips, nil
	}
	return nil, nil
}

// mayStart says whether runs may be started at all; the mutex is held.
func (s *Scheduler) mayStart() error {
	if s.stopping {
		return ErrStopped
	}
	if !s.leads {
		return ErrNotLeading
	}
	select {
	case <-s.lost:
		return ErrNotLeading
	default:
		return nil
	}
}

func (o *Start) skipped(why Skip) Skipped {
	return Skipped{Job: o.Job.Name, First: o.Occurrence, Last: o.Occurrence, Count: 1, Skip: why}
}

// release starts what has waited long enough, and drops what has waited too long.
func (s *Scheduler) release() {
	now := s.clock.Now()
	s.drop(Skip{TooLate, "its deadline passed while it waited"}, func(w *Start) bool {
		return !w.Deadline.IsZero() && !now.Before(w.Deadline)
	})
	var skips []Skipped
	s.mutex.Lock()
	if s.mayStart() == nil {
		for again := true; again; {
			again = false
			for _, w := range s.board.ready() {
				s.board.drop(func(o *Start) bool { return o == w })
				if why := s.hindered(w, now); why != nil {
					skips = append(skips, w.skipped(*why))
				} else {
					s.begin(w)
				}
				again = true
				break // what is ready has changed
			}
		}
	}
	s.mutex.Unlock()
	for _, skipped := range skips {
		s.skip(skipped)
	}
}

// hindered is why what has waited is not run after all; the mutex is held.
func (s *Scheduler) hindered(w *Start, now time.Time) *Skip {
	if w.Trigger == Manual {
		return nil
	}
	if s.states[w.Job.Name].Pause != nil {
		return &Skip{Paused, "the job is paused"}
	}
	if why := w.Job.closed(now); why != nil {
		return &Skip{why.Reason, "it waited too long: " + why.Why}
	}
	return nil
}

// begin starts a run; the mutex is held.
func (s *Scheduler) begin(o *Start) {
	ctx, cancel := context.WithCancelCause(context.Background())
	r := &running{Start: o, began: s.clock.Now(), cancel: cancel}
	s.board.running[o.Job.Name] = r
	ended := make(chan struct{})
	if !o.Deadline.IsZero() {
		s.runs.Go(func() { s.watch(r, ended) })
	}
	s.runs.Go(func() {
		defer func() {
			cancel(nil)
			close(ended)
			s.mutex.Lock()
			delete(s.board.running, o.Job.Name)
			s.mutex.Unlock()
			s.wake()
		}()
		s.options.Run(ctx, *o)
	})
}

// watch cancels a run at its deadline: that of a duration by the steady clock, that of a time of day by the one on the wall.
func (s *Scheduler) watch(r *running, ended <-chan struct{}) {
	began := s.clock.Steady()
	length := r.Deadline.Sub(s.clock.Now())
	for {
		left := length - (s.clock.Steady() - began)
		if r.Job.Deadline.After == 0 {
			left = r.Deadline.Sub(s.clock.Now())
		}
		if left <= 0 {
			r.cancel(ErrDeadline)
			return
		}
		timer, stop := s.clock.Timer(min(left, s.look))
		select {
		case <-ended:
			stop()
			return
		case <-timer:
		}
	}
}

func (s *Scheduler) drop(why Skip, match func(*Start) bool) {
	s.mutex.Lock()
	dropped := s.board.drop(match)
	s.mutex.Unlock()
	for _, w := range dropped {
		s.skip(w.skipped(why))
	}
}

func (s *Scheduler) skip(skipped Skipped) {
	s.log.Info("not run", "job", skipped.Job, "occurrence", skipped.Last, "count", skipped.Count, "reason", skipped.Reason,
		"why", skipped.Why)
	s.mutex.Lock()
	s.recent = append(s.recent, skipped)
	if len(s.recent) > maxRecent {
		s.recent = slices.Delete(s.recent, 0, len(s.recent)-maxRecent)
	}
	s.mutex.Unlock()
	if s.options.Skipped != nil {
		s.options.Skipped(skipped)
	}
}
