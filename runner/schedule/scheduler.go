package schedule

import (
	"context"
	"errors"
	"log/slog"
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

func (s *Scheduler) wake() {
	select {
	case s.nudge <- struct{}{}:
	default:
	}
}

func (s *Scheduler) setLeading(is bool) {
	s.asking.Lock()
	defer s.asking.Unlock()
	s.leading = is
}

func (s *Scheduler) sleep(ctx context.Context, d time.Duration) {
	timer, stop := s.clock.Timer(d)
	defer stop()
	select {
	case <-ctx.Done():
	case <-timer:
	}
}
