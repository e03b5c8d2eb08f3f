package demo

import (
	"context"
	"time"
)

// faultKind decides which measurements tell of a fault.
type faultKind string

const (
	slowFault   faultKind = "slow step"     // a step of logins takes many times what it took before
	errorFault  faultKind = "failed step"   // logins fail at a step
	hangFault   faultKind = "hang"          // guests hang: lost round trips
	evictFault  faultKind = "second client" // another client takes the desktop over: a session ends as evicted
	killedFault faultKind = "killed"        // a desktop's process ends: a session ends as gone
)

// fault is something the demo breaks on purpose.
type fault struct {
	kind     faultKind
	what     string // for people
	step     string // of logins, for slowFault and errorFault
	class    string // of failed logins, for errorFault
	desktops int    // that it is about; 0: none in particular
	after    time.Duration
	lasts    time.Duration // 0: to the end
	untilMet time.Duration // of the shift: until then it lasts longer, if nobody has met it; 0: it does not
	// inject does it. What undoes it is nil where it lasts to the end.
	inject func(context.Context) (undo func(), err error)

	started   bool
	failed    error // inject's
	undo      func()
	at, until time.Time // zero: not yet
}

// end undoes a fault.
func (f *fault) end(now time.Time) {
	if f.at.IsZero() || !f.until.IsZero() {
		return
	}
	f.until = now
	if f.undo != nil {
		f.undo()
	}
}

// due tells whether it is time for a fault of a shift that began then.
func (f *fault) due(begin, now time.Time) bool {
	return !f.started && !begin.IsZero() && !now.Before(begin.Add(f.after))
}

// over tells whether it is time to end it.
func (f *fault) over(now time.Time) bool {
	return f.lasts > 0 && !f.at.IsZero() && f.until.IsZero() && !now.Before(f.at.Add(f.lasts))
}
