package schedule

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// RunNow starts a run of a job, or lets it wait for its group; the end of ctx does not end it. In a blackout and in
// maintenance it is refused with ErrClosed, unless it is forced. Others are ErrNoJob, ErrNotLeading, ErrBusy and ErrStopped.
func (s *Scheduler) RunNow(job string, force bool) error {
	j := s.find(job)
	if j == nil {
		return ErrNoJob
	}
	now := s.clock.Now()
	if why := j.closed(now); why != nil && !force {
		return fmt.Errorf("%w: %s", ErrClosed, why.Why)
	}
	o := &Start{Job: *j, Trigger: Manual, Occurrence: now, Due: now, Deadline: j.Deadline.time(now, j.Zone)}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	skips, err := s.place(o)
	if err != nil {
		return err
	}
	if len(skips) > 0 {
		return fmt.Errorf("%w: %s", ErrBusy, skips[0].Why)
	}
	return nil
}

// Cancel ends a job's run, and drops one that waits. It does not wait for the end. Errors are ErrNoJob and ErrNotRunning.
func (s *Scheduler) Cancel(job string) error {
	if s.find(job) == nil {
		return ErrNoJob
	}
	s.mutex.Lock()
	dropped := s.board.drop(func(w *Start) bool { return w.Job.Name == job })
	r := s.board.running[job]
	if r != nil {
		r.cancel(ErrCancelled)
	}
	s.mutex.Unlock()
	for _, w := range dropped {
		s.skip(w.skipped(Skip{Cancelled, "it was cancelled while it waited"}))
	}
	if r == nil && len(dropped) == 0 {
		return ErrNotRunning
	}
	return nil
}

// Pause keeps a job from running on its own, over restarts. What runs goes on. By says who wants it, if that is known.
func (s *Scheduler) Pause(ctx context.Context, job, by string) error {
	return s.setPause(ctx, job, &Pause{By: by, Since: s.clock.Now()})
}

// Resume ends a pause. What was due in it is not made up for.
func (s *Scheduler) Resume(ctx context.Context, job string) error { return s.setPause(ctx, job, nil) }

func (s *Scheduler) setPause(ctx context.Context, job string, p *Pause) error {
	if s.find(job) == nil {
		return ErrNoJob
	}
	s.asking.Lock()
	defer s.asking.Unlock()
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := s.options.Store.SetPause(ctx, job, p); err != nil {
		return fmt.Errorf("keeping that %s is paused, or is not: %w", job, err)
	}
	s.mutex.Lock()
	state := s.states[job]
	state.Pause = p
	s.states[job] = state
	s.mutex.Unlock()
	s.wake()
	return nil
}

func (s *Scheduler) find(job string) *Job {
	for _, j := range s.jobs {
		if j.Name == job {
			return j
		}
	}
	return nil
}

// Status is all that is going on.
type Status struct {
	Now     time.Time
	Leads   bool
	Jobs    []JobStatus
	Running []Running
	Waiting []Start
	Skipped []Skipped // the last ones, the latest first
	// Trouble is what keeps runs from being started, or from being planned well. Troubles are how often there was any.
	Trouble  []string
	Troubles int
}

// JobStatus is a job's.
type JobStatus struct {
	Job   Job
	Pause *Pause // nil: it is not paused
	// Upcoming are its next occurrences, also those that will not run; Next is when it will really run, zero if that is not known.
	Upcoming []Occurrence
	Next     time.Time
	Closed   *Skip // why nothing is started now; nil: it may be
}

// Running is a run that goes on.
type Running struct {
	Start
	Began time.Time
}

// Status returns what is going on, with the next occurrences of each job, at most n.
func (s *Scheduler) Status(n int) Status {
	s.mutex.Lock()
	status := Status{
		Now: s.clock.Now(), Leads: s.mayStart() == nil, Troubles: s.troubles, Skipped: slices.Clone(s.recent),
	}
	for _, about := range slices.Sorted(maps.Keys(s.trouble)) {
		status.Trouble = append(status.Trouble, about+": "+s.trouble[about])
	}
	states := make([]State, len(s.jobs))
	for i, j := range s.jobs {
		states[i] = s.states[j.Name]
	}
	for _, r := range s.board.running {
		status.Running = append(status.Running, Running{*r.Start, r.began})
	}
	for _, w := range s.board.waiting {
		status.Waiting = append(status.Waiting, *w)
	}
	s.mutex.Unlock()
	slices.Reverse(status.Skipped)
	slices.SortFunc(status.Running, func(a, b Running) int { return strings.Compare(a.Job.Name, b.Job.Name) })
	for i, j := range s.jobs {
		js := JobStatus{Job: *j, Pause: states[i].Pause, Upcoming: j.Upcoming(states[i], status.Now, n), Closed: j.closed(status.Now)}
		if next, ok := j.NextRun(states[i], status.Now); ok {
			js.Next = next.Due
		}
		status.Jobs = append(status.Jobs, js)
	}
	return status
}
