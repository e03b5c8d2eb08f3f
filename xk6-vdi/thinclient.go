package vdi

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/grafana/sobek"
	"go.k6.io/k6/v2/lib"
	"go.k6.io/k6/v2/metrics"

	"github.com/deskstorm/deskstorm/broker/client/console"
	"github.com/deskstorm/deskstorm/spice"
)

// thinClient is a thin client with a person before it: `new vdi.ThinClient({broker, user, password})`.
type thinClient struct {
	module *instance
	thinClientOptions

	mu   sync.Mutex
	busy string // what is under way; empty: nothing
	in   *login // nil: nobody is logged in
	desk *desk  // the last one; nil: none since the login
}

// newThinClient is ThinClient's constructor. It asks nobody anything. What it
// was given, a password among it, scripts do not get back.
func (i *instance) newThinClient(call sobek.ConstructorCall) *sobek.Object {
	options, err := parseThinClient(i.vu.Runtime(), call.Argument(0))
	if err != nil {
		i.throw("vdi.ThinClient: %w", err)
	}
	t := &thinClient{module: i, thinClientOptions: options}
	for name, method := range map[string]any{"login": t.login, "connect": t.connect, "logout": t.logout} {
		if err := call.This.Set(name, method); err != nil {
			panic(err) // A new object takes any property.
		}
	}
	return nil // this
}

// begin takes the thin client for one thing: a person does one after another.
// What the script has got wrong throws.
func (t *thinClient) begin(what string, check func() error) *lib.State {
	state := t.module.vu.State()
	if state == nil {
		t.module.throw("thinClient.%s: %w", what, errInitContext)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.busy != "" {
		t.module.throw("thinClient.%s: a %s is under way", what, t.busy)
	}
	if err := check(); err != nil {
		t.module.throw("thinClient.%s: %w", what, err)
	}
	t.busy = what
	return state
}

func (t *thinClient) done() {
	t.mu.Lock()
	t.busy = ""
	t.mu.Unlock()
}

// tags are those of all samples of this thin client's.
func (t *thinClient) tags(base *metrics.TagSet) *metrics.TagSet {
	tags := base.With("path", t.way.path)
	if t.who.Site != "" {
		tags = tags.With("site", t.who.Site)
	}
	return tags
}

// sitsAt notes the desk, to be left with the logout. It is false if that has been meanwhile.
func (t *thinClient) sitsAt(d *desk) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.in == nil {
		return false
	}
	t.desk = d
	return true
}

// visit is one login: what the script gets of it, and k6.
type visit struct {
	*login
	took time.Duration
}

// login takes the person to a desktop: `const desktop = await tc.login()`.
func (t *thinClient) login() *sobek.Promise {
	i := t.module
	state := t.begin("login", func() error {
		if t.in != nil {
			return errors.New("somebody is logged in: log out first")
		}
		return nil
	})
	base := state.Tags.GetCurrentValues().Tags
	tags, out, dial := t.tags(base), state.Samples, state.Dialer.DialContext
	return promise(i, func(iteration context.Context) (visit, error) {
		return finish(&i.process.logins, iteration, t.way.timeout, answerGrace, t.done, func(ctx context.Context) (visit, error) {
			v, err := t.logIn(ctx, dial)
			if iteration.Err() != nil {
				// Neither failed nor a success: nobody is there any more.
				if err == nil {
					v.give(&i.process.logins, out, i.metrics, base, tags)
					ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), logoutTimeout)
					defer cancel()
					_ = v.end(ctx) // else at the test's end
				}
				return visit{}, iteration.Err()
			}
			i.process.outputs.push(out, loginSamples(i.metrics, tags, v, err))
			if err != nil {
				return visit{}, err
			}
			v.give(&i.process.logins, out, i.metrics, base, tags)
			t.mu.Lock()
			t.in, t.desk = v.login, nil
			t.mu.Unlock()
			return v, nil
		})
	}, func(v visit) sobek.Value { return i.vu.Runtime().ToValue(v.object()) })
}

// logIn measures the login. That the service account of a cloud logs in before
// the first thin client is no thin client's time.
func (t *thinClient) logIn(ctx context.Context, dial dialer) (visit, error) {
	driver, err := t.module.driver(ctx, t.way, dial)
	if err != nil {
		return visit{}, err
	}
	begin := time.Now()
	session, err := driver.Login(ctx, t.who)
	if err != nil {
		return visit{}, err
	}
	return visit{&login{driver: driver, session: session, at: session.Console}, time.Since(begin)}, nil
}

