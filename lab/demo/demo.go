// Package demo shows on one machine what deskstorm is for: a morning in a call centre. People come, log in through a broker,
// LDAP, a pool of desktops and OpenStack, and work; some things are broken on purpose meanwhile. It shows while that goes on
// what k6 measures, and ends with a summary that says where each second of waiting went, and whether and how fast the
// measurements told of what was broken.
//
// The cloud is a simulated one with a real broker (package up). The thin clients are a k6 process of its own, which is given
// scenarios/morning-shift.js and writes its results (package results) into a pipe. What is shown comes from those lines and,
// where it says so, from the broker and the desktops: the model makes of them a view and a Summary, and what renders these
// knows nothing else.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/deskstorm/deskstorm/internal/k6process"
	"github.com/deskstorm/deskstorm/scenarios"
)

// profileName is the workload of all thin clients.
const profileName = "callcenter"

// The ways to a desktop that there are.
const (
	PathBroker = "broker" // LDAP, allocators and pools
	PathCloud  = "cloud"  // Keystone and Nova asked directly: the old way
)

// script is what k6 runs, of package scenarios.
const script = "morning-shift.js"

// Options say what is shown and where.
type Options struct {
	Clients  int           // people, each with a thin client; from 1
	Duration time.Duration // of the shift; from MinDuration to MaxDuration
	Path     string        // PathBroker if empty, or PathCloud
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

// lateBy is how long after the shift's end k6 may still work: a login and a connect may take a minute and a half, and its own
// end 17 s.
const lateBy = 110 * time.Second

func (o *Options) check() error {
	if o.Path == "" {
		o.Path = PathBroker
	}
	switch {
	case o.Clients < 1:
		return fmt.Errorf("%d people: there must be at least one", o.Clients)
	case o.Duration < MinDuration || o.Duration > MaxDuration:
		return fmt.Errorf("the duration %v is not between %v and %v", o.Duration, MinDuration, MaxDuration)
	case o.Path != PathBroker && o.Path != PathCloud:
		return fmt.Errorf("%q is no way to a desktop: there are %s and %s", o.Path, PathBroker, PathCloud)
	case len(o.K6) == 0:
		return errors.New("no command for k6")
	}
	return nil
}

// Run runs the demo and shows it on o.Out. When ctx ends it stops k6 and shows the summary of what there is; the error is
// then the context's. Any other error says why the demo could not run, and comes without a summary. In each case all
// processes have ended, all desktops are closed and all files are removed when it returns.
func Run(ctx context.Context, o Options) (_ *Summary, err error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	profile, err := scenarios.LoadProfile(profileName)
	if err != nil {
		return nil, err
	}
	text, err := scenarios.Scripts.ReadFile(script)
	if err != nil {
		return nil, err
	}
	p := plan{
		path: o.Path, kind: kind(o), people: o.Clients, duration: o.Duration, arrivals: arrivals(o.Duration),
		profile: profile.Name, probeEvery: profile.ProbeEvery, started: time.Now(),
	}
	cloud, err := openDoors(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, cloud.close()) }()
	k6, err := startK6(ctx, o.K6, text, append(cloud.cloud.Environment(), p.environment()...))
	if err != nil {
		return nil, err
	}
	r := &run{cloud: cloud, k6: k6, display: newDisplay(o), model: newModel(p)}
	r.model.faults = cloud.faults(o.Clients, o.Duration)
	if err := r.follow(ctx); err != nil {
		return nil, err
	}
	s := r.model.summary()
	s.Seed = o.Seed
	s.Harness = harness(k6.Wait())
	if n, known := cloud.keysReceived(); known {
		s.KeysReceived = &n
	}
	if s.LoggedIn == 0 && ctx.Err() == nil {
		return nil, explain(k6, errors.New("nobody could log in"))
	}
	if _, err := io.WriteString(o.Out, renderSummary(s, r.display.style())); err != nil {
		return s, fmt.Errorf("printing the summary: %w", err)
	}
	return s, ctx.Err()
}

// kind is what desktops there are, for people.
func kind(o Options) string {
	if o.QEMU {
		return "QEMU"
	}
	return "simulated"
}

