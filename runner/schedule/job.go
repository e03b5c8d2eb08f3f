package schedule

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"github.com/deskstorm/deskstorm/internal/wallclock"
)

// Job is an experiment with its times.
type Job struct {
	Name string // in the schedule; runs are kept under it
	// Experiment is the path of an experiment's file, or the name of one that is shipped. See IsFile.
	Experiment string
	IsFile     bool
	Cron       string
	Zone       *time.Location // of Cron, Blackout, Deadline and of the calendar's times without one
	Jitter     time.Duration  // each occurrence is later by a part of it, the same on all runners
	Overlap    Overlap
	Group      string // of jobs that run one at a time; empty: alone
	Blackout   []Window
	Calendar   *Calendar // nil: none
	Deadline   Deadline
	CatchUp    CatchUp
	// Variables replace values of the experiment's configuration: texts, numbers (int64, float64) and booleans, by name.
	Variables map[string]any
	Notify    []string // names of those to tell

	timing timing
}

// Overlap is what to do when a job is due while its last run goes on.
type Overlap string

// What to do about it.
const (
	OverlapSkip    Overlap = "skip"    // the new one
	OverlapQueue   Overlap = "queue"   // the new one waits for the old one's end; one at most
	OverlapReplace Overlap = "replace" // the old one is cancelled
)

// CatchUp is what to do about occurrences that were missed while no runner ran, or was asleep.
type CatchUp string

// What to do about it.
const (
	CatchUpNone   CatchUp = "none"
	CatchUpLatest CatchUp = "latest" // the latest one is run at once
)

// Deadline is when a run must have ended. The zero Deadline is none.
type Deadline struct {
	After time.Duration // it was due; 0: At is it
	At    string        // the time of day, HH:MM: the first one after it was due
}

// Given says whether there is one.
func (d Deadline) Given() bool { return d != Deadline{} }

func (d Deadline) String() string {
	if d.After > 0 {
		return d.After.String()
	}
	return d.At
}

// time is the deadline of a run that was due then; zero: there is none.
func (d Deadline) time(due time.Time, zone *time.Location) time.Time {
	minutes, ok := clock(d.At)
	switch {
	case d.After > 0:
		return due.Add(d.After)
	case !ok:
		return time.Time{}
	}
	day := wallclock.On(due, zone)
	for n := range 3 {
		at := wallclock.Moment(time.Date(day.Year(), day.Month(), day.Day()+n, 0, minutes, 0, 0, time.UTC), zone)
		if at.After(due) {
			return at
		}
	}
	return due.Add(24 * time.Hour) // no zone leaves out two days
}

// Occurrence is a time at which a job is to run.
type Occurrence struct {
	Job string
	At  time.Time // as the cron line says; an occurrence is known by it
	Due time.Time // with the jitter
	// Skip is why it will not run, as far as that is known before; nil: it will.
	Skip *Skip
}

// Skip is why an occurrence is not run.
type Skip struct {
	Reason Reason
	Why    string // for people
}

// Reason is a kind of Skip.
type Reason string

// The reasons.
const (
	Paused      Reason = "paused"      // the job
	Blackout    Reason = "blackout"    // it was due in one
	Maintenance Reason = "maintenance" // it was due in one
	Missed      Reason = "missed"      // no runner ran
	Overlapped  Reason = "overlap"     // the last run went on
	TooLate     Reason = "deadline"    // it passed while the run waited
	Stopped     Reason = "stopped"     // the runner was, while the run waited
	Cancelled   Reason = "cancelled"   // by a person, while the run waited
)

// Reasons are all of them.
func Reasons() []Reason {
	return []Reason{Paused, Blackout, Maintenance, Missed, Overlapped, TooLate, Stopped, Cancelled}
}

// After is the job's first occurrence after a moment; false if there is none.
func (j *Job) After(t time.Time) (Occurrence, bool) {
	at := j.timing.next(t)
	if at.IsZero() {
		return Occurrence{}, false
	}
	due := at.Add(j.jitter(at))
	return Occurrence{Job: j.Name, At: at, Due: due, Skip: j.closed(due)}, true
}

// jitter is how much later an occurrence is than its cron line says, in whole seconds. It is made from the job's name and the
// time, not drawn: it can be shown before, and no runner thinks otherwise.
func (j *Job) jitter(at time.Time) time.Duration {
	seconds := uint64(j.Jitter / time.Second)
	if seconds == 0 {
		return 0
	}
	sum := sha256.Sum256([]byte(j.Name + "\n" + strconv.FormatInt(at.Unix(), 10)))
	return time.Duration(binary.BigEndian.Uint64(sum[:8])%seconds) * time.Second
}

// closed is why nothing may be started at a moment.
func (j *Job) closed(t time.Time) *Skip {
	if w, ok := in(j.Blackout, t, j.Zone); ok {
		return &Skip{Blackout, fmt.Sprintf("in the blackout %s", w)}
	}
	if j.Calendar != nil {
		if summary, ok := j.Calendar.At(t); ok {
			return &Skip{Maintenance, "maintenance: " + summary}
		}
	}
	return nil
}

// prepare makes the timing of a job that Read has not made.
func (j *Job) prepare() (err error) {
	if j.timing.zone != nil {
		return nil
	}
	if j.Zone == nil {
		j.Zone = time.UTC
	}
	if j.timing, err = parseTiming(j.Cron, j.Zone); err != nil {
		return fmt.Errorf("the cron line of %s: %w", j.Name, err)
	}
	return nil
}

// definition tells an edited job's times from those before.
func (j *Job) definition() string { return j.timing.definition }
