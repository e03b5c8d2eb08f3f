package vdi

import (
	"context"
	"math"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/grafana/sobek"
	"github.com/stretchr/testify/require"
	"go.k6.io/k6/v2/js/modulestest"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/scenarios"
)

func TestLoginConnectLogout(t *testing.T) {
	t.Parallel()
	b, o := newLoginBench(t, func(o *office) { o.took = 2 * time.Millisecond; o.slow = 10 * time.Millisecond })
	require.Empty(t, b.run(t, `
		globalThis.c = tc({seat: 'N2-117', id: '52:54:00:12:34:56', tags: {shift: 'night'}, profile: 'idle'});
		if (!(c instanceof vdi.ThinClient)) throw new Error('not a ThinClient');
		const seen = JSON.stringify(c) + Object.keys(c).join();
		if (/geheim|anna|127/.test(seen)) throw new Error('seen from outside: ' + seen);
		const desktop = await c.login();
		globalThis.desktop = JSON.stringify(desktop);
		const parts = desktop.timings.auth + desktop.timings.console + desktop.timings.unaccounted;
		if (Math.abs(parts - desktop.timings.total) > 0.001) throw new Error(JSON.stringify(desktop.timings));
		if (desktop.timings.auth !== 2 || !(desktop.timings.unaccounted >= 6)) throw new Error(JSON.stringify(desktop.timings));
		const desk = await c.connect();
		if (desk.width !== 720) throw new Error('a screen of ' + desk.width);
		await desk.probe();
		await desk.work('200ms');
		await desk.work(undefined, 200);
		await desk.work('office', 100);
		const again = await desk.reconnect();
		await c.logout();
		if (again.ended().kind !== 'closed') throw new Error('the desk was not left');
		await c.logout();
		await c.login();
		await c.logout();
	`))
	o.requireEmpty(t, 2)
	require.NotRegexp(t, "secret|session-1", b.VU.Runtime().Get("desktop").String())
	require.Equal(t, map[string]any{"user": "anna", "password": "geheim", "seat": "N2-117", "thin_client": "52:54:00:12:34:56",
		"site": "north", "tags": map[string]any{"shift": "night"}}, o.logins[0])
	sums := b.sums()
	for _, step := range []string{"auth", "console", "total", "unaccounted"} {
		require.Positive(t, sums["vdi_login_duration path=broker site=north step="+step], step)
	}
	require.Len(t, keysOf(sums, "vdi_login_duration"), 4, "steps that were not needed make no samples")
	require.InDelta(t, sums["vdi_login_duration path=broker site=north step=total"], sums["vdi_login_duration path=broker site=north step=auth"]+
		sums["vdi_login_duration path=broker site=north step=console"]+sums["vdi_login_duration path=broker site=north step=unaccounted"], 0.001)
	require.Equal(t, map[string]float64{"path=broker site=north": 0}, keysOf(sums, "vdi_login_failed"))
	require.Equal(t, map[string]float64{"path=broker site=north": 0}, keysOf(sums, "vdi_connect_failed"))
	require.Positive(t, sums["vdi_round_trip path=broker site=north step=visible"])
	require.Positive(t, sums["vdi_bytes_received path=broker site=north"])
	require.Empty(t, b.root.logins.open)
	require.Empty(t, b.root.sessions.open)
}

