package schedule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// Why a run's context ends (context.Cause).
var (
	ErrCancelled = errors.New("cancelled by a person")
	ErrDeadline  = errors.New("the deadline has passed")
	ErrReplaced  = errors.New("replaced by the next run of the job")
	ErrStopped   = errors.New("the runner was stopped")
)

// Why something that a person asks for is not done.
var (
	ErrNoJob      = errors.New("there is no such job")
	ErrNotLeading = errors.New("another runner that shares the database starts the runs; ask that one")
	ErrBusy       = errors.New("the job runs, or waits to run, already")
	ErrNotRunning = errors.New("the job neither runs nor waits to run")
	ErrClosed     = errors.New("nothing is started now")
)

// Options are what a Scheduler needs.
type Options struct {
	Jobs []Job
	// Run runs a job to its end. The end of ctx ends it; context.Cause says why. It must not panic.
	Run func(ctx context.Context, s Start)
	// Skipped is told of each occurrence that is not run. Optional.
	Skipped func(Skipped)
	Store   Store
	Leader  Leader // nil: Alone
	Clock   Clock  // nil: System
	Log     *slog.Logger
}

// Scheduler starts jobs' runs when they are due. Its methods may be called by many goroutines at once.
type Scheduler struct {
	jobs    []*Job
	options Options
	log     *slog.Logger
	clock   Clock
	look    time.Duration // between two looks at the clock, at the longest
	nudge   chan struct{}
	runs    sync.WaitGroup
	asking  sync.Mutex          // held while states are read or pauses written, so that no answer is older than what it replaces
	leading bool                // it leads, or begins to; guarded by asking
	looked  time.Duration       // when Look read the states last, by the steady clock; guarded by asking
	tried   map[string]Decision // of this lead, by job: accounted for, with an error; the loop's alone

	mutex    sync.Mutex
	board    board
	states   map[string]State
	leads    bool
	lost     <-chan struct{} // of the lead
	stopping bool
	troubles int
	trouble  map[string]string // what is not well now, by what it is about
	recent   []Skipped
}

// running is a run that goes on.
type running struct {
	*Start
	began  time.Time
	cancel context.CancelCauseFunc
}

const (
	// look is short enough for a clock that is set to be noticed, and a lost lead, before it matters.
	look = 5 * time.Second
	// heldUp is how much longer than asked the loop sleeps before it takes the process to have been stopped, or the machine: what it
	// knew of the lead is worth nothing then. It is also how far the clock may be set without a word.
	heldUp = 30 * time.Second
	// retry is the pause after trouble with the store or the leader.
	retry = 5 * time.Second
	// storeTimeout bounds one question to the store.
	storeTimeout = 10 * time.Second
	// maxRecent are the skipped occurrences that Status has.
	maxRecent = 100
)

// New makes a scheduler, and reads the jobs' calendars.
func New(o Options) (*Scheduler, error) {
	if o.Leader == nil {
		o.Leader = Alone{}
	}
	if o.Clock == nil {
		o.Clock = System()
	}
	s := &Scheduler{
		options: o, log: o.Log, clock: o.Clock, look: look, nudge: make(chan struct{}, 1),
		board: board{running: map[string]*running{}}, states: map[string]State{}, trouble: map[string]string{},
	}
	for _, j := range o.Jobs {
		if err := j.prepare(); err != nil {
			return nil, err
		}
		if j.Calendar != nil {
			if err := j.Calendar.Load(); err != nil {
				return nil, err
			}
		}
		s.jobs = append(s.jobs, &j)
	}
	return s, nil
}

// Run starts runs until the context ends. It then cancels those that go on, and returns when they have ended.
func (s *Scheduler) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		lost, release, err := s.options.Leader.Lead(ctx)
		if err == nil {
			err = s.lead(ctx, lost)
			release()
		}
		if err != nil && ctx.Err() == nil {
			s.inTrouble("the lead", err)
			s.sleep(ctx, retry)
		}
	}
	s.mutex.Lock()
	s.stopping = true
	for _, r := range s.board.running {
		r.cancel(ErrStopped)
	}
	s.mutex.Unlock()
	s.drop(Skip{Stopped, "the runner was stopped"}, func(*Start) bool { return true })
	s.runs.Wait()
	return nil
}

// errHeldUp ends a lead that may have been taken by another runner in the meantime.
var errHeldUp = errors.New("this process, or the clock, stood still or was set; whether it still leads is asked anew")

// lead starts runs while this runner leads.
func (s *Scheduler) lead(ctx context.Context, lost <-chan struct{}) error {
	s.setLeading(true)
	defer s.setLeading(false)
	if err := s.load(ctx); err != nil {
		return err
	}
	s.mutex.Lock()
	s.leads, s.lost = true, lost
	delete(s.trouble, "the lead")
	delete(s.trouble, othersStates)
	s.mutex.Unlock()
	s.tried = map[string]Decision{}
	s.log.Info("this runner starts the runs", "jobs", len(s.jobs))
	defer func() {
		s.mutex.Lock()
		s.leads = false
		s.mutex.Unlock()
		if _, alone := s.options.Leader.(Alone); !alone && ctx.Err() == nil {
			s.drop(Skip{Stopped, "this runner stopped to lead while the run waited"}, func(*Start) bool { return true })
		}
	}()
	loaded := s.clock.Steady()
	for {
		if s.clock.Steady()-loaded >= look {
			if err := s.load(ctx); err != nil { // other runners pause and resume, too
				return err
			}
			loaded = s.clock.Steady()
		}
		next, err := s.tick(ctx)
		if err != nil {
			return err
		}
		wall, steady := s.clock.Now(), s.clock.Steady()
		pause := min(s.look, max(0, next))
		timer, stop := s.clock.Timer(pause)
		select {
		case <-ctx.Done():
			stop()
			return nil
		case <-lost:
			stop()
			s.log.Warn("this runner leads no more; what it runs goes on, and it starts nothing new")
			return nil
		case <-s.nudge:
		case <-timer:
		}
		stop()
		slept := s.clock.Steady() - steady
		stepped := s.clock.Now().Sub(wall) - slept
		if slept > pause+heldUp || stepped.Abs() > heldUp {
			s.log.Warn("the process was held up, or the clock was set", "asleep", slept, "instead_of_at_most", pause, "clock_set_by",
				stepped)
			return nil
		}
	}
}

