// Package demo shows on one machine what deskstorm is for: it starts desktops, lets a thin client work at each of them,
// shows while they work what k6 measures, breaks some desktops on purpose, and ends with a summary that says whether and
// how fast the measurements told of it.
//
// The desktops are simulated ones (package screen) or guests under QEMU (package qemu). The thin clients are a k6 process of
// its own, which is given scenarios/shift.js and writes its results (package results) into a pipe. What is shown comes
// from those lines and the desktops' own counters: the model makes of them a View and a Summary, and what renders these
// knows nothing else.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/deskstorm/deskstorm/results"
	"github.com/deskstorm/deskstorm/scenarios"
)

// profileName is the workload of all thin clients.
const profileName = "callcenter"

// Options say what is shown and where.
type Options struct {
	Clients  int           // thin clients, each with a desktop of its own; from 1
	Duration time.Duration // of the shift; from MinDuration to MaxDuration
	Seed     uint64        // of the simulated desktops' latencies, and of which desktops break

	QEMU        bool   // desktops under QEMU instead of simulated ones
	Accelerator string // "kvm" or "tcg" for QEMU; empty: KVM where there is one

	K6 []string // the command that runs k6 with k6/x/vdi and the output vdi, to which k6's arguments are added

	Out io.Writer
	// Size returns the columns and rows of the terminal that Out is, each time the picture is drawn. Nil: Out is no
	// terminal, and gets a line every few seconds.
	Size   func() (width, height int)
	Colour bool
}

// MinDuration is the shortest shift in which something can be seen. MaxDuration bounds what the live picture is made of.
const (
	MinDuration = 5 * time.Second
	MaxDuration = 10 * time.Minute
)

// lateBy is how long after the shift's end k6 may still work: 30 s that a thin client may take to log in, and its own end.
const lateBy = 45 * time.Second

func (o *Options) check() error {
	switch {
	case o.Clients < 1:
		return fmt.Errorf("%d thin clients: there must be at least one", o.Clients)
	case o.Duration < MinDuration || o.Duration > MaxDuration:
		return fmt.Errorf("the duration %v is not between %v and %v", o.Duration, MinDuration, MaxDuration)
	case len(o.K6) == 0:
		return errors.New("no command for k6")
	}
	return nil
}

// Run runs the demo and shows it on o.Out. When ctx ends it stops k6 and shows the summary of what there is; the error is
// then the context's. Any other error says why the demo could not run, and comes without a summary. In each case all
// processes have ended and all desktops are closed when it returns.
func Run(ctx context.Context, o Options) (*Summary, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	profile, err := scenarios.LoadProfile(profileName)
	if err != nil {
		return nil, err
	}
	script, err := scenarios.Scripts.ReadFile("shift.js")
	if err != nil {
		return nil, err
	}
	started := time.Now()
	lab, err := newLab(ctx, o)
	if err != nil {
		return nil, err
	}
	defer lab.close()

	k6, err := startK6(ctx, o.K6, script, lab.addresses(), o.Duration, profile.Name)
	if err != nil {
		return nil, err
	}
	r := &run{
		lab:     lab,
		k6:      k6,
		display: newDisplay(o),
		model:   newModel(plan{kind: lab.kind(), clients: o.Clients, duration: o.Duration, profile: profile.Name, probeEvery: profile.ProbeEvery, started: started}),
	}
	for _, f := range lab.faults() {
		r.model.faults = append(r.model.faults, &f)
	}
	if err := r.follow(ctx); err != nil {
		return nil, err
	}
	s := r.model.summary()
	s.Seed = o.Seed
	s.Interrupted = ctx.Err() != nil
	s.Harness = k6.usage()
	if n, known := lab.keysReceived(); known {
		s.KeysReceived = &n
	}
	if s.LoggedIn == 0 && ctx.Err() == nil {
		return nil, k6.explain(errors.New("no thin client could log in"))
	}
	if _, err := io.WriteString(o.Out, renderSummary(s, r.display.style())); err != nil {
		return s, fmt.Errorf("printing the summary: %w", err)
	}
	return s, ctx.Err()
}

// newLab starts the desktops.
func newLab(ctx context.Context, o Options) (lab, error) {
	if o.QEMU {
		return startGuests(ctx, o)
	}
	return startSimulated(o)
}

// run is one demo while k6 runs.
type run struct {
	lab     lab
	k6      *k6
	model   *model
	display *display
}

// injected says that a fault was injected at a time, or could not be.
type injected struct {
	fault *fault
	at    time.Time
	err   error
}

// follow takes k6's results, breaks the desktops when it is time and shows what happens, until k6 has ended.
func (r *run) follow(ctx context.Context) error {
	r.display.open()
	defer r.display.close()
	injecting, stop := context.WithCancel(ctx)
	defer stop()
	reports := make(chan injected, len(r.model.faults)) // nobody waits to report, also when the demo has ended
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	tooLate := time.After(r.model.plan.duration + lateBy)
	lines := r.k6.lines
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				return r.ended(ctx)
			}
			if err := r.take(line); err != nil && ctx.Err() == nil { // a k6 that was killed leaves half a line
				r.k6.stop()
				return r.k6.explain(err)
			}
		case now := <-tick.C:
			r.breakDesktops(injecting, now, reports)
			r.display.show(r.model, now)
		case report := <-reports:
			if report.err != nil && ctx.Err() == nil {
				report.fault.failed = report.err
				continue
			}
			report.fault.at = report.at
		case <-tooLate:
			r.k6.stop()
			return r.k6.explain(errors.New("k6 did not end in time"))
		}
	}
}

// take takes a line of k6's results.
func (r *run) take(l line) error {
	if l.err != nil {
		return fmt.Errorf("reading k6's results: %w", l.err)
	}
	return r.model.add(l.aggregate)
}

// ended waits for k6's end and says whether it was a good one.
func (r *run) ended(ctx context.Context) error {
	err := r.k6.wait()
	now := time.Now()
	for _, f := range r.model.faults {
		f.end(now)
	}
	if err == nil || ctx.Err() != nil {
		return nil
	}
	return r.k6.explain(err)
}

// breakDesktops injects the faults that are due and ends those that are over.
func (r *run) breakDesktops(ctx context.Context, now time.Time, reports chan<- injected) {
	for _, f := range r.model.faults {
		switch {
		case r.model.begin.IsZero():
		case !f.started && !now.Before(r.model.begin.Add(f.after)):
			f.started = true
			go func() {
				err := f.inject(ctx)
				reports <- injected{f, now, err}
			}()
		case f.heal != nil && !f.at.IsZero() && f.until.IsZero() && !now.Before(f.at.Add(f.lasts)):
			f.heal()
			f.end(now)
		}
	}
}

// line is a line of k6's results, or why there is none.
type line struct {
	aggregate *results.Aggregate
	err       error
}
