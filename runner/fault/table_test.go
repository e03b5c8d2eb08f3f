package fault_test

import (
	"context"
	"errors"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/configfile"
	"github.com/deskstorm/deskstorm/lab/netns/netnstest"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	"github.com/deskstorm/deskstorm/runner/fault"
	"github.com/deskstorm/deskstorm/runner/native"
	"github.com/deskstorm/deskstorm/runner/target"
)

// TestTableWithoutConfiguration: for reading files names and parameters are enough.
func TestTableWithoutConfiguration(t *testing.T) {
	table := fault.Table(fault.Env{})
	seen := map[string]bool{}
	for _, f := range table {
		require.True(t, strings.HasPrefix(f.Name, "fault."), f.Name)
		require.False(t, seen[f.Name], f.Name)
		seen[f.Name] = true
		require.Equal(t, native.Action, f.Kind)
		require.NotEmpty(t, f.Doc)
		names := map[string]bool{}
		for _, p := range f.Parameters {
			require.NotEmpty(t, p.Doc, "%s: %s", f.Name, p.Name)
			require.NotEmpty(t, p.Type, "%s: %s", f.Name, p.Name)
			require.False(t, names[p.Name], "%s: %s twice", f.Name, p.Name)
			names[p.Name] = true
		}
		_, err := f.Run(t.Context(), native.Arguments{"target": "x", "for": "1m"})
		require.Error(t, err)
		if f.Name != "fault.undo" {
			require.True(t, names["target"] && names["for"], f.Name)
		}
	}
	require.Len(t, table, 21)
	f, err := native.Find(table, "fault.net.loss", native.Action)
	require.NoError(t, err)
	require.NoError(t, f.Check(native.Arguments{"target": "x", "for": 30, "percent": 5}))
	require.ErrorContains(t, f.Check(native.Arguments{"target": "x", "percent": 5}), "for: is missing")
}

// TestDocumentation: the user's page names every fault and every parameter of it.
func TestDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../docs/faults.md")
	require.NoError(t, err)
	sections := map[string]string{}
	for _, section := range strings.Split(string(text), "\n### ")[1:] {
		name, body, _ := strings.Cut(section, "\n")
		for _, one := range strings.Split(name, ", ") {
			sections[strings.Trim(one, "`")] = body
		}
	}
	for _, f := range fault.Table(fault.Env{}) {
		name := strings.TrimPrefix(f.Name, "fault.")
		require.Contains(t, sections, name)
		for _, p := range f.Parameters {
			if p.Name != "target" && p.Name != "for" {
				require.Regexp(t, "`"+p.Name+"[`:]", sections[name], "%s", name)
			}
		}
		delete(sections, name)
	}
	require.Empty(t, sections)
}

// nobody is an injector that keeps what it is given.
type nobody struct {
	mutex sync.Mutex
	plans []fault.Plan
	ended []string
	err   error
}

func (n *nobody) Inject(_ context.Context, p fault.Plan) error {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.plans = append(n.plans, p)
	if n.err != nil {
		n.ended = append(n.ended, p.ID)
	}
	return n.err
}

func (n *nobody) Undo(_ context.Context, id string) error {
	n.ended = append(n.ended, id)
	return n.err
}

func (n *nobody) Active(id string) bool { return !slices.Contains(n.ended, id) }

// willing takes every look, and knows every program.
type willing struct{}

func (willing) Do(context.Context, target.Step) (string, error) {
	return "memory 8000000 4000000 4000000\n", nil
}

func willingEnv() (fault.Env, *nobody) {
	n := &nobody{}
	return fault.Env{
		Targets: target.Config{
			"one": {Faults: []string{"net.*", "host.*"}, Local: &target.Local{Machine: target.Machine{RunDir: "/run/x"}}},
			"two": {Faults: []string{"host.*"}, SSH: &target.SSH{Machine: target.Machine{RunDir: "/run/x"}}},
			"lab": {HTTP: &target.Web{}},
		},
		Look: willing{}, Limits: fault.DefaultLimits(), Injector: n,
	}, n
}

