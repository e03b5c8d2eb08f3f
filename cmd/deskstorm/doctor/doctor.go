// Package doctor checks, before a load test, whether this machine can hold the thin clients asked for: descriptors,
// ports, memory, connection tracking and the way to the desktops. Each check says what to change and how.
package doctor

import (
	"context"
	"fmt"
)

// SocketsPerClient is how many TCP connections one session holds: the SPICE channels main, display, inputs and cursor.
const SocketsPerClient = 4

// Level is how bad a result is.
type Level int

// Levels, from good to bad.
const (
	OK   Level = iota
	Warn       // it may work, or the check could not tell
	Fail       // the test asked for cannot work
)

func (l Level) String() string {
	switch l {
	case OK:
		return "ok"
	case Warn:
		return "warn"
	default:
		return "fail"
	}
}

// MarshalText writes the level as "ok", "warn" or "fail".
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// Result is what one check found.
type Result struct {
	Check  string `json:"check"`
	Level  Level  `json:"level"`
	Found  string `json:"found"`            // one line
	Advice string `json:"advice,omitempty"` // what to change and how; lines separated by \n
}

// Check looks at one thing. It returns by the end of its context.
type Check func(ctx context.Context) Result

// Run runs the checks one after another.
func Run(ctx context.Context, checks []Check) []Result {
	found := make([]Result, 0, len(checks))
	for _, check := range checks {
		found = append(found, check(ctx))
	}
	return found
}

// Worst returns the worst level among results, OK if there are none.
func Worst(found []Result) Level {
	worst := OK
	for _, r := range found {
		worst = max(worst, r.Level)
	}
	return worst
}

// unreadable is the result of a check that could not look.
func unreadable(check string, err error) Result {
	return Result{Check: check, Level: Warn, Found: fmt.Sprintf("cannot tell: %v", err)}
}
