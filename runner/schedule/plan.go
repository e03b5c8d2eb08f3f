package schedule

import "time"

// State is what is known of a job from before.
type State struct {
	Mark
	Pause *Pause // nil: it is not paused
}

// Mark is how far a job's occurrences are accounted for: each one up to At, included, was run, or skipped.
type Mark struct {
	At time.Time
	// Timing is the cron line and zone that this is about. Of an edited one, nothing in the past is owed.
	Timing string
}

// Equal compares marks.
func (m Mark) Equal(o Mark) bool { return m.At.Equal(o.At) && m.Timing == o.Timing }

// Pause is why a job does not run on its own.
type Pause struct {
	By    string // who, if that is known
	Since time.Time
}

// Skipped are occurrences that were not run, one after the other, for the same reason.
type Skipped struct {
	Job         string
	First, Last time.Time // as the cron line says
	Count       int
	Skip
}

// Decision is what to do about a job at a moment.
type Decision struct {
	Mark    Mark // the new one, to be kept before Run is started
	Skipped []Skipped
	Run     *Occurrence // nil: none
	Trigger Trigger     // of Run
	Wake    time.Time   // when to decide again; zero: never
	// Ahead says that the mark was so far in the future that the clock must have been wrong; it begins again now.
	Ahead bool
}

// Trigger is what started a run.
type Trigger string

// What starts runs.
const (
	Scheduled Trigger = "schedule"
	CaughtUp  Trigger = "catch-up"
	Manual    Trigger = "manual"
)

const (
	// late is how late a run may be started as if it were in time: a slow database, a runner that is started again, a clock that is
	// set. What is later is missed.
	late = 10 * time.Minute
	// ahead is how far a mark may be in the future: a clock that is set back by hours makes jobs wait, so that none runs twice.
	ahead = 25 * time.Hour
	// longest is how far back missed occurrences are counted.
	longest = 366 * 24 * time.Hour
)

// Decide says what to do about a job's occurrences since its mark. Of several that are due, the latest is run if it is not too
// late, or if the job catches up: never more than one.
func Decide(j *Job, s State, now time.Time) Decision {
	d := Decision{Mark: s.Mark}
	switch {
	case s.At.IsZero() || s.Timing != j.definition():
		d.Mark = Mark{At: now, Timing: j.definition()}
	case s.At.After(now.Add(ahead)):
		d.Mark, d.Ahead = Mark{At: now, Timing: s.Timing}, true
	case s.At.Before(now.Add(-longest)):
		d.Mark = Mark{At: now.Add(-longest), Timing: s.Timing}
	}
	skip := func(o Occurrence, why Skip) {
		if n := len(d.Skipped); n > 0 && d.Skipped[n-1].Skip == why {
			d.Skipped[n-1].Last = o.At
			d.Skipped[n-1].Count++
			return
		}
		d.Skipped = append(d.Skipped, Skipped{Job: j.Name, First: o.At, Last: o.At, Count: 1, Skip: why})
	}
	missed := Skip{Missed, "it was missed: no runner was there at the time"}
	for {
		o, ok := j.After(d.Mark.At)
		if !ok {
			break
		}
		if o.Due.After(now) {
			d.Wake = o.Due
			break
		}
		d.Mark.At = o.At
		switch {
		case s.Pause != nil:
			skip(o, Skip{Paused, "the job is paused"})
		case o.Skip != nil:
			skip(o, *o.Skip)
		default:
			if d.Run != nil {
				skip(*d.Run, missed)
			}
			d.Run = &o
		}
	}
	if d.Run == nil {
		return d
	}
	behind, why := now.Sub(d.Run.Due), (*Skip)(nil)
	if behind > heldUp {
		why = j.closed(now)
	}
	switch d.Trigger = Scheduled; {
	case behind > late && j.CatchUp != CatchUpLatest:
		why = &missed
	case why != nil:
		why = &Skip{why.Reason, "it was missed, and may not be run now: " + why.Why}
	case behind > late:
		d.Trigger = CaughtUp
	}
	if why != nil {
		skip(*d.Run, *why)
		d.Run = nil
	}
	return d
}

// Upcoming are the job's next occurrences, n at most, with the reasons of those that will not run.
func (j *Job) Upcoming(s State, now time.Time, n int) []Occurrence {
	from := now.Add(-j.Jitter) // what is before now, and waits for its jitter, is to come
	if s.Timing == j.definition() && s.At.After(from) && !s.At.After(now.Add(ahead)) {
		from = s.At
	}
	all := make([]Occurrence, 0, n)
	for len(all) < n {
		o, ok := j.After(from)
		if !ok {
			break
		}
		from = o.At
		if o.Due.Before(now) {
			continue
		}
		if s.Pause != nil {
			o.Skip = &Skip{Paused, "the job is paused"}
		}
		all = append(all, o)
	}
	return all
}

// maxSearch bounds the search for a run that is not skipped.
const maxSearch = 10_000

// NextRun is the job's next occurrence that will run; false if none is found, or it is paused.
func (j *Job) NextRun(s State, now time.Time) (Occurrence, bool) {
	if s.Pause != nil {
		return Occurrence{}, false
	}
	next := j.Upcoming(s, now, 1)
	for range maxSearch {
		if len(next) == 0 {
			return Occurrence{}, false
		}
		if next[0].Skip == nil {
			return next[0], true
		}
		o, ok := j.After(next[0].At)
		if !ok {
			return Occurrence{}, false
		}
		next[0] = o
	}
	return Occurrence{}, false
}
