package vdi

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.k6.io/k6/v2/js/modulestest"
	"go.k6.io/k6/v2/lib"
	"go.k6.io/k6/v2/metrics"

	"github.com/deskstorm/deskstorm/spice/screen"
)

// bench is a virtual user with the module, beside a simulated desktop.
type bench struct {
	*modulestest.Runtime
	root    *RootModule
	desktop *screen.Desktop
	samples chan metrics.SampleContainer
}

func newBench(t *testing.T, c screen.Config) *bench {
	farm, err := screen.NewFarm(1, c)
	require.NoError(t, err)
	t.Cleanup(farm.Close)
	b := &bench{Runtime: modulestest.NewRuntime(t), root: &RootModule{}, desktop: farm.Desktops()[0],
		samples: make(chan metrics.SampleContainer, 10000)}
	registry := b.VU.InitEnvField.Registry
	exports := b.root.NewModuleInstance(b.VU).Exports()
	require.NoError(t, b.VU.Runtime().Set("vdi", exports.Default))
	require.NoError(t, b.VU.Runtime().Set("port", b.port()))
	b.MoveToVUContext(&lib.State{
		Dialer:     &net.Dialer{},
		Samples:    b.samples,
		Tags:       lib.NewVUStateTags(registry.RootTagSet().With("scenario", "test")),
		VUIDGlobal: 1,
	})
	t.Cleanup(b.root.close)
	return b
}

func (b *bench) port() int { return b.desktop.Addr().(*net.TCPAddr).Port }

// run runs the body of an async function and returns the promise's failure.
func (b *bench) run(t *testing.T, body string) string {
	t.Helper()
	require.NoError(t, b.VU.Runtime().Set("failure", ""))
	_, err := b.RunOnEventLoop(`(async () => {` + body + `})().catch(e => { failure = [e.kind, e.step, e.message ?? e.value ?? e].join('|'); })`)
	require.NoError(t, err)
	return b.VU.Runtime().Get("failure").String()
}

// sums adds up what was pushed so far, by metric and tags.
func (b *bench) sums() map[string]float64 {
	sums := map[string]float64{}
	for {
		select {
		case container := <-b.samples:
			for _, s := range container.GetSamples() {
				key := s.Metric.Name
				for _, name := range []string{"class", "path", "profile", "site", "step"} {
					if v, ok := s.Tags.Get(name); ok {
						key += " " + name + "=" + v
					}
				}
				for name := range s.Tags.Map() {
					if !strings.Contains("class path profile site step scenario", name) {
						panic("a tag that is not in the table: " + name)
					}
				}
				sums[key] += s.Value
			}
		default:
			return sums
		}
	}
}

func TestConnectTypeProbeDisconnect(t *testing.T) {
	t.Parallel()
	b := newBench(t, screen.Config{Ticket: "secret"})
	require.Empty(t, b.run(t, `
		const desk = await vdi.connect({host: '127.0.0.1', port: port, ticket: 'secret', site: 'north'});
		if (desk.width !== 720 || desk.height !== 400) throw new Error('screen of ' + desk.width);
		if (!(desk.timings.total > 0 && desk.timings.link > 0)) throw new Error('timings ' + JSON.stringify(desk.timings));
		await desk.type('Hello', {wpm: 1000});
		const r = await desk.probe();
		for (const trip of ['server', 'guest', 'visible']) {
			if (!(r[trip] > 0)) throw new Error(trip + ' took ' + r[trip]);
		}
		if (desk.ended() !== null) throw new Error('ended');
		await desk.disconnect();
		await desk.disconnect();
		if (desk.ended().kind !== 'closed') throw new Error('not closed');
	`))
	require.Contains(t, b.desktop.Typed(), "Hello")
	sums := b.sums()
	for _, step := range []string{"link", "auth", "main"} {
		require.Positive(t, sums["vdi_connect_duration site=north step="+step], step)
	}
	for _, trip := range []string{"server", "guest", "visible"} {
		require.Positive(t, sums["vdi_round_trip site=north step="+trip], trip)
		require.Contains(t, sums, "vdi_lost site=north step="+trip)
		require.Zero(t, sums["vdi_lost site=north step="+trip], trip)
	}
	require.Positive(t, sums["vdi_bytes_received site=north"])
	require.Positive(t, sums["vdi_drawings site=north"])
	require.GreaterOrEqual(t, sums["vdi_keys site=north"], 5.0)
	require.Zero(t, sums["vdi_connect_failed site=north"])
	require.Empty(t, b.root.sessions.open)
}