// give hands the login to those who end it with the test.
func (v visit) give(all *logins, out chan<- metrics.SampleContainer, m *vdiMetrics, base, tags *metrics.TagSet) {
	v.tags = tags
	all.add(v.login, out, m, base)
}

// unaccounted is what no step explains: the network between, and what the other
// side did between its steps.
func (v visit) unaccounted() time.Duration {
	left := v.took
	for _, s := range v.session.Steps {
		left -= s.Took
	}
	return max(0, left) // two clocks measured it
}

// times are a login's parts, by the tag `step`.
func (v visit) times() map[string]time.Duration {
	times := map[string]time.Duration{"total": v.took, "unaccounted": v.unaccounted()}
	for _, s := range v.session.Steps {
		times[string(s.Step)] = s.Took
	}
	return times
}

// loginSamples is the outcome of one login.
func loginSamples(m *vdiMetrics, tags *metrics.TagSet, v visit, err error) metrics.Samples {
	if err != nil {
		return metrics.Samples{sample(m.loginFailed, failureTags(tags, err), 1)}
	}
	samples := metrics.Samples{sample(m.loginFailed, tags, 0)}
	for step, took := range v.times() {
		samples = append(samples, sample(m.loginDuration, tags.With("step", step), metrics.D(took)))
	}
	return samples
}

// object is the desktop as JavaScript sees it: no ticket and no session's id,
// which are secrets.
func (v visit) object() map[string]any {
	timings := map[string]float64{}
	for step, took := range v.times() {
		timings[step] = metrics.D(took)
	}
	d := v.session.Desktop
	return map[string]any{"id": d.ID, "name": d.Name, "pool": d.Pool, "allocator": d.Allocator, "timings": timings}
}

// connect opens the desktop's screen: `const desk = await tc.connect()`.
func (t *thinClient) connect(argument sobek.Value) *sobek.Promise {
	i := t.module
	timeout, config := defaultTimeout, spice.Config{}
	f := fieldsOf(i.vu.Runtime(), argument)
	f.duration("timeout", &timeout)
	f.duration("deadline", &config.Deadline)
	if err := f.end(); err != nil {
		i.throw("thinClient.connect: %w", err)
	}
	state := t.begin("connect", func() error {
		switch {
		case t.in == nil:
			return errors.New("nobody is logged in: log in first")
		case t.desk != nil && t.desk.session.Err() == nil:
			return errors.New("the desk is open: disconnect it first, or reconnect it")
		}
		return nil
	})
	config.DialContext = state.Dialer.DialContext
	base := state.Tags.GetCurrentValues().Tags
	d := &desk{module: i, client: t, out: state.Samples, base: base, tags: t.tags(base), seed: i.nextSeed()}
	in := t.in
	return promise(i, func(iteration context.Context) (*desk, error) {
		defer t.done()
		ctx, cancel := context.WithTimeout(iteration, timeout)
		defer cancel()
		s, err := in.dial(ctx, config)
		return d, d.opened(iteration, s, err)
	}, (*desk).object)
}

// dial connects to where the desktop is.
func (one *login) dial(ctx context.Context, config spice.Config) (*spice.Session, error) {
	at, err := one.console(ctx)
	if err != nil {
		return nil, err
	}
	return console.Open(ctx, at, config)
}

// logout leaves the desk and logs out: `await tc.logout()`. Where nobody is
// logged in that is fine.
func (t *thinClient) logout() *sobek.Promise {
	i := t.module
	t.begin("logout", func() error { return nil })
	return promise(i, func(iteration context.Context) (none, error) {
		return finish(&i.process.logins, iteration, t.way.timeout, logoutTimeout, t.done, func(ctx context.Context) (none, error) {
			t.mu.Lock()
			in, desk := t.in, t.desk
			t.mu.Unlock()
			if in == nil {
				return none{}, nil
			}
			if desk != nil {
				desk.close()
			}
			if err := in.end(ctx); err != nil {
				return none{}, err
			}
			t.mu.Lock()
			t.in, t.desk = nil, nil
			t.mu.Unlock()
			return none{}, nil
		})
	}, undefined)
}