func TestGuard(t *testing.T) {
	env, n := willingEnv()
	table := fault.Table(env)
	memory := func(at string) native.Arguments { return native.Arguments{"target": at, "for": "1m", "mib": 10} }

	_, err := call(t, table, "fault.host.memory_pressure", native.Arguments{"target": "lab", "for": "1m", "mib": 10})
	require.ErrorContains(t, err, "the target is http, and this fault needs one that is local or ssh")
	_, err = call(t, table, "fault.net.loss", native.Arguments{"target": "three", "for": "1m", "percent": 5})
	require.ErrorContains(t, err, `there is no target "three"; the configuration has lab, one, two`)
	_, err = call(t, table, "fault.net.loss", native.Arguments{"target": "two", "for": "1h", "percent": 5, "port": 80})
	require.ErrorContains(t, err, "does not allow net.loss at the target two, only host.*")
	require.ErrorContains(t, err, "it is for 1h0m0s; limits.longest allows 10m0s")
	require.Empty(t, n.plans)

	first, err := call(t, table, "fault.host.memory_pressure", memory("one"))
	require.NoError(t, err)
	require.Equal(t, []string{"one"}, first["touches"].(fault.Touches).Hosts)
	_, err = call(t, table, "fault.host.memory_pressure", memory("one")) // the same host once more
	require.NoError(t, err)
	_, err = call(t, table, "fault.host.memory_pressure", memory("two"))
	require.ErrorContains(t, err, "it hits 1 hosts, 2 with what the run has injected already; limits.hosts allows 1")
	got, err := call(t, table, "fault.undo", native.Arguments{"fault": "host.memory_pressure"})
	require.NoError(t, err)
	require.Len(t, got["undone"], 2)
	require.Len(t, n.ended, 2)
	_, err = call(t, table, "fault.host.memory_pressure", memory("two"))
	require.NoError(t, err)

	for _, a := range []native.Arguments{{}, {"fault": "net.loss", "id": "x"}} {
		_, err = call(t, table, "fault.undo", a)
		require.ErrorContains(t, err, "by fault, or by id")
	}
	_, err = call(t, table, "fault.undo", native.Arguments{"fault": "net.loss"})
	require.ErrorContains(t, err, "this run has not injected net.loss")

	touches := fault.Touches{Targets: []string{"one"}, Desktops: []string{"a", "b"}, Chosen: 9}
	desktops := fault.Plan{Fault: "net.loss", For: time.Minute, Touches: touches}
	guard := fault.Guard{Targets: env.Targets, Limits: env.Limits}
	require.ErrorContains(t, guard.Check(desktops), "it hits 11 desktops; limits.desktops allows 10")
	desktops.Touches.Chosen = 8
	require.NoError(t, guard.Check(desktops))
	require.NoError(t, guard.Check(desktops, fault.Plan{Touches: fault.Touches{Desktops: []string{"a"}}}))
	require.ErrorContains(t, guard.Check(desktops, fault.Plan{Touches: fault.Touches{Desktops: []string{"c"}}}), "11 with what the run has injected")
	require.ErrorContains(t, fault.Guard{}.Check(desktops), `there is no target "one"`)
}

// TestInjectionFails: what could not be injected does not count, and is told with its place.
func TestInjectionFails(t *testing.T) {
	env, n := willingEnv()
	table := fault.Table(env)
	n.err = errors.New("no way there")
	_, err := call(t, table, "fault.host.memory_pressure", native.Arguments{"target": "one", "for": "1m", "mib": 10})
	require.EqualError(t, err, "injecting host.memory_pressure at one: no way there")
	n.err = nil
	_, err = call(t, table, "fault.host.memory_pressure", native.Arguments{"target": "two", "for": "1m", "mib": 10})
	require.NoError(t, err)
}

