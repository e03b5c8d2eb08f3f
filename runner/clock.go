package runner

import (
	"context"
	"sync"
	"time"
)

// clocks reads the machine's two: the one on the wall, which may be set, and the monotonic one, which only goes on, since a time of its
// own choice.
type clocks func() (wall time.Time, monotonic time.Duration)

func machineClocks() clocks {
	began := time.Now()
	return func() (time.Time, time.Duration) {
		now := time.Now()
		return now.Round(0), now.Sub(began) // Round drops the monotonic clock's reading
	}
}

// clockWatch notices that the machine's time was set, or that the machine slept, during a run: durations that k6 or a server took from
// the wall clock are wrong then.
type clockWatch struct {
	read  clocks
	wall  time.Time // when it began
	began time.Duration
	mutex sync.Mutex
	most  time.Duration
}

func watchClock(read clocks) *clockWatch {
	c := &clockWatch{read: read}
	c.wall, c.began = read()
	return c
}

// look compares both clocks.
func (c *clockWatch) look() {
	wall, monotonic := c.read()
	jump := (wall.Sub(c.wall) - (monotonic - c.began)).Abs()
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.most = max(c.most, jump)
}

// run looks each second until ctx ends: a clock that was set and set back shows in between only.
func (c *clockWatch) run(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			c.look()
		}
	}
}

// jump is the greatest difference so far.
func (c *clockWatch) jump() time.Duration {
	c.look()
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.most
}
