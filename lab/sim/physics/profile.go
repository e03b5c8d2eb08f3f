package physics

import (
	"errors"
	"fmt"
	"time"
)

// Profile is what somebody's work does to a desktop, from the login on. The last point lasts.
type Profile []Point

// Point is a moment of somebody's work.
type Point struct {
	After time.Duration // since the login; not before the point before
	// Memory is the share, 0 to 1, of the guest's memory that it has touched by then, having grown evenly since the point before. What
	// it has touched already stays touched: without a balloon a guest gives nothing back to its host.
	Memory float64
	// Activity is how busy the desktop's CPUs are from then on, 0 to 1, when nothing slows it down.
	Activity float64
}

func (p Profile) check() error {
	if len(p) == 0 {
		return errors.New("it has no points")
	}
	var before time.Duration
	for i, point := range p {
		if point.After < before {
			return fmt.Errorf("point %d, after %v, is before the one before it", i+1, point.After)
		}
		if !between(point.Memory, 0, 1) || !between(point.Activity, 0, 1) {
			return fmt.Errorf("point %d: memory %g and activity %g are not both between 0 and 1", i+1, point.Memory, point.Activity)
		}
		before = point.After
	}
	return nil
}
