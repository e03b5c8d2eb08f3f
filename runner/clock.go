package runner

import (
	"context"
	"sync"
	"time"
)

// clockWatch notices that the machine's time was set, or that the machine slept, during a run: durations that k6 or a server took from
// the wall clock are wrong then.
type clockWatch struct {
	now   func() time.Time // with the monotonic clock's reading, as time.Now
	began time.Time
	mutex sync.Mutex
	most  time.Duration
}

func watchClock(now func() time.Time) *clockWatch { return &clockWatch{now: now, began: now()} }

// look compares both clocks. The wall clock's part of a time is what is left when Round drops the monotonic one.
func (c *clockWatch) look() {
	now := c.now()
	jump := (now.Round(0).Sub(c.began.Round(0)) - now.Sub(c.began)).Abs()
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