// tick does what is due and returns the time to the next look.
func (s *Scheduler) tick(ctx context.Context) (time.Duration, error) {
	began := s.clock.Steady()
	next := s.look
	s.release()
	for _, j := range s.jobs {
		if j.Calendar != nil {
			s.well("the calendar of "+j.Name, j.Calendar.Load()) // if it cannot be read, what is known of it stays
		}
		s.mutex.Lock()
		state := s.states[j.Name]
		s.mutex.Unlock()
		now := s.clock.Now()
		if d, ok := s.tried[j.Name]; ok && d.Mark.Equal(state.Mark) {
			// The database had an error, and has done it all the same. Nobody else can have: this runner leads.
			s.carryOut(j, d, now)
		}
		delete(s.tried, j.Name)
		d := Decide(j, state, now)
		if !d.Wake.IsZero() {
			next = min(next, d.Wake.Sub(now))
		}
		if d.Mark.Equal(state.Mark) {
			continue
		}
		if d.Ahead {
			s.log.Warn("the clock must have been wrong: the job was accounted for into the future; it begins again now",
				"job", j.Name, "until", state.At)
		}
		first, err := s.advance(ctx, j.Name, state.Mark, d.Mark)
		if !s.well("accounting", err) {
			s.tried[j.Name] = d
			continue // nothing was started; the next look tries again
		}
		if !first {
			return time.Second, s.load(ctx) // another runner was first
		}
		if d.Run != nil && s.clock.Steady()-began > heldUp {
			d = d.without(Skip{Missed, "this process was held up before it began"})
		}
		s.carryOut(j, d, now)
		if s.clock.Steady()-began > heldUp {
			return 0, errHeldUp
		}
	}
	return next, nil
}

// deadline is that of a run; what is caught up has as much time as if it were due now.
func (j *Job) deadline(d Decision, now time.Time) time.Time {
	if d.Trigger == CaughtUp {
		return j.Deadline.time(now, j.Zone)
	}
	return j.Deadline.time(d.Run.Due, j.Zone)
}

// without skips what was to be run.
func (d Decision) without(why Skip) Decision {
	d.Skipped = append(d.Skipped, Skipped{Job: d.Run.Job, First: d.Run.At, Last: d.Run.At, Count: 1, Skip: why})
	d.Run = nil
	return d
}

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

func (s *Scheduler) wake() {
	select {
	case s.nudge <- struct{}{}:
	default:
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

func (s *Scheduler) setLeading(is bool) {
	s.asking.Lock()
	defer s.asking.Unlock()
	s.leading = is
}

const othersStates = "what other runners have done"

// Look reads the states anew while another runner leads, at most each few seconds: what that one has run, and what others pause, is shown
// here, too. While this one leads it knows them; an answer that overtakes its own accounting would have a run begun twice.
func (s *Scheduler) Look(ctx context.Context) {
	s.asking.Lock()
	defer s.asking.Unlock()
	now := s.clock.Steady()
	if s.leading || s.looked != 0 && now-s.looked < look {
		return
	}
	s.looked = now
	s.well(othersStates, s.read(ctx))
}

func (s *Scheduler) load(ctx context.Context) error {
	s.asking.Lock()
	defer s.asking.Unlock()
	return s.read(ctx)
}

// read is load with asking held.
func (s *Scheduler) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	states, err := s.options.Store.Load(ctx)
	if err != nil {
		return fmt.Errorf("reading what is known of the jobs: %w", err)
	}
	if states == nil {
		states = map[string]State{} // a store that knows no job yet
	}
	s.mutex.Lock()
	s.states = maps.Clone(states)
	s.mutex.Unlock()
	return nil
}

func (s *Scheduler) advance(ctx context.Context, job string, was, is Mark) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	first, err := s.options.Store.Advance(ctx, job, was, is)
	if err != nil {
		return false, fmt.Errorf("accounting for a run of %s, which is not started before that: %w", job, err)
	}
	if first {
		s.mutex.Lock()
		state := s.states[job]
		state.Mark = is
		s.states[job] = state
		s.mutex.Unlock()
	}
	return first, nil
}

// well notes how something that is tried again and again went, and says whether it went well.
func (s *Scheduler) well(about string, err error) bool {
	if err != nil {
		s.inTrouble(about, err)
		return false
	}
	s.mutex.Lock()
	delete(s.trouble, about)
	s.mutex.Unlock()
	return true
}

// inTrouble logs an error; the same one again is not.
func (s *Scheduler) inTrouble(about string, err error) {
	s.mutex.Lock()
	again := s.trouble[about] == err.Error()
	s.trouble[about] = err.Error()
	s.troubles++
	s.mutex.Unlock()
	if !again {
		s.log.Error("the schedule is in trouble", "about", about, "error", err)
	}
}

func (s *Scheduler) sleep(ctx context.Context, d time.Duration) {
	timer, stop := s.clock.Timer(d)
	defer stop()
	select {
	case <-ctx.Done():
	case <-timer:
	}
}
