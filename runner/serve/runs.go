package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"github.com/deskstorm/deskstorm/runner/schedule"
)

// Runs carries out experiments.
type Runs interface {
	// Run runs a job's experiment to its end, with verdict, history and reports, and its faults undone. The end of ctx ends it;
	// context.Cause says why (schedule.ErrCancelled, ErrDeadline, ErrReplaced, ErrStopped). Show may be called by any goroutine
	// until Run returns, some times a second at most.
	//
	// A panic of Run itself is an outcome. One of a goroutine that it started ends the process: nobody can recover that.
	Run(ctx context.Context, s schedule.Start, show func(Progress)) Result
}

// Result is how a run ended.
type Result struct {
	RunID   string // empty: it is not kept
	Title   string // the experiment's
	Outcome Outcome
	Reason  string // one sentence
}

// Outcome is what a run came to.
type Outcome string

// The outcomes.
const (
	Passed      Outcome = "passed"
	Deviated    Outcome = "deviated"
	NoVerdict   Outcome = "no-verdict"
	Failed      Outcome = "failed" // could not be run, or left a fault behind
	Interrupted Outcome = "interrupted"
)

// Outcomes are all of them.
func Outcomes() []Outcome { return []Outcome{Passed, Deviated, NoVerdict, Failed, Interrupted} }

// Progress is a run that goes on.
type Progress struct {
	RunID    string   `json:"run_id,omitempty"`
	Phase    string   `json:"phase,omitempty"`    // as record.Activity has them
	Activity string   `json:"activity,omitempty"` // its name
	Faults   []string `json:"faults,omitempty"`   // what is injected now, for people
	Steps    []Step   `json:"steps,omitempty"`    // of the load
}

// Step is a step of the load as it is measured while it goes on.
type Step struct {
	Name   string  `json:"name"`
	Site   string  `json:"site,omitempty"`
	Count  int64   `json:"count"`
	Errors int64   `json:"errors"`
	P50    float64 `json:"p50_seconds"`
	P95    float64 `json:"p95_seconds"`
	P99    float64 `json:"p99_seconds"`
}

// ErrNoRun is an error of a History or Reports that has no such run.
var ErrNoRun = errors.New("there is no such run")

// History has the runs that ended.
type History interface {
	// List returns the last runs, the latest first; of one job, if it is not empty.
	List(ctx context.Context, job string, limit int) ([]Entry, error)
	// One returns all that is known of a run, as what encodes as JSON.
	One(ctx context.Context, id string) (any, error)
}

// Entry is a run that ended.
type Entry struct {
	ID       string    `json:"id,omitempty"`
	Job      string    `json:"job"`
	Title    string    `json:"title,omitempty"`
	Trigger  string    `json:"trigger"`
	Began    time.Time `json:"began"`
	Ended    time.Time `json:"ended"`
	Outcome  Outcome   `json:"outcome"`
	Reason   string    `json:"reason,omitempty"`
	Reported bool      `json:"reported"` // there is a report of it
}

// Reports has runs' reports.
type Reports interface {
	// HTML writes a run's report, one file that needs no other.
	HTML(ctx context.Context, id string, to io.Writer) error
}

// run is the scheduler's: it runs a job and keeps what came of it.
func (s *Server) run(ctx context.Context, start schedule.Start) {
	job := start.Job.Name
	began := s.now()
	s.log.Info("a run begins", "job", job, "trigger", start.Trigger, "occurrence", start.Occurrence)
	ended := false // guarded by the mutex: what is shown later is of no run
	result := s.guarded(ctx, start, func(p Progress) {
		s.mutex.Lock()
		defer s.mutex.Unlock()
		if !ended {
			s.live[job] = p
		}
	})
	if result.Outcome == "" {
		result.Outcome = Failed
	}
	e := Entry{
		ID: result.RunID, Job: job, Title: result.Title, Trigger: string(start.Trigger), Began: began, Ended: s.now(),
		Outcome: result.Outcome, Reason: result.Reason, Reported: result.RunID != "" && s.options.Reports != nil,
	}
	s.log.Info("a run ended", "job", job, "run", e.ID, "outcome", e.Outcome, "reason", e.Reason, "took", e.Ended.Sub(e.Began))
	s.mutex.Lock()
	ended = true
	delete(s.live, job)
	s.last[job] = e
	s.mutex.Unlock()
	s.past.add(e)
	s.metrics.ended(e)
}

// guarded is Runs.Run, whose panic is an outcome like another.
func (s *Server) guarded(ctx context.Context, start schedule.Start, show func(Progress)) (result Result) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("a run panicked; others go on", "job", start.Job.Name, "panic", p, "stack", string(debug.Stack()))
			result = Result{
				Outcome: Failed, Reason: fmt.Sprintf("could not be run, by a mistake in deskstorm: %.200v; its log has more", p),
			}
		}
	}()
	return s.options.Runs.Run(ctx, start, show)
}

func (s *Server) now() time.Time {
	if s.options.Clock != nil {
		return s.options.Clock.Now()
	}
	return time.Now()
}
