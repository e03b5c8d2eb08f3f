package schedule

import "time"

// Clock is the time. Tests have one of their own.
type Clock interface {
	// Now is the time of day, which people and NTP set.
	Now() time.Time
	// Steady is the time since some moment, which nobody sets.
	Steady() time.Duration
	// Timer sends once after a steady duration, unless it is stopped.
	Timer(d time.Duration) (c <-chan time.Time, stop func())
}

// System is the machine's clock.
func System() Clock { return system{time.Now()} }

type system struct{ began time.Time }

func (system) Now() time.Time { return time.Now().Round(0) }

func (s system) Steady() time.Duration { return time.Since(s.began) }

func (system) Timer(d time.Duration) (<-chan time.Time, func()) {
	t := time.NewTimer(d)
	return t.C, func() { t.Stop() }
}
