package load

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/deskstorm/deskstorm/internal/k6process"
	"github.com/deskstorm/deskstorm/results"
	"github.com/deskstorm/deskstorm/runner/native"
	"github.com/deskstorm/deskstorm/runner/record"
)

// Why a load is stopped before its script ends it.
var (
	errPlanned  = errors.New("the load's time is over")
	errTooLong  = errors.New("k6 did not end in time")
	errAnother  = errors.New("another k6 of this load failed")
	errNotBegun = errors.New("another k6 of this load could not be started")
)

// run is the action. The end of ctx stops all processes and is the error then; there is a summary all the same.
func (l loader) run(ctx context.Context, a native.Arguments) (any, error) {
	o, err := l.order(ctx, a)
	if err != nil {
		return nil, err
	}
	cpu, err := watch(l.proc, l.sampleEvery)
	if err != nil {
		return nil, err
	}
	defer cpu.close()
	working, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer time.AfterFunc(o.needs.Duration+l.overtime, func() { stop(errTooLong) }).Stop()
	if o.limit > 0 {
		defer time.AfterFunc(o.limit, func() { stop(errPlanned) }).Stop()
	}

	load := &running{
		loader: l, order: o, cpu: cpu, stop: stop, activity: native.ActivityOf(ctx), began: time.Now(),
		totals: map[results.Series]*results.Aggregate{},
	}
	err = load.all(working)
	if ctx.Err() != nil {
		err = errors.Join(context.Cause(ctx), err)
	}
	return load.summary(), err
}

// running is one load.k6 that runs.
type running struct {
	loader
	order
	cpu      *machine
	stop     context.CancelCauseFunc
	activity string
	began    time.Time

	mutex      sync.Mutex
	totals     map[results.Series]*results.Aggregate // by metric and step
	generators []record.Generator
	errs       []error
}

// all starts the processes and waits for them.
func (r *running) all(ctx context.Context) error {
	each, sequence := segments(r.processes)
	var wg sync.WaitGroup
	for _, segment := range each {
		args := r.args
		if r.processes > 1 {
			args = append(args[:len(args):len(args)], "--execution-segment="+segment, "--execution-segment-sequence="+sequence)
		}
		began := time.Now()
		p, err := k6process.Start(ctx, k6process.Config{Command: r.K6, Args: args, Script: r.script, Env: r.env, Grace: r.grace})
		if err != nil {
			r.stop(errNotBegun)
			r.failed(err)
			break
		}
		wg.Go(func() { r.follow(ctx, p, record.Generator{Activity: r.activity, Segment: segment, Began: began}) })
	}
	wg.Wait()
	return errors.Join(r.errs...)
}

// follow takes a process's results to their end, and writes down how it ended.
func (r *running) follow(ctx context.Context, p *k6process.Process, g record.Generator) {
	source := fmt.Sprintf("%s %s %s", g.Activity, g.Began.Format(time.RFC3339Nano), g.Segment)
	var lost []string
	for result := range p.Results {
		err := result.Err
		if err == nil {
			count(&g, result.Aggregate)
			err = r.take(source, result.Aggregate)
		}
		if err != nil {
			lost = append(lost, err.Error())
		}
	}
	exit := p.Wait()
	g.Ended, g.ExitCode, g.ExitMeans, g.Stderr = time.Now(), exit.Code, k6process.Meaning(exit.Code), exit.Said
	g.CPUSeconds, g.MaxRSS, g.MachineCPU = exit.CPU.Seconds(), exit.MaxRSS, r.cpu.share()
	g.Stopped = ctx.Err() != nil
	// A k6 that is stopped in its first moments, before it listens to signals, has nothing to lose.
	if exit.Signal != 0 && !(g.Stopped && exit.Signal == syscall.SIGINT) {
		lost = append([]string{r.killed(exit, g.Stopped)}, lost...)
	}
	g.Lost = strings.Join(lost, "; ")
	if err := verdict(exit, context.Cause(ctx)); err != nil {
		r.stop(errAnother)
		r.failed(fmt.Errorf("segment %s: %w", g.Segment, err))
	}
	r.mutex.Lock()
	r.generators = append(r.generators, g)
	r.mutex.Unlock()
	r.Recorder.Change(func(run *record.Run) { run.Generators = append(run.Generators, g) })
}

func (r *running) failed(err error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.errs = append(r.errs, err)
}

// killed says by whom a process was killed.
func (r *running) killed(exit k6process.Exit, stopped bool) string {
	if stopped {
		return fmt.Sprintf("it did not end within %s of SIGINT, and was killed", r.grace)
	}
	return fmt.Sprintf("something killed it (%s); the kernel does, when memory runs out", exit.Signal)
}

// verdict is why a process's end is a failure of the action; nil: it is none. Thresholds and a test that its script marked as failed
// are findings, which are judged elsewhere; and who was stopped ends as it may.
func verdict(exit k6process.Exit, stopped error) error {
	switch {
	case errors.Is(stopped, errTooLong):
		return errTooLong
	case stopped != nil, exit.Code == k6process.ThresholdsFailed, exit.Code == k6process.MarkedAsFailed:
		return nil
	}
	err := exit.Err()
	if err != nil && exit.Said != "" {
		return fmt.Errorf("%w; it wrote: %s", err, exit.Said)
	}
	return err
}

// take adds an aggregate to the record, and to the totals of this load.
func (r *running) take(source string, a *results.Aggregate) error {
	if err := r.Recorder.AddFrom(source, a); err != nil {
		return err
	}
	if a.Kind == results.Gauge {
		return nil // levels have no total
	}
	total := a.Clone()
	total.Tags = results.Tags{Step: a.Tags.Step}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if have := r.totals[total.Series]; have != nil {
		return have.Merge(total)
	}
	r.totals[total.Series] = total
	return nil
}

// count counts the iterations that an aggregate tells of.
func count(g *record.Generator, a *results.Aggregate) {
	switch a.Metric {
	case "iterations":
		g.Iterations += int64(a.Sum)
	case "dropped_iterations":
		g.Dropped += int64(a.Sum)
	}
}

func byBeginning(a, b record.Generator) int { return a.Began.Compare(b.Began) }