func TestThinClientRefuses(t *testing.T) {
	t.Parallel()
	b, o := newLoginBench(t, func(o *office) { o.slow = 200 * time.Millisecond }) // a login is not over before the next statement
	for js, want := range map[string]string{
		`new vdi.ThinClient()`:                               "needs broker or cloud",
		`new vdi.ThinClient({broker})`:                       "needs user and password",
		`tc({password: ''})`:                                 "needs user and password",
		`tc({cloud: 'x'})`:                                   "broker and cloud are two ways",
		`tc({broker: 'anna:geheim@x'})`:                      "the broker's URL is not like https://broker.example:8443",
		`tc({broker: 5})`:                                    "broker must be a URL or {url, ca, timeout}",
		`tc({broker: {url: broker, tls: true}})`:             "broker: unknown option tls",
		`tc({broker: {url: broker, timeout: -1}})`:           "broker: timeout must be a duration above 0",
		`tc({broker: null, cloud: ''})`:                      "cloud must be a cloud of clouds.yaml, or true",
		`tc({broker: null, cloud: false})`:                   "cloud must be a cloud of clouds.yaml, or true",
		`tc({broker: null, cloud: {name: 'x', realm: 'y'}})`: "cloud: unknown option realm",
		`tc({password: 5})`:                                  "password must be a string",
		`tc({tags: {a: 5}})`:                                 "tags must be an object of strings",
		`tc({tags: 'a'})`:                                    "tags must be an object of strings",
		`tc({profile: 'nonsense'})`:                          "profile: no such workload profile",
		`tc({host: 'x'})`:                                    "unknown option host",
		`await tc().connect()`:                               "thinClient.connect: nobody is logged in",
		`await tc().connect({host: 'x'})`:                    "unknown option host",
		`const c = tc(); c.login(); await c.login()`:         "thinClient.login: a login is under way",
		`const c = tc(); await c.login(); await c.login()`:   "thinClient.login: somebody is logged in",
		`const c = tc(); const l = c.login(); c.logout()`:    "thinClient.logout: a login is under way",
		`const c = tc(); await c.login(); await c.connect(); await c.connect()`: "thinClient.connect: the desk is open",
	} {
		got := b.run(t, js)
		require.True(t, strings.HasPrefix(got, "||"), "the script's own mistake has no kind: %s: %s", js, got)
		require.Contains(t, got, want, js)
		require.NotContains(t, got, "geheim", js)
	}
	b.root.close()
	_, open := o.counts()
	require.Zero(t, open)

	rt := modulestest.NewRuntime(t)
	require.NoError(t, rt.VU.Runtime().Set("vdi", (&RootModule{}).NewModuleInstance(rt.VU).Exports().Default))
	_, err := rt.RunOnEventLoop(`const c = new vdi.ThinClient({broker: 'http://x', user: 'a', password: 'b'}); c.login()`)
	require.ErrorContains(t, err, "not in the init context")
}

func TestLoginFailures(t *testing.T) {
	t.Parallel()
	b, o := newLoginBench(t, func(o *office) {
		o.problem = func(user string) (string, string) {
			class, step, _ := strings.Cut(user, "|")
			if class == "anna" {
				return "", ""
			}
			return class, step
		}
	})
	for _, c := range []struct{ class, step string }{
		{"wrong-password", "auth"}, {"pool-empty", "allocate"}, {"build-timeout", "boot"}, {"bad-request", ""},
	} {
		require.NoError(t, b.VU.Runtime().Set("user", c.class+"|"+c.step))
		require.Equal(t, c.class+"|"+c.step+"|r-17", b.run(t, `
			try { await tc({user}).login() } catch (e) { throw {kind: e.kind, step: e.step, message: e.requestId} }`))
		tags := "class=" + c.class + " path=broker site=north"
		if c.step != "" {
			tags += " step=" + c.step
		}
		sums := b.sums()
		require.Equal(t, map[string]float64{tags: 1}, keysOf(sums, "vdi_login_failed"))
		require.Empty(t, keysOf(sums, "vdi_login_duration"))
	}
	for js, want := range map[string]string{
		`await tc({broker: 'http://127.0.0.1:1'}).login()`:                     "broker-down|",
		`await tc({broker: {url: broker, ca: '/no/ca'}}).login()`:              "bad-request||bad-request: broker.ca: open /no/ca",
		`await tc({broker: {url: broker, ca: 'broken'}}).login()`:              "bad-request|",
		`await tc({broker: null, cloud: 'nowhere'}).login()`:                   "bad-request|",
		`const c = tc(); try { await c.login() } finally { await c.logout() }`: "",
	} {
		got := b.run(t, js)
		require.True(t, strings.HasPrefix(got, want), "%s: %s", js, got)
		require.NotContains(t, got, "geheim")
	}
	o.requireEmpty(t, 1)
}

