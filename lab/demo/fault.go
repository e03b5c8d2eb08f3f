package demo

import (
	"context"
	"time"
)

// faultKind decides which measurements tell of a fault.
type faultKind string

const (
	hangFault   faultKind = "hang"          // guests hang: lost round trips
	evictFault  faultKind = "second client" // another client takes the desktop over: a session ends as evicted
	killedFault faultKind = "killed"        // a desktop's process ends: a session ends as gone
)

// fault is something the demo breaks on purpose.
type fault struct {
	kind     faultKind
	what     string // for people
	desktops int
	after    time.Duration               // of the shift's beginning
	lasts    time.Duration               // 0: to the end
	inject   func(context.Context) error // does it
	heal     func()                      // undoes it; nil where it lasts to the end

	started   bool
	failed    error     // inject's
	at, until time.Time // zero: not yet
}

// end says that a fault is over.
func (f *fault) end(now time.Time) {
	if !f.at.IsZero() && f.until.IsZero() {
		f.until = now
	}
}
