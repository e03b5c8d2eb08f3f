package schedule

import (
	"fmt"
	"slices"
	"time"
)

// Start is a run that is about to begin, goes on, or waits.
type Start struct {
	Job        Job
	Trigger    Trigger
	Occurrence time.Time // as the cron line says; of a manual run, when it was asked for
	Due        time.Time
	Deadline   time.Time // zero: none
}

// board is what runs and what waits. A job is running once at most, and waiting once at most.
type board struct {
	running map[string]*running
	waiting []*Start // in the order in which they came
}

type admission int

const (
	begin admission = iota
	wait
	refuse
	replaces // what runs is to be cancelled; the new one waits for its end
)

// admit says what to do with a run, and why if it is refused.
func (b *board) admit(s *Start) (admission, Skip) {
	job := &s.Job
	waits := slices.ContainsFunc(b.waiting, func(w *Start) bool { return w.Job.Name == job.Name })
	run := b.running[job.Name]
	if run == nil && !waits {
		if b.groupBusy(s) {
			return wait, Skip{}
		}
		return begin, Skip{}
	}
	byHand := s.Trigger == Manual // a person who looks at the page knows what runs, and is asked to decide
	switch {
	case job.Overlap == OverlapReplace && !byHand:
		return replaces, Skip{}
	case waits:
		return refuse, Skip{Overlapped, "one waits already"}
	case job.Overlap == OverlapQueue && !byHand:
		return wait, Skip{}
	}
	return refuse, Skip{Overlapped, fmt.Sprintf("the run of %s goes on", run.Occurrence.In(job.Zone).Format("2006-01-02 15:04 MST"))}
}

// groupBusy says whether a run must wait for its group: for one that runs, or for one that waited before.
func (b *board) groupBusy(s *Start) bool {
	if s.Job.Group == "" {
		return false
	}
	for _, r := range b.running {
		if r.Job.Group == s.Job.Group && r.Job.Name != s.Job.Name {
			return true
		}
	}
	for _, w := range b.waiting {
		if w == s {
			return false
		}
		if w.Job.Group == s.Job.Group {
			return true
		}
	}
	return false
}

// ready are those that wait and could begin now.
func (b *board) ready() []*Start {
	var all []*Start
	for _, w := range b.waiting {
		if b.running[w.Job.Name] == nil && !b.groupBusy(w) {
			all = append(all, w)
		}
	}
	return all
}

// drop takes those that wait and match from the board and returns them.
func (b *board) drop(match func(*Start) bool) []*Start {
	var dropped, rest []*Start
	for _, w := range b.waiting {
		if match(w) {
			dropped = append(dropped, w)
		} else {
			rest = append(rest, w)
		}
	}
	b.waiting = rest
	return dropped
}