// TestLoginTimeout: the thin client's patience is a failure of the broker's, and
// nobody keeps the session.
func TestLoginTimeout(t *testing.T) {
	t.Parallel()
	b, o := newLoginBench(t, func(o *office) { o.slow = time.Minute })
	require.Contains(t, b.run(t, `await tc({broker: {url: broker, timeout: '200ms'}}).login()`), "broker-down|")
	require.Equal(t, map[string]float64{"class=broker-down path=broker site=north": 1}, keysOf(b.sums(), "vdi_login_failed"))
	o.requireEmpty(t, 0)
}

// TestTicketIsReplaced: one that has expired, or will on its way, is not tried.
func TestTicketIsReplaced(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		expires time.Duration
		asked   int
	}{"expired": {-time.Minute, 1}, "expires now": {900 * time.Millisecond, 1}, "good": {time.Hour, 0}, "for good": {0, 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, o := newLoginBench(t, func(o *office) {
				o.expires = c.expires
				if c.asked > 0 {
					o.firstTicket = "old"
				}
			})
			require.Empty(t, b.run(t, `
				const c = tc();
				await c.login();
				await (await c.connect()).disconnect();
				await c.connect();
				await c.logout();
			`))
			require.Equal(t, c.asked, o.consoles, "the second connect has the new ticket")
		})
	}
	b, o := newLoginBench(t, func(o *office) { o.expires = -time.Second; o.lost = true })
	require.Contains(t, b.run(t, `const c = tc(); await c.login(); await c.connect();`), "session-not-found|console|")
	require.Equal(t, map[string]float64{"class=session-not-found path=broker site=north step=console": 1}, keysOf(b.sums(), "vdi_connect_failed"))
	b.root.close()
	o.requireEmpty(t, 1)
}

func TestConsoleRefuses(t *testing.T) {
	t.Parallel()
	b, o := newLoginBench(t, func(o *office) { o.port = 1 })
	require.Contains(t, b.run(t, `const c = tc(); await c.login(); try { await c.connect(); } finally { await c.logout(); }`), "console-refused|link|")
	require.Equal(t, map[string]float64{"class=console-refused path=broker site=north step=link": 1}, keysOf(b.sums(), "vdi_connect_failed"))
	o.requireEmpty(t, 1)
}

func TestLeaseIsRenewed(t *testing.T) {
	t.Parallel()
	b, o := newLoginBench(t, func(o *office) { o.lease, o.flaky = 150*time.Millisecond, 1 })
	require.Empty(t, b.run(t, `globalThis.c = tc(); await c.login();`))
	renewals := func() int {
		o.mu.Lock()
		defer o.mu.Unlock()
		return o.renewals
	}
	require.Eventually(t, func() bool { return renewals() >= 4 }, 10*time.Second, 5*time.Millisecond)
	o.mu.Lock()
	o.lost = true
	o.mu.Unlock()
	require.Eventually(t, func() bool {
		b.root.logins.mu.Lock()
		defer b.root.logins.mu.Unlock()
		return len(b.root.logins.open) == 0
	}, 10*time.Second, 5*time.Millisecond, "a session that has ended is not held")
	sums := keysOf(b.sums(), "vdi_renew_failed")
	require.Equal(t, map[string]float64{"path=broker site=north": 0, "class=broker-failed path=broker site=north": 1,
		"class=session-not-found path=broker site=north": 1}, sums)
	require.Empty(t, b.run(t, `await c.logout()`), "it is over already")
}