func TestConnectFailures(t *testing.T) {
	t.Parallel()
	b := newBench(t, screen.Config{Ticket: "secret"})
	require.NoError(t, b.VU.Runtime().Set("badVV", "[virt-viewer]\ntype=vnc\npassword=geheim\n"))
	for name, c := range map[string]struct{ js, want string }{
		"wrong ticket": {`await vdi.connect({host: '127.0.0.1', port, ticket: 'wrong'})`, "permission|auth|"},
		"nobody there": {`await vdi.connect({host: '127.0.0.1', port: 1})`, "network|link|"},
		"too slow":     {`await vdi.connect({host: '127.0.0.1', port, ticket: 'secret', timeout: 0.001})`, "timeout|"},
		"no argument":  {`await vdi.connect()`, "||vdi.connect: needs host and port or tlsPort, or file"},
		"no port":      {`await vdi.connect({host: 'x'})`, "neither a port nor a TLS port"},
		"bad port":     {`await vdi.connect({host: 'x', port: 70000})`, "port must be a port from 1 to 65535"},
		"unknown":      {`await vdi.connect({host: 'x', port, tiket: 'y', a: 1})`, "unknown option a, tiket"},
		"both":         {`await vdi.connect({host: 'x', port, file: 'y'})`, "either file, or host"},
		"subject":      {`await vdi.connect({subject: 'CN=x', file: 'y'})`, "either file, or host"},
		"no file":      {`await vdi.connect({file: '/nowhere/x.vv'})`, "no such file"},
		"bad file":     {`await vdi.connect({file: badVV})`, "type=spice"},
		"bad CA":       {`await vdi.connect({host: 'x', tlsPort: 1, ca: '-----BEGIN nonsense'})`, "no certificate"},
		"bad channel":  {`await vdi.connect({host: 'x', tlsPort: 1, secureChannels: ['sound']})`, `"sound"`},
	} {
		t.Run(name, func(t *testing.T) {
			got := b.run(t, c.js)
			require.Contains(t, got, c.want)
			require.NotContains(t, got, "geheim")
		})
	}
	sums := b.sums()
	require.Equal(t, 1.0, sums["vdi_connect_failed class=permission step=auth"])
	require.GreaterOrEqual(t, sums["vdi_connect_failed class=network step=link"], 1.0)
}

func TestConnectByFile(t *testing.T) {
	t.Parallel()
	b := newBench(t, screen.Config{Ticket: "secret"})
	text := "[virt-viewer]\ntype=spice\nhost=127.0.0.1\nport=" + strconv.Itoa(b.port()) + "\npassword=secret\n"
	path := filepath.Join(t.TempDir(), "desktop.vv")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	for _, file := range []string{path, text} {
		require.NoError(t, b.VU.Runtime().Set("file", file))
		require.Empty(t, b.run(t, `await (await vdi.connect({file})).disconnect()`))
	}
}

func TestConnectInInitContext(t *testing.T) {
	t.Parallel()
	rt := modulestest.NewRuntime(t)
	root := &RootModule{}
	require.NoError(t, rt.VU.Runtime().Set("vdi", root.NewModuleInstance(rt.VU).Exports().Default))
	_, err := rt.RunOnEventLoop(`vdi.connect({host: 'x', port: 1})`)
	require.ErrorContains(t, err, "not in the init context")
}

func TestWork(t *testing.T) {
	t.Parallel()
	b := newBench(t, screen.Config{})
	require.NoError(t, b.VU.Runtime().Set("busy", `
description: types without a pause
sources: [a test]
wpm: 1000
vocabulary: [word]
activities:
  - {name: type, weight: 1, words: {min: 1, max: 3}, think: {median: 1ms, p95: 2ms}}
`))
	require.Empty(t, b.run(t, `
		const desk = await vdi.connect({host: '127.0.0.1', port});
		const begin = Date.now();
		await desk.work(busy, '500ms');
		const took = Date.now() - begin;
		if (took < 450 || took > 3000) throw new Error('worked for ' + took + ' ms');
		const r = await desk.work('idle', 200);
		if (r.lost !== 0) throw new Error(JSON.stringify(r));
		await desk.disconnect();
	`))
	require.Contains(t, b.desktop.Typed(), "word word")
	for js, want := range map[string]string{
		`await desk.work('nonsense', '1s')`:             "there are callcenter, idle, office",
		`await desk.work()`:                             "needs a profile and a duration",
		`await desk.work('idle')`:                       "the duration must be above 0",
		`await desk.work('idle', '-1s')`:                "the duration must be above 0",
		`await desk.type('x', {wpm: 0})`:                "wpm must be above 0",
		`await desk.type('x', {speed: 1})`:              "unknown option speed",
		`await desk.type('\u00e4')`:                     "not on a US keyboard",
		`await desk.disconnect(); await desk.type('x')`: "closed|",
	} {
		require.Contains(t, b.run(t, `const desk = await vdi.connect({host: '127.0.0.1', port}); `+js), want, js)
	}
}