// openDoors starts the cloud, tells how far it is, and returns when people may come.
func openDoors(ctx context.Context, o Options) (*desktopCloud, error) {
	begin := time.Now()
	fmt.Fprintln(o.Out, "before the doors open: starting a directory, an OpenStack and a broker")
	cloud, err := startCloud(ctx, o)
	if err != nil {
		return nil, err
	}
	var told time.Time
	err = cloud.await(ctx, func(ready, wanted int) {
		if now := time.Now(); wanted > 0 && (ready == wanted || now.Sub(told) >= time.Second) {
			told = now
			fmt.Fprintf(o.Out, "%d of %s booted, %.1f s\n", ready, count(wanted, "desktop has", "desktops have"), now.Sub(begin).Seconds())
		}
	})
	if err == nil {
		err = cloud.slowBoots(o.Clients, o.Duration)
	}
	if err != nil {
		return nil, errors.Join(err, cloud.close())
	}
	return cloud, nil
}

// run is one demo while k6 runs.
type run struct {
	cloud   *desktopCloud
	k6      *k6process.Process
	model   *model
	display *display
}

// injected says that a fault was injected at a time, or could not be.
type injected struct {
	fault *fault
	at    time.Time
	undo  func()
	err   error
}

// follow takes k6's results, breaks what is to break when it is time and shows what happens, until k6 has ended.
func (r *run) follow(ctx context.Context) error {
	r.display.open()
	defer r.display.close()
	working, stop := context.WithCancel(ctx)
	defer stop()
	reports := make(chan injected, len(r.model.faults)) // nobody waits to report, also when the demo has ended
	pools := r.watchPool(working)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	tooLate := time.After(r.model.plan.duration + lateBy)
	stopped := ctx.Done()
	for {
		select {
		case <-stopped:
			r.model.stopped, stopped = time.Now(), nil
		case result, ok := <-r.k6.Results:
			if !ok {
				return r.ended(ctx)
			}
			if err := r.take(result); err != nil && ctx.Err() == nil { // a k6 that was killed leaves half a line
				return explain(r.k6, err)
			}
		case now := <-tick.C:
			r.breakThings(working, now, reports)
			r.display.show(r.model, now)
		case report := <-reports:
			if report.err != nil && ctx.Err() == nil {
				report.fault.failed = report.err
				continue
			}
			report.fault.at, report.fault.undo = report.at, report.undo
		case state := <-pools:
			r.model.addPool(state)
		case <-tooLate:
			return explain(r.k6, errors.New("k6 did not end in time"))
		}
	}
}

// poolEvery is how often the broker is asked for its pool.
const poolEvery = time.Second

// watchPool tells how the broker's pool stands, again and again until ctx ends. A question without an answer is left out.
func (r *run) watchPool(ctx context.Context) <-chan poolState {
	states := make(chan poolState)
	if r.model.plan.path != PathBroker {
		return nil
	}
	go func() {
		tick := time.NewTicker(poolEvery)
		defer tick.Stop()
		for {
			if state, err := r.cloud.pool(ctx); err == nil {
				select {
				case states <- state:
				case <-ctx.Done():
				}
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return states
}

// take takes one of k6's results.
func (r *run) take(result k6process.Result) error {
	if result.Err != nil {
		return fmt.Errorf("reading k6's results: %w", result.Err)
	}
	return r.model.add(result.Aggregate)
}

// ended waits for k6's end and says whether it was a good one.
func (r *run) ended(ctx context.Context) error {
	err := r.k6.Wait().Err()
	now := time.Now()
	if ctx.Err() != nil && r.model.stopped.IsZero() {
		r.model.stopped = now
	}
	for _, f := range r.model.faults {
		f.end(now)
	}
	if err == nil || ctx.Err() != nil {
		return nil
	}
	return explain(r.k6, err)
}

// breakThings injects the faults that are due, unless the demo was stopped, and ends those that are over.
func (r *run) breakThings(ctx context.Context, now time.Time, reports chan<- injected) {
	for _, f := range r.model.faults {
		switch {
		case r.model.stopped.IsZero() && f.due(r.model.begin, now):
			f.started = true
			go func() {
				undo, err := f.inject(ctx)
				reports <- injected{f, now, undo, err}
			}()
		case f.over(now) && !r.model.holds(f, now):
			f.end(now)
		}
	}
}