// TestLateUndo: a fault whose time is over and whose undo takes its time counts as long as something of it is left.
func TestLateUndo(t *testing.T) {
	env, n := willingEnv()
	table := fault.Table(env)
	first, err := call(t, table, "fault.host.memory_pressure", native.Arguments{"target": "one", "for": "1ms", "mib": 10})
	require.NoError(t, err)
	time.Sleep(5 * time.Millisecond)
	second := native.Arguments{"target": "two", "for": "1m", "mib": 10}
	_, err = call(t, table, "fault.host.memory_pressure", second)
	require.ErrorContains(t, err, "2 with what the run has injected already; limits.hosts allows 1")
	n.ended = append(n.ended, first["id"].(string))
	_, err = call(t, table, "fault.host.memory_pressure", second)
	require.NoError(t, err)
}

// TestDryRun: a plan shows all, and injects nothing.
func TestDryRun(t *testing.T) {
	env, n := willingEnv()
	f, err := native.Find(fault.Table(env), "fault.net.loss", native.Action)
	require.NoError(t, err)
	got, err := f.Plan(t.Context(), native.Arguments{"target": "one", "for": 90, "percent": 5, "address": "10.0.0.5", "port": 5672})
	require.NoError(t, err)
	shown := got.(map[string]any)
	require.Equal(t, "5 % of packets to and from 10.0.0.5:5672/tcp are dropped", shown["touches"].(fault.Touches).What)
	require.Equal(t, "1m30s", shown["for"])
	require.Empty(t, n.plans)
}

// TestWholeHost: packets of a whole host are also those that control it, however they are said.
func TestWholeHost(t *testing.T) {
	env, n := willingEnv()
	for address, says := range map[string]string{"": "say which packets", "0.0.0.0/0": "is all addresses", "::/0": "is all addresses",
		"10.0.0.5/0": "is all addresses"} {
		_, err := call(t, fault.Table(env), "fault.net.blackhole", native.Arguments{"target": "one", "for": "1m", "address": address})
		require.ErrorContains(t, err, says)
	}
	require.Empty(t, n.plans)
}

// TestBadArguments: each is refused, none panics.
func TestBadArguments(t *testing.T) {
	env, n := willingEnv()
	table := fault.Table(env)
	values := []any{nil, "", "x", "-1s", "${x}", -1, 0, 1.5, 1e300, math.NaN(), math.Inf(1), true, []any{"a", 1}, []any{}, map[string]any{},
		"10.0.0.1; drop", "eth0\"; flush ruleset; \"", strings.Repeat("a", 1000), "fe80::1%eth0", "::/0", "a\x00b"}
	for _, f := range table {
		for _, p := range f.Parameters {
			for _, v := range values {
				a := native.Arguments{"target": "one", "for": "1m", p.Name: v}
				_, _ = f.Run(t.Context(), a)
				a["port"], a["percent"], a["kbit"], a["delay"] = 80, 5, 100, "1s"
				a[p.Name] = v
				for name := range a {
					known := false
					for _, q := range f.Parameters {
						known = known || q.Name == name
					}
					if !known {
						delete(a, name)
					}
				}
				_, _ = f.Run(t.Context(), a)
			}
		}
	}
	for _, p := range n.plans {
		require.NotContains(t, p.Apply[0].Command.Stdin+strings.Join(p.Apply[0].Command.Argv, " "), "flush", "%+v", p)
		for _, s := range append(p.Apply, p.Undo...) {
			require.NoError(t, s.Check())
			require.Contains(t, []string{"one", "two"}, s.Target)
		}
	}
}