// TestLogoutIsTriedAgain: what fails in the script is done at the test's end, and
// who is left then is counted.
func TestLogoutIsTriedAgain(t *testing.T) {
	t.Parallel()
	for name, mends := range map[string]bool{"mended": true, "left": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, o := newLoginBench(t, func(o *office) { o.noLogouts = true; o.lease = time.Minute })
			require.Contains(t, b.run(t, `const c = tc(); await c.login(); await c.logout()`), "broker-failed||")
			o.mu.Lock()
			o.noLogouts = !mends
			o.mu.Unlock()
			b.sums()
			b.root.close()
			sums := b.sums()
			if mends {
				o.requireEmpty(t, 1)
				require.Empty(t, keysOf(sums, "vdi_logins_left"))
				require.Equal(t, map[string]float64{"": 0}, keysOf(sums, "vdi_logins_open"))
			} else {
				require.Equal(t, map[string]float64{"path=broker site=north": 1}, keysOf(sums, "vdi_logins_left"))
				require.Equal(t, map[string]float64{"": 1}, keysOf(sums, "vdi_logins_open"))
			}
		})
	}
}

// TestTheEndIsBounded: a broker that does not answer holds up neither the end of
// the test nor the other logouts for long, and does not get all at once.
func TestTheEndIsBounded(t *testing.T) {
	t.Parallel()
	const people = leavers + 10
	b, o := newLoginBench(t, func(o *office) { o.hangs = true })
	require.NoError(t, b.VU.Runtime().Set("people", people))
	require.Empty(t, b.run(t, `for (let i = 0; i < people; i++) await tc().login()`))
	b.sums()
	b.root.logins.leaving = 500 * time.Millisecond
	begin := time.Now()
	b.root.close()
	require.Less(t, time.Since(begin), 10*time.Second)
	require.Equal(t, map[string]float64{"path=broker site=north": people}, keysOf(b.sums(), "vdi_logins_left"))
	o.mu.Lock()
	defer o.mu.Unlock()
	require.LessOrEqual(t, o.most, leavers)
	require.Greater(t, o.most, 1)
}

// TestLoginCutShort: k6 ends the iteration while the broker works. That is
// neither a failure nor a success, and the answer that nobody waits for any more
// is logged out.
func TestLoginCutShort(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(*office){
		"the answer comes":      func(o *office) { o.slow, o.deaf = 700*time.Millisecond, true },
		"the broker is told so": func(o *office) { o.slow = time.Minute },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, o := newLoginBench(t, set)
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			b.VU.CtxField = ctx
			begin := time.Now()
			require.Contains(t, b.run(t, `globalThis.c = tc(); await c.login()`), "stopped|")
			require.Less(t, time.Since(begin), answerGrace, "the script does not wait")
			b.VU.CtxField = t.Context()
			b.root.close()
			made, open := o.counts()
			require.Zero(t, open)
			if o.deaf {
				require.Equal(t, 1, made)
			}
			sums := b.sums()
			require.Empty(t, keysOf(sums, "vdi_login_failed"))
			require.Empty(t, keysOf(sums, "vdi_login_duration"))
			require.Contains(t, b.run(t, `await c.login()`), "stopped|", "after the test's end")
		})
	}
}

// TestLogoutCutShort: a logout goes on although k6 ends its iteration.
func TestLogoutCutShort(t *testing.T) {
	t.Parallel()
	b, o := newLoginBench(t, nil)
	require.Empty(t, b.run(t, `globalThis.c = tc(); await c.login()`))
	ctx, cancel := context.WithCancel(t.Context())
	b.VU.CtxField = ctx
	o.mu.Lock() // the broker cannot answer
	_, err := b.VU.Runtime().RunString(`c.logout().catch(() => {})`)
	require.NoError(t, err)
	cancel()
	o.mu.Unlock()
	require.Eventually(t, func() bool { _, open := o.counts(); return open == 0 }, 10*time.Second, time.Millisecond)
}

