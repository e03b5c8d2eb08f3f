package broker

import (
	"time"

	"github.com/deskstorm/deskstorm/broker/client"
)

// watch measures the steps of a login. A step that is taken twice, because a desktop was dead, is one with both times.
type watch struct {
	steps []client.Timing // in the order in which they were first taken
	now   int             // the step under way
	since time.Time       // zero: none is
}

// begin ends the step under way and begins another.
func (w *watch) begin(step client.Step) {
	w.end()
	w.since = time.Now()
	for i, s := range w.steps {
		if s.Step == step {
			w.now = i
			return
		}
	}
	w.now = len(w.steps)
	w.steps = append(w.steps, client.Timing{Step: step})
}

// end ends the step under way and returns which it was.
func (w *watch) end() client.Step {
	if w.since.IsZero() {
		return ""
	}
	w.steps[w.now].Took += time.Since(w.since)
	w.since = time.Time{}
	return w.steps[w.now].Step
}
