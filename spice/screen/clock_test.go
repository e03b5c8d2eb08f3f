package screen

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestClockRunsInOrder(t *testing.T) {
	for name, alarm := range map[string]func() alarm{"system": newAlarm, "timer": newTimerAlarm} {
		t.Run(name, func(t *testing.T) {
			c := clock{newAlarm: alarm}
			var mu sync.Mutex
			var order []int
			began := time.Now()
			done := make(chan struct{})
			for _, i := range []int{5, 1, 4, 2, 3} {
				due := began.Add(time.Duration(i) * 5 * time.Millisecond)
				c.at(due, func() {
					mu.Lock()
					defer mu.Unlock()
					require.False(t, time.Now().Before(due))
					if order = append(order, i); len(order) == 5 {
						close(done)
					}
				})
			}
			<-done
			require.Equal(t, []int{1, 2, 3, 4, 5}, order)
			eventually(t, "the goroutine ends with the last event", func() bool {
				c.mu.Lock()
				defer c.mu.Unlock()
				return c.alarm == nil
			})
			again := make(chan struct{})
			c.at(time.Now(), func() { close(again) })
			<-again
		})
	}
}

func TestClockStops(t *testing.T) {
	c := clock{newAlarm: newAlarm}
	c.at(time.Now().Add(time.Hour), func() {})
	c.stop()
	eventually(t, "the goroutine ends", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.alarm == nil
	})
	c.stop()
}
