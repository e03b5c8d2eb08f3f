package vdi

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/grafana/sobek"
	"go.k6.io/k6/v2/js/common"
	"go.k6.io/k6/v2/lib/types"
	"go.k6.io/k6/v2/metrics"

	"github.com/deskstorm/deskstorm/scenarios"
	"github.com/deskstorm/deskstorm/spice"
	"github.com/deskstorm/deskstorm/xk6-vdi/workload"
)

// desk is what a script holds of a session.
type desk struct {
	module  *instance
	session *session
	out     chan<- metrics.SampleContainer
	base    *metrics.TagSet // of the virtual user
	tags    *metrics.TagSet // with the site
	seed    uint64
	client  *thinClient // whose desk it is; nil: of vdi.connect
	calls   uint64      // of type and work, each with random numbers of its own
}

// object is the desk as JavaScript sees it.
func (d *desk) object() sobek.Value {
	t := d.session.Timings()
	width, height := d.session.Size()
	return d.module.vu.Runtime().ToValue(map[string]any{
		"type": d.typeText, "work": d.work, "probe": d.probe, "disconnect": d.disconnect, "reconnect": d.reconnect,
		"ended":  d.ended,
		"width":  width,
		"height": height,
		"timings": map[string]float64{"link": metrics.D(t.Link), "auth": metrics.D(t.Auth), "main": metrics.D(t.Main),
			"picture": metrics.D(t.Picture), "total": metrics.D(t.Total())},
	})
}

func (d *desk) push(samples metrics.Samples) { d.module.process.outputs.push(d.out, samples) }

// random is a new call's source of random numbers.
func (d *desk) random() uint64 {
	d.calls++
	return d.seed ^ d.calls<<48
}

// typeText types a text: `await desk.type('hello', {wpm: 40})`.
func (d *desk) typeText(text string, argument sobek.Value) *sobek.Promise {
	f := fieldsOf(d.module.vu.Runtime(), argument)
	typist := spice.Typist{Rand: workload.Random(d.random())}
	if v, ok := f.take("wpm"); ok {
		n, _ := number(v)
		if typist.WPM = n; !(n > 0 && n <= 1000) { // NaN is neither
			f.fail("wpm", "must be above 0 and at most 1000")
		}
	}
	if err := f.end(); err != nil {
		d.module.throw("desk.type: %w", err)
	}
	return promise(d.module, func(ctx context.Context) (none, error) { return none{}, d.session.Type(ctx, text, typist) }, undefined)
}

// work plays a workload profile: `await desk.work('callcenter', '10m')`. The
// profile is a built-in one's name or, from k6's open(), a profile's text. It
// may be left out where the thin client has one: `await desk.work('10m')`.
func (d *desk) work(profile, duration sobek.Value) *sobek.Promise {
	if d.client != nil && d.client.profile != "" {
		if common.IsNullish(duration) {
			profile, duration = nil, profile
		}
		if common.IsNullish(profile) {
			profile = d.module.vu.Runtime().ToValue(d.client.profile)
		}
	}
	if common.IsNullish(profile) {
		d.module.throw("desk.work: needs a profile and a duration")
	}
	p, err := loadProfile(profile.String())
	if err != nil {
		d.module.throw("desk.work: %w", err)
	}
	length, err := types.GetDurationValue(exported(duration))
	if err != nil || length <= 0 {
		d.module.throw("desk.work: the duration must be above 0, such as '10m', or milliseconds")
	}
	seed, tags := d.random(), d.tags.With("profile", p.Name)
	type outcome struct{ probes, lost int64 }
	return promise(d.module, func(ctx context.Context) (outcome, error) {
		var probes, lost atomic.Int64
		err := workload.Play(ctx, d.session.Session, p, length, seed, func(x spice.Sample) {
			probes.Add(1)
			if x.Err != nil {
				lost.Add(1)
			}
			d.push(d.tripSamples(tags, x.Trip, x.RTT, x.Err))
		})
		return outcome{probes.Load(), lost.Load()}, err
	}, func(o outcome) sobek.Value {
		return d.module.vu.Runtime().ToValue(map[string]any{"probes": o.probes, "lost": o.lost})
	})
}

func exported(v sobek.Value) any {
	if common.IsNullish(v) {
		return nil
	}
	return v.Export()
}

func loadProfile(nameOrText string) (scenarios.Profile, error) {
	if strings.Contains(nameOrText, "\n") {
		return scenarios.ParseProfile([]byte(nameOrText), "custom")
	}
	return scenarios.LoadProfile(nameOrText)
}

// probe measures the three round trips, one after another: `await
// desk.probe()` gives {server, guest, visible} in milliseconds, null where the
// answer was lost. Only a session that has ended is an error.
func (d *desk) probe() *sobek.Promise {
	return promise(d.module, func(ctx context.Context) (map[string]any, error) {
		result := map[string]any{}
		for _, trip := range []spice.Trip{spice.ServerTrip, spice.GuestTrip, spice.VisibleTrip} {
			rtt, err := d.session.RoundTrip(ctx, trip)
			if ctx.Err() != nil {
				return nil, err
			}
			d.push(d.tripSamples(d.tags, trip, rtt, err))
			result[string(trip)] = nil
			if err == nil {
				result[string(trip)] = metrics.D(rtt)
			}
		}
		return result, d.session.Err()
	}, func(r map[string]any) sobek.Value { return d.module.vu.Runtime().ToValue(r) })
}

// tripSamples is one round trip's outcome: always whether it was lost, and its
// duration if it was not.
func (d *desk) tripSamples(tags *metrics.TagSet, trip spice.Trip, rtt time.Duration, err error) metrics.Samples {
	m := d.module.metrics
	tags = tags.With("step", string(trip))
	samples := metrics.Samples{sample(m.lost, tags, boolean(err != nil))}
	if err == nil {
		samples = append(samples, sample(m.roundTrip, tags, metrics.D(rtt)))
	}
	return samples
}

// disconnect closes the session: `await desk.disconnect()`. One that has ended
// is fine.
func (d *desk) disconnect() *sobek.Promise {
	return promise(d.module, func(context.Context) (none, error) {
		d.close()
		return none{}, nil
	}, undefined)
}

func (d *desk) close() {
	if d.session.Err() == nil {
		d.session.Close()
		d.module.process.sessions.remove(d.session)
	}
}

// reconnect closes the session and opens another to the same desktop, or to
// where it was migrated: `desk = await desk.reconnect()`.
func (d *desk) reconnect() *sobek.Promise {
	again := &desk{module: d.module, out: d.out, base: d.base, tags: d.tags, client: d.client, seed: d.module.nextSeed()}
	return promise(d.module, func(iteration context.Context) (*desk, error) {
		d.close()
		ctx, cancel := context.WithTimeout(iteration, defaultTimeout)
		defer cancel()
		s, err := d.session.Reconnect(ctx)
		if errors.Is(err, spice.ErrEvicted) {
			return nil, fmt.Errorf("desk.reconnect: %w", err)
		}
		return again, again.opened(iteration, s, err)
	}, (*desk).object)
}

// ended tells why the session ended: null while it has not, else {kind,
// message}.
func (d *desk) ended() any {
	err := d.session.Err()
	if err == nil {
		return nil
	}
	return map[string]string{"kind": kindOf(err), "message": err.Error()}
}
