package screen

import (
	"container/heap"
	"sync"
	"time"
)

// clock runs functions when they are due, for all desktops of a farm: one
// goroutine and one alarm however many desktops there are, and none while
// nothing is due. The functions run one after another and must not block.
type clock struct {
	newAlarm func() alarm

	mu      sync.Mutex
	events  events
	alarm   alarm     // nil while no goroutine runs
	armed   time.Time // what alarm is set to
	waiting bool
}

// alarm wakes the clock's goroutine.
type alarm interface {
	set(d time.Duration) // in place of what was set before; d may be 0 or past
	wait()
	close()
}

type event struct {
	at  time.Time
	run func()
}

// at runs f once t has come.
func (c *clock) at(t time.Time, f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	heap.Push(&c.events, event{t, f})
	if c.alarm == nil {
		c.alarm = c.newAlarm()
		go c.run(c.alarm)
		return
	}
	// While the goroutine is running functions it will look by itself.
	if c.waiting && t.Before(c.armed) {
		c.armed = t
		c.alarm.set(time.Until(t))
	}
}

// stop forgets what is not due yet, and so ends the goroutine.
func (c *clock) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = nil
	if c.waiting {
		c.alarm.set(0)
	}
}

func (c *clock) run(a alarm) {
	defer a.close()
	for {
		c.mu.Lock()
		c.waiting = false
		if len(c.events) == 0 {
			c.alarm = nil
			c.mu.Unlock()
			return
		}
		next := c.events[0]
		if d := time.Until(next.at); d > 0 {
			c.waiting, c.armed = true, next.at
			a.set(d)
			c.mu.Unlock()
			a.wait()
			continue
		}
		heap.Pop(&c.events)
		c.mu.Unlock()
		next.run()
	}
}

// events is a heap, the earliest first.
type events []event

func (e events) Len() int           { return len(e) }
func (e events) Less(i, j int) bool { return e[i].at.Before(e[j].at) }
func (e events) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)        { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	(*e)[last] = event{} // lets go of what the function holds
	*e = (*e)[:last]
	return x
}

// timerAlarm is an alarm of the Go runtime's timers, which on an idle Linux
// machine come up to a millisecond late, because epoll_wait counts those.
type timerAlarm struct{ t *time.Timer }

func newTimerAlarm() alarm { return timerAlarm{time.NewTimer(time.Hour)} }

func (a timerAlarm) set(d time.Duration) { a.t.Reset(d) }
func (a timerAlarm) wait()               { <-a.t.C }
func (a timerAlarm) close()              { a.t.Stop() }
