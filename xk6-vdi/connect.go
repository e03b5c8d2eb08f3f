package vdi

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/grafana/sobek"
	"go.k6.io/k6/v2/metrics"

	"github.com/deskstorm/deskstorm/spice"
)

// connect opens a session to a desktop: `await vdi.connect({host, port})`.
func (i *instance) connect(argument sobek.Value) *sobek.Promise {
	state := i.vu.State()
	if state == nil {
		i.throw("vdi.connect: %w", errInitContext)
	}
	options, err := parseConnect(i.vu.Runtime(), argument)
	if err != nil {
		i.throw("vdi.connect: %w", err)
	}
	options.config.DialContext = state.Dialer.DialContext
	base := state.Tags.GetCurrentValues().Tags
	d := &desk{module: i, out: state.Samples, base: base, tags: base, seed: i.nextSeed()}
	if options.site != "" {
		d.tags = base.With("site", options.site)
	}
	return promise(i, func(iteration context.Context) (*desk, error) {
		if err := options.readFiles(); err != nil {
			return nil, fmt.Errorf("vdi.connect: %w", err)
		}
		ctx, cancel := context.WithTimeout(iteration, options.timeout)
		defer cancel()
		s, err := spice.Dial(ctx, options.config)
		return d, d.opened(iteration, s, err)
	}, (*desk).object)
}

// nextSeed makes a session's random numbers its own and the same in each run.
func (i *instance) nextSeed() uint64 {
	i.opened++
	return i.vu.State().VUIDGlobal<<32 | i.opened
}

// opened takes a connect's outcome and tells k6 how long it took, or at which
// step it failed. A connect that k6 cut short is neither.
func (d *desk) opened(iteration context.Context, s *spice.Session, err error) error {
	if err != nil && iteration.Err() != nil {
		return err
	}
	d.push(d.connectSamples(s, err))
	if err != nil {
		return err
	}
	d.session = &session{Session: s, tags: d.tags}
	if err := d.reportOf(d.session); err != nil {
		s.Close()
		return err
	}
	if !d.module.process.sessions.add(d.session, d.out, d.module.metrics, d.base) {
		if r := d.session.report; r != nil {
			r.leaves(d.session)
		}
		return errStopped
	}
	if d.client != nil && !d.client.sitsAt(d) {
		d.close()
		return errors.New("the thin client logged out while the desk was connecting")
	}
	return nil
}

// reportOf has the session reported to an exporter of active users, if its
// thin client says so.
func (d *desk) reportOf(s *session) error {
	if d.client == nil || d.client.report.url == "" {
		return nil
	}
	r, err := d.module.process.reporters.reporter(d.client.report, d.out, d.module.metrics, d.base)
	if err != nil || r == nil { // nil: the test has ended
		return err
	}
	s.report = r
	r.sits(s, d.client.who.ThinClient, d.client.who.Site)
	return nil
}

// connectSamples is the outcome of one connect.
func (d *desk) connectSamples(s *spice.Session, err error) metrics.Samples {
	m := d.module.metrics
	if err != nil {
		return metrics.Samples{sample(m.connectFailed, failureTags(d.tags, err), 1)}
	}
	samples := metrics.Samples{sample(m.connectFailed, d.tags, 0)}
	t := s.Timings()
	for _, step := range []struct {
		name spice.Step
		took time.Duration
	}{{spice.StepLink, t.Link}, {spice.StepAuth, t.Auth}, {spice.StepMain, t.Main}, {spice.StepPicture, t.Picture}} {
		samples = append(samples, sample(m.connectDuration, d.tags.With("step", string(step.name)), metrics.D(step.took)))
	}
	return samples
}
