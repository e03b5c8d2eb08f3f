package load

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"sync"
	"time"
)

// machine watches how busy the machine's cores are. A generator without time to itself measures its own delays.
type machine struct {
	proc fs.FS
	stop chan struct{}
	done chan struct{}

	mutex   sync.Mutex
	highest float64 // of any whole interval, 0 to 1
	whole   bool    // there was one
	began   times
}

// times are the cores' times since boot, in ticks.
type times struct{ busy, all uint64 }

// watch begins to watch. Where /proc/stat cannot be read, there is no figure and an error.
func watch(proc fs.FS, every time.Duration) (*machine, error) {
	now, err := readTimes(proc)
	if err != nil {
		return nil, err
	}
	m := &machine{proc: proc, stop: make(chan struct{}), done: make(chan struct{}), began: now}
	go m.sample(now, every)
	return m, nil
}

func (m *machine) sample(last times, every time.Duration) {
	defer close(m.done)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-m.stop:
			return
		case <-tick.C:
		}
		now, err := readTimes(m.proc)
		if err != nil {
			continue
		}
		m.mutex.Lock()
		m.highest, m.whole = max(m.highest, now.share(last)), true
		m.mutex.Unlock()
		last = now
	}
}

// share returns the highest of any interval so far, or, before the first is over, that since the beginning.
func (m *machine) share() float64 {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.whole {
		return m.highest
	}
	now, err := readTimes(m.proc)
	if err != nil {
		return 0
	}
	return now.share(m.began)
}

func (m *machine) close() {
	close(m.stop)
	<-m.done
}

// share is the busy share since earlier.
func (t times) share(earlier times) float64 {
	if t.all <= earlier.all || t.busy < earlier.busy {
		return 0
	}
	return min(1, float64(t.busy-earlier.busy)/float64(t.all-earlier.all))
}

// readTimes reads the first line of /proc/stat (proc_stat(5)): user, nice, system, idle, iowait, irq, softirq, steal; guests' times,
// which follow, are in user's. Stolen time is busy: the generator did not have it.
func readTimes(proc fs.FS) (times, error) {
	text, err := fs.ReadFile(proc, "stat")
	if err != nil {
		return times{}, fmt.Errorf("reading how busy the machine is: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	if len(fields) < 6 || fields[0] != "cpu" {
		return times{}, fmt.Errorf("reading how busy the machine is: the first line of /proc/stat is %.40q", line)
	}
	var t times
	for i, f := range fields[1:min(len(fields), 9)] {
		n, err := strconv.ParseUint(f, 10, 64)
		if err != nil {
			return times{}, fmt.Errorf("reading how busy the machine is: %w", err)
		}
		t.all += n
		if i != 3 && i != 4 { // idle, iowait
			t.busy += n
		}
	}
	return t, nil
}