// TestProbeOfAHungGuest: lost answers are null and counted, and only they.
func TestProbeOfAHungGuest(t *testing.T) {
	t.Parallel()
	b := newBench(t, screen.Config{})
	b.desktop.Hang(true)
	require.Empty(t, b.run(t, `
		const desk = await vdi.connect({host: '127.0.0.1', port, deadline: '300ms'});
		const r = await desk.probe();
		if (!(r.server > 0) || r.guest !== null || r.visible !== null) throw new Error(JSON.stringify(r));
		await desk.disconnect();
	`))
	sums := b.sums()
	require.Equal(t, 0.0, sums["vdi_lost step=server"])
	require.Equal(t, 1.0, sums["vdi_lost step=guest"])
	require.Equal(t, 1.0, sums["vdi_lost step=visible"])
	require.NotContains(t, sums, "vdi_round_trip step=guest")
}

// TestSessionOutlivesItsIteration: the iteration's context ends, the session
// does not, and the next iteration goes on with it.
func TestSessionOutlivesItsIteration(t *testing.T) {
	t.Parallel()
	b := newBench(t, screen.Config{})
	require.Empty(t, b.run(t, `globalThis.desk = await vdi.connect({host: '127.0.0.1', port})`))
	b.CancelContext()
	b.VU.CtxField = t.Context() // the next iteration's
	require.Empty(t, b.run(t, `if (desk.ended()) throw new Error('ended'); await desk.type('again', {wpm: 1000})`))
	require.Eventually(t, func() bool { return strings.Contains(b.desktop.Typed(), "again") }, 5*time.Second, time.Millisecond)
	b.root.close()
	require.Eventually(t, func() bool { return b.desktop.Stats().Clients == 0 }, 5*time.Second, 5*time.Millisecond)
	require.Contains(t, b.run(t, `await desk.type('x')`), "closed|")
	require.Contains(t, b.run(t, `await vdi.connect({host: '127.0.0.1', port})`), "stopped|", "after the test's end")
}

// TestEndOfGracefulStop: k6 ends an iteration by a deadline of its context. What
// that cuts short is no failed connect and no timeout.
func TestEndOfGracefulStop(t *testing.T) {
	t.Parallel()
	b := newBench(t, screen.Config{})
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts and says nothing
	require.NoError(t, err)
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	b.VU.CtxField = ctx
	require.NoError(t, b.VU.Runtime().Set("silent", l.Addr().(*net.TCPAddr).Port))
	require.Contains(t, b.run(t, `await vdi.connect({host: '127.0.0.1', port: silent})`), "stopped|")
	require.Empty(t, b.sums())
}

// TestInterruptedCall: work that k6 cuts short at the end of gracefulStop
// leaves the event loop free.
func TestInterruptedCall(t *testing.T) {
	t.Parallel()
	b := newBench(t, screen.Config{})
	time.AfterFunc(300*time.Millisecond, b.CancelContext)
	begin := time.Now()
	require.Contains(t, b.run(t, `const d = await vdi.connect({host: '127.0.0.1', port}); await d.work('callcenter', '1h')`), "stopped|")
	require.Less(t, time.Since(begin), 10*time.Second)
}

func TestEvictedSessionIsTold(t *testing.T) {
	t.Parallel()
	b := newBench(t, screen.Config{})
	require.Empty(t, b.run(t, `
		globalThis.first = await vdi.connect({host: '127.0.0.1', port});
		globalThis.second = await vdi.connect({host: '127.0.0.1', port});
	`))
	require.Eventually(t, func() bool {
		return b.run(t, `if (first.ended()) throw new Error(first.ended().kind)`) == "||evicted"
	}, 10*time.Second, 10*time.Millisecond)
	require.Contains(t, b.run(t, `await first.reconnect()`), "evicted|")
	require.Empty(t, b.run(t, `second = await second.reconnect(); await second.probe()`))
	b.root.close()
	require.Equal(t, 1.0, b.sums()["vdi_sessions_ended step=evicted"])
}
