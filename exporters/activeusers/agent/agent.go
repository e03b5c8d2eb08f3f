// Package agent is what runs on a thin client: it counts input events, looks at how the thin client is, and reports both to the
// exporter of active users. It links only Go's own libraries and golang.org/x/sys, so that the program stays small.
//
// It never keeps, logs or sends which key was pressed or where the pointer was: the code of an input event is not even read.
package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"regexp"
	"sync"
	"time"

	"github.com/deskstorm/deskstorm/internal/activity"
)

// Config is an agent's. Default has values for all that is not required.
type Config struct {
	Client           string // the thin client's name; required
	Site, Department string // for an exporter without an inventory

	Interval time.Duration // of reports; 1 s to 10 min, 10 s
	Queue    int           // reports that wait at most while the exporter is away, the oldest are lost first; 1 to 100,000, 360

	InputDir      string         // where input devices are: /dev/input
	DisplayClient string         // name of the process that shows the desktop; without it the client always counts as connected
	DisplayLog    string         // that process's log file, whose errors are counted; optional
	DisplayErrors *regexp.Regexp // that match a line with an error
	Disk          string         // a path on the disk whose free space is told: /
	Version       string         // of the agent

	Proc, Sys string // where the kernel tells of itself: /proc, /sys
}

// Default is a Config without a client's name.
func Default() Config {
	return Config{
		Interval: 10 * time.Second, Queue: 360, InputDir: "/dev/input", Disk: "/", Proc: "/proc", Sys: "/sys",
		DisplayErrors: regexp.MustCompile(`(?i)\b(error|critical|fatal)\b`),
	}
}

func (c *Config) validate() error {
	switch {
	case !activity.ValidName(c.Client):
		return errors.New("the client's name has 1 to 64 letters, digits, dots, hyphens, underscores or colons")
	case len(c.Site) > activity.MaxName || len(c.Department) > activity.MaxName || len(c.Version) > activity.MaxName:
		return errors.New("site, department and version have at most 64 bytes")
	case c.Interval < time.Second || c.Interval > 10*time.Minute:
		return errors.New("the interval is 1 s to 10 min")
	case c.Queue < 1 || c.Queue > 100_000:
		return errors.New("the queue takes 1 to 100,000 reports")
	case c.DisplayLog != "" && c.DisplayErrors == nil:
		return errors.New("what is an error in the display client's log is not given")
	}
	return nil
}

// Sender takes reports to the exporter: a activity.Client.
type Sender interface {
	Send(ctx context.Context, reports []activity.Report) ([]activity.Result, error)
}

// leaveTimeout bounds the last report: a thin client that is switched off does not wait.
const leaveTimeout = 3 * time.Second

// Run counts and reports until the context ends. Then it says goodbye, so that the client's silence is no alarm.
func Run(ctx context.Context, c Config, to Sender, log *slog.Logger) error {
	if err := c.validate(); err != nil {
		return fmt.Errorf("the agent: %w", err)
	}
	a := &agent{
		config: c, log: log, run: rand.Text(), from: time.Now(),
		inputs: newInputs(c.InputDir, log), display: &display{path: c.DisplayLog, errors: c.DisplayErrors},
		queue: &queue{limit: c.Queue},
	}
	a.display.count() // what was in the log before is not news

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { a.inputs.run(ctx) })
	s := &sender{queue: a.queue, to: to, log: log, wake: make(chan struct{}, 1)}
	wg.Go(func() { s.run(ctx) })

	// Not all clients of an office report in the same second, though they boot together.
	timer := time.NewTimer(mathrand.N(c.Interval))
	defer timer.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-timer.C:
			timer.Reset(c.Interval)
			a.report(false)
			s.poke()
		}
	}
	wg.Wait()
	a.report(true)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	if err := s.flush(last); err != nil {
		return fmt.Errorf("the agent: %d reports are lost: %w", a.queue.len(), err)
	}
	return nil
}

// agent makes the reports.
type agent struct {
	config   Config
	log      *slog.Logger
	run      string
	sequence uint64
	from     time.Time
	inputs   *inputs
	display  *display
	queue    *queue
}

// report queues what happened since the report before.
func (a *agent) report(leaving bool) {
	now := time.Now()
	// What is sent is the wall clock's. Without Round the comparisons below would be the monotonic clock's, which does not know
	// that the wall clock was set.
	from, to := a.from.Round(0), now.Round(0)
	if from.After(to) { // the clock was set back
		from = to
	}
	if to.Sub(from) > activity.MaxSpan { // it was set forward, or the client slept
		from = to.Add(-activity.MaxSpan)
	}
	a.from = to
	a.sequence++
	events, last := a.inputs.take()
	if !last.IsZero() {
		last = to.Add(-age(now, last))
	}
	connected := !leaving && (a.config.DisplayClient == "" || processRuns(a.config.Proc, a.config.DisplayClient))
	state := look(a.config)
	state.DisplayErrors = a.display.count()
	a.queue.add(activity.Report{
		Client: a.config.Client, Run: a.run, Sequence: a.sequence, Site: a.config.Site, Department: a.config.Department,
		From: from.UTC(), To: to.UTC(), Events: min(events, activity.MaxEvents), LastInput: last.UTC(),
		Connected: &connected, Leaving: leaving, State: state,
	})
}

// age is how long ago something was: by the monotonic clock, or by the wall clock if that says longer, because the monotonic one
// stands still while the client sleeps, and the wall clock may have been set back.
func age(now, then time.Time) time.Duration {
	return max(0, now.Sub(then), now.Round(0).Sub(then.Round(0)))
}