// TestKernelTakesAllFilters: every form of a filter, for IPv4 and IPv6, is one that nft and the kernel know.
func TestKernelTakesAllFilters(t *testing.T) {
	qemutest.RequireProgram(t, "nft", "nftables")
	n := netnstest.New(t, "filters")
	w := newWorld(t, target.Config{"host": local(t, n)})
	w.relay = []string{"true"}
	table := fault.Table(w.env())
	forms := []native.Arguments{{"port": 80}, {"device": "eth0"}}
	for _, address := range []string{"10.0.0.5", "10.0.0.0/24", "2001:db8::1", "2001:db8::/64", "::ffff:10.0.0.5"} {
		forms = append(forms, native.Arguments{"address": address}, native.Arguments{"address": address, "port": 80, "direction": "to"},
			native.Arguments{"address": address, "port": 80, "protocol": "udp", "direction": "from", "device": "eth0"})
	}
	plan := func(name string, a native.Arguments) {
		t.Helper()
		a["target"], a["for"] = "host", "1m"
		f, err := native.Find(table, "fault."+name, native.Action)
		require.NoError(t, err)
		_, err = f.Plan(t.Context(), a)
		require.NoError(t, err, "%s %v", name, a)
	}
	with := func(form native.Arguments, more native.Arguments) native.Arguments {
		for name, value := range form {
			more[name] = value
		}
		return more
	}
	for _, form := range forms {
		plan("net.loss", with(form, native.Arguments{"percent": 0.01}))
		plan("net.blackhole", with(form, native.Arguments{}))
		plan("amqp.partition", with(form, native.Arguments{}))
		if form["device"] != "eth0" || len(form) > 3 {
			plan("net.rate", with(form, native.Arguments{"kbit": 64}))
		}
	}
	for _, address := range []string{"10.0.0.5", "10.0.0.0/24", "2001:db8::1"} {
		plan("amqp.idle_drop", native.Arguments{"address": address})
		for _, how := range []string{"refused", "silent"} {
			plan("ldap.down", native.Arguments{"address": address, "how": how})
		}
		if !strings.Contains(address, "/") {
			plan("net.delay", native.Arguments{"address": address, "port": 80, "delay": "1s"})
			plan("ldap.slow", native.Arguments{"address": address, "delay": "10ms"})
		}
	}
	plan("amqp.idle_drop", native.Arguments{})
	clean(t, n)
}

func TestReadLimits(t *testing.T) {
	read := func(text string) (fault.Limits, error) {
		r, n := configfile.Parse([]byte(text), "deskstorm.yaml", "a configuration")
		l := fault.ReadLimits(r, n)
		return l, r.Err()
	}
	got, err := read("longest: 30m\ndesktops: 200\n")
	require.NoError(t, err)
	require.Equal(t, fault.Limits{Longest: 30 * time.Minute, Desktops: 200, Hosts: 1}, got)
	_, err = read("longest: 30\ndesktop: 5\nhosts: -1\n")
	require.ErrorContains(t, err, "deskstorm.yaml:1:10: longest: expected")
	require.ErrorContains(t, err, "deskstorm.yaml:2:1: ")
	require.ErrorContains(t, err, "deskstorm.yaml:3:8: hosts: expected")
}

// TestNobodyCouldStartIt: what is killed by its pid file must be started by somebody.
func TestNobodyCouldStartIt(t *testing.T) {
	env, n := willingEnv()
	at := env.Targets["one"]
	at.Faults = []string{"*"}
	at.Services = map[string]target.Service{"gone": {Stop: []string{"nobodys-program"}, Start: []string{"nobodys-program"}}}
	env.Targets["one"] = at
	env.Look = lacking{"systemctl", "nobodys-program"}
	for service, says := range map[string]string{
		"broker": "systemctl is missing", "--help": "expected the name of a service", "gone": "nobodys-program is missing",
	} {
		_, err := call(t, fault.Table(env), "fault.broker.kill",
			native.Arguments{"target": "one", "for": "1m", "service": service, "pid_file": "/run/broker.pid", "program": "broker"})
		require.ErrorContains(t, err, says)
	}
	_, err := call(t, fault.Table(env), "fault.host.stop_service", native.Arguments{"target": "one", "for": "1m", "service": "gone"})
	require.ErrorContains(t, err, "nobodys-program is missing")
	require.Empty(t, n.plans)
}

// lacking is a machine without these programs, on which the process of every pid file is a broker.
type lacking []string

func (l lacking) Do(_ context.Context, s target.Step) (string, error) {
	last := s.Command.Argv[len(s.Command.Argv)-1]
	if slices.Contains(l, last) {
		return "missing\n", nil
	}
	return "broker\n", nil
}