// TestUnaccounted: what the steps of another clock explain beyond the total is
// not negative.
func TestUnaccounted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ took, auth, boot, want time.Duration }{
		{100, 30, 50, 20}, {100, 0, 0, 100}, {100, 60, 41, 0},
	} {
		v := visit{took: c.took, login: &login{session: &client.Session{Steps: []client.Timing{
			{Step: client.StepAuth, Took: c.auth}, {Step: client.StepBoot, Took: c.boot}}}}}
		require.Equal(t, c.want, v.unaccounted())
		require.Equal(t, map[string]time.Duration{"auth": c.auth, "boot": c.boot, "total": c.took, "unaccounted": c.want}, v.times())
	}
}

// TestKindsAreDocumented holds index.d.ts and docs/metrics.md to the words that
// the code uses.
func TestKindsAreDocumented(t *testing.T) {
	kinds := map[string]bool{}
	for file, pattern := range map[string]string{
		"errors.go":                        `return "([a-z-]+)"`,
		"../broker/client/console/kind.go": `return "([a-z-]+)"`,
		"../broker/client/client.go":       `(?m)^\t\w+ +Class += "([a-z-]+)"`,
	} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		found := regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1)
		require.NotEmpty(t, found)
		for _, f := range found {
			kinds[f[1]] = true
		}
	}
	types, err := os.ReadFile("../index.d.ts")
	require.NoError(t, err)
	doc, err := os.ReadFile("../docs/metrics.md")
	require.NoError(t, err)
	for kind := range kinds {
		require.Contains(t, string(types), "| '"+kind+"'")
		require.Regexp(t, "(?m)^\\| [^|]*`"+kind+"`[^|]* \\|", string(doc))
	}
	declared := string(types[strings.Index(string(types), "export type Kind ="):strings.Index(string(types), "export interface VdiError")])
	for _, f := range regexp.MustCompile(`\| '([a-z-]+)'`).FindAllStringSubmatch(declared, -1) {
		require.True(t, kinds[f[1]], "nothing is of the kind %s", f[1])
	}
}

// TestArrivals: people come normally distributed, all of them within the window,
// and so do those of each site.
func TestArrivals(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../scenarios/login-storm.js")
	require.NoError(t, err)
	function := regexp.MustCompile(`(?ms)^function arrival\(.*?^}`).Find(text)
	for _, seed := range []string{"0", "7"} {
		rt := sobek.New()
		_, err = rt.RunString(`const window = 1, __ENV = {DESKSTORM_SEED: ` + seed + `}; ` + string(function))
		require.NoError(t, err)
		arrival, ok := sobek.AssertFunction(rt.Get("arrival"))
		require.True(t, ok)
		for name, c := range map[string]struct{ count, every, sites int }{
			"all": {1200, 1, 1}, "few": {60, 1, 1}, "a site of six": {1200, 6, 6}, "a block": {200, 1, 6},
		} {
			var sum, squares, within float64
			n := c.count / c.every
			for i := range n {
				v, err := arrival(nil, rt.ToValue(i*c.every+c.sites))
				require.NoError(t, err)
				at := v.ToFloat()
				require.True(t, at >= 0 && at <= 1, at)
				sum += at
				squares += (at - 0.5) * (at - 0.5)
				if math.Abs(at-0.5) < 1.0/6 {
					within++
				}
			}
			require.InDelta(t, 0.5, sum/float64(n), 0.01, name)
			require.InDelta(t, 1.0/6, math.Sqrt(squares/float64(n)), 0.01, name)
			require.InDelta(t, 0.683, within/float64(n), 0.03, name)
		}
	}
}

// TestScenariosShareTheirPart: k6 scripts on a standard input cannot import, so
// that a test has to hold the two together.
func TestScenariosShareTheirPart(t *testing.T) {
	t.Parallel()
	var parts []string
	for _, name := range []string{"login-storm.js", "morning-shift.js"} {
		text, err := scenarios.Scripts.ReadFile(name)
		require.NoError(t, err)
		_, part, found := strings.Cut(string(text), "// ---- From here on")
		require.True(t, found)
		parts = append(parts, part)
	}
	require.Equal(t, parts[0], parts[1])
}
