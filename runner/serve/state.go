package serve

import (
	"context"
	"runtime/debug"
	"slices"
	"time"

	"github.com/deskstorm/deskstorm/runner/schedule"
)

// State is all that the page shows.
type State struct {
	Now      time.Time `json:"now"`
	Version  string    `json:"version"`
	Leads    bool      `json:"leads"`
	Stopping bool      `json:"stopping"`
	Trouble  []string  `json:"trouble"`
	Jobs     []Job     `json:"jobs"`
	Running  []Running `json:"running"`
	Waiting  []Waiting `json:"waiting"`
	Runs     []Entry   `json:"runs"` // that ended, the latest first
	Skipped  []Skipped `json:"skipped"`
}

// Job is a job and what is to come of it.
type Job struct {
	Name       string       `json:"name"`
	Experiment string       `json:"experiment"`
	Cron       string       `json:"cron"`
	Zone       string       `json:"timezone"`
	Jitter     float64      `json:"jitter_seconds"`
	Overlap    string       `json:"overlap"`
	Group      string       `json:"group,omitempty"`
	Blackout   []string     `json:"blackout"`
	Calendar   string       `json:"calendar,omitempty"`
	Deadline   string       `json:"deadline,omitempty"`
	CatchUp    string       `json:"catch_up"`
	Paused     *Paused      `json:"paused"` // null: it is not
	Next       *time.Time   `json:"next"`   // when it will really run; null: it is paused, or that is not known
	Upcoming   []Occurrence `json:"upcoming"`
	Last       *Entry       `json:"last"`           // null: it never ran
	Closed     string       `json:"closed_because"` // why nothing is started now; empty: it may be
}

// Paused is a pause.
type Paused struct {
	By    string    `json:"by,omitempty"`
	Since time.Time `json:"since"`
}

// Occurrence is a time at which a job is to run.
type Occurrence struct {
	At     time.Time `json:"at"`  // as the cron line says
	Due    time.Time `json:"due"` // with the jitter
	Reason string    `json:"skip_reason,omitempty"`
	Why    string    `json:"skip_why,omitempty"`
}

// Running is a run that goes on.
type Running struct {
	Job        string     `json:"job"`
	Trigger    string     `json:"trigger"`
	Occurrence time.Time  `json:"occurrence"`
	Began      time.Time  `json:"began"`
	Deadline   *time.Time `json:"deadline"` // null: none
	Progress
}

// Waiting is a run that will begin when another one has ended.
type Waiting struct {
	Job      string     `json:"job"`
	Trigger  string     `json:"trigger"`
	Due      time.Time  `json:"due"`
	Deadline *time.Time `json:"deadline"`
}

// Skipped are occurrences that were not run.
type Skipped struct {
	Job    string    `json:"job"`
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
	Count  int       `json:"count"`
	Reason string    `json:"reason"`
	Why    string    `json:"why"`
}

// shownNext are the occurrences of each job that are shown.
const shownNext = 5

func (s *Server) state(ctx context.Context) State {
	s.scheduler.Look(ctx)
	all := s.scheduler.Status(shownNext)
	runs, err := s.past.look(ctx, s.options.History)
	s.follow(runs)
	state := State{
		Now: all.Now.UTC(), Version: version(), Leads: all.Leads, Stopping: s.stopping.Load(), Trouble: append([]string{},
			all.Trouble...),
		Jobs: []Job{}, Running: []Running{}, Waiting: []Waiting{}, Runs: append([]Entry{}, runs...), Skipped: []Skipped{},
	}
	if err != nil {
		state.Trouble = append(state.Trouble, "the history: "+err.Error())
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, j := range all.Jobs {
		state.Jobs = append(state.Jobs, s.job(j))
	}
	for _, r := range all.Running {
		state.Running = append(state.Running, Running{
			Job: r.Job.Name, Trigger: string(r.Trigger), Occurrence: r.Occurrence.UTC(), Began: r.Began.UTC(),
			Deadline: some(r.Deadline), Progress: s.live[r.Job.Name],
		})
	}
	for _, w := range all.Waiting {
		state.Waiting = append(state.Waiting, Waiting{Job: w.Job.Name, Trigger: string(w.Trigger), Due: w.Due.UTC(),
			Deadline: some(w.Deadline)})
	}
	for _, k := range all.Skipped {
		state.Skipped = append(state.Skipped, Skipped{
			Job: k.Job, First: k.First.UTC(), Last: k.Last.UTC(), Count: k.Count, Reason: string(k.Reason), Why: k.Why,
		})
	}
	return state
}

// job is a job as it is shown; the mutex is held.
func (s *Server) job(j schedule.JobStatus) Job {
	shown := Job{
		Name: j.Job.Name, Experiment: j.Job.Experiment, Cron: j.Job.Cron, Zone: j.Job.Zone.String(), Jitter: j.Job.Jitter.Seconds(),
		Overlap: string(j.Job.Overlap), Group: j.Job.Group, Blackout: []string{}, Deadline: j.Job.Deadline.String(),
		CatchUp: string(j.Job.CatchUp), Next: some(j.Next), Upcoming: []Occurrence{},
	}
	for _, w := range j.Job.Blackout {
		shown.Blackout = append(shown.Blackout, w.String())
	}
	if j.Job.Calendar != nil {
		shown.Calendar = j.Job.Calendar.Path
	}
	if j.Pause != nil {
		shown.Paused = &Paused{By: j.Pause.By, Since: j.Pause.Since.UTC()}
	}
	if j.Closed != nil {
		shown.Closed = j.Closed.Why
	}
	for _, o := range j.Upcoming {
		u := Occurrence{At: o.At.UTC(), Due: o.Due.UTC()}
		if o.Skip != nil {
			u.Reason, u.Why = string(o.Skip.Reason), o.Skip.Why
		}
		shown.Upcoming = append(shown.Upcoming, u)
	}
	if last, ok := s.last[j.Job.Name]; ok {
		shown.Last = &last
	}
	return shown
}

func some(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return new(t.UTC())
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// runningNames are the jobs that run now.
func (s *Server) runningNames(all schedule.Status) []string {
	names := make([]string, len(all.Running))
	for i, r := range all.Running {
		names[i] = r.Job.Name
	}
	return slices.Clip(names)
}
