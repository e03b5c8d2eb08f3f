package probes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	gopheropenstack "github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/lab/folder"
	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/lab/up"
	"github.com/deskstorm/deskstorm/runner/native"
	"github.com/deskstorm/deskstorm/runner/record"
)

// startCloud starts a desktop cloud with a broker, and returns the environment that points at it.
func startCloud(t *testing.T) (*up.Cloud, Env) {
	t.Helper()
	c, err := up.Sim(t.Context(), up.Options{Users: 4, Desktops: 4, Ready: 2, Wait: 2 * time.Second})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	require.NoError(t, c.Await(t.Context(), func(int, int) {}))
	return c, Env{Run: "r1", Recorder: record.NewRecorder(record.Run{}), Ledger: &ledger{}, Config: mustRead(t, fmt.Sprintf(`
broker: {url: %q, operator_token: {file: %q}}
cloud: {name: %s, file: %q, owner: test}
logins:
  - {name: new, user: %s, password: {file: %q}, seat: N1-001, timeout: 20s}
  - {name: old, user: %[5]s, password: {file: %[6]q}, seat: N1-001, cloud: true, domain: users, timeout: 20s}
  - {name: wrong, user: %[5]s, password: {file: %[7]q}}
desktops: {flavor: desktop.small, image: desktop, networks: [desktops], most: 3}
`, c.Broker, filepath.Join(c.Dir, folder.OperatorFile), sim.AdminCloud, filepath.Join(c.Dir, folder.CloudsFile),
		c.Users[0].Name, secret(t, c.Users[0].Password), secret(t, "hunter2")))}
}

// ledger remembers what it was told.
type ledger struct {
	mutex sync.Mutex
	known map[string]string // what was told last, by name
	full  bool
}

func (l *ledger) tell(r Resource, what string) error {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.full {
		return errors.New("no space left on device")
	}
	if l.known == nil {
		l.known = map[string]string{}
	}
	l.known[r.Name] = what
	return nil
}

func (l *ledger) Making(_ context.Context, r Resource) error { return l.tell(r, "making") }
func (l *ledger) Made(_ context.Context, r Resource) error   { return l.tell(r, r.ID) }
func (l *ledger) Gone(_ context.Context, r Resource) error   { return l.tell(r, "gone") }

func TestLogin(t *testing.T) {
	c, e := startCloud(t)
	for login, steps := range map[string][]string{"new": {"auth", "match", "console"}, "old": {"auth", "match", "console"}} {
		t.Run(login, func(t *testing.T) {
			v := answerOf(t, e, "login", native.Arguments{"login": login, "type": true})
			require.Equal(t, true, v["ok"], "%v", v)
			require.NotEmpty(t, v["desktop"])
			timings := v["timings_ms"].(map[string]any)
			for _, step := range append(steps, "login", "connect", "link", "ticket", "main", "picture", "visible", "total") {
				require.Contains(t, timings, step)
			}
			require.InDelta(t, timings["total"], timings["login"].(float64)+timings["connect"].(float64), 1e-6)
			total, err := call(t, e, "login", native.Arguments{"login": login, "field": "timings_ms.total"})
			require.NoError(t, err)
			require.Positive(t, total)
		})
	}
	pools := answerOf(t, e, "broker.health", nil)["pools"].(map[string]any)
	require.Zero(t, pools["standard"].(map[string]any)["desktops"].(map[string]any)["assigned"], "who logged in has logged out")

	v := answerOf(t, e, "login", native.Arguments{"login": "wrong"})
	require.Equal(t, false, v["ok"])
	require.Equal(t, "wrong-password", v["kind"])
	require.Equal(t, "auth", v["step"])
	require.NotContains(t, v["error"], "hunter2")
	require.Contains(t, v["timings_ms"], "in_vain")
	require.NotContains(t, v["timings_ms"], "login")
	_, err := call(t, e, "login", native.Arguments{"login": "wrong", "field": "timings_ms.total"})
	require.ErrorContains(t, err, "there is no timings_ms.total, because of this (wrong-password): ", "a login that fails at once is no fast one")
	require.NotContains(t, err.Error(), "{")

	_, err = call(t, e, "login", native.Arguments{"login": "new", "field": "timings_ms.teleport"})
	require.ErrorContains(t, err, `field: there is no "teleport" on the way of timings_ms.teleport`)
	require.NoError(t, c.Directory.Close())
	v = answerOf(t, e, "login", native.Arguments{"login": "new"})
	require.Equal(t, "directory-down", v["kind"])
}

func TestBrokerHealth(t *testing.T) {
	c, e := startCloud(t)
	v := answerOf(t, e, "broker.health", nil)
	require.Equal(t, true, v["healthy"])
	require.Equal(t, true, v["ready"])
	standard := v["pools"].(map[string]any)["standard"].(map[string]any)
	require.Equal(t, standard["ready_target"], standard["desktops"].(map[string]any)["ready"])
	require.NoError(t, c.Close())
	v = answerOf(t, e, "broker.health", nil)
	require.Equal(t, false, v["healthy"])
	require.Contains(t, v["problem"], "connection refused")
	require.Equal(t, "broker-down", answerOf(t, e, "login", native.Arguments{"login": "new"})["kind"])
}

func TestCloudProbes(t *testing.T) {
	c, e := startCloud(t)
	v := answerOf(t, e, "cloud.health", nil)
	require.Equal(t, true, v["ok"], "%v", v)
	require.Positive(t, v["services"])
	require.Equal(t, true, answerOf(t, e, "cloud.canary", nil)["ok"])

	undo, err := c.Sim.Inject(sim.Fault{Service: "neutron", Status: 503})
	require.NoError(t, err)
	v = answerOf(t, e, "cloud.canary", native.Arguments{"services": []any{"neutron", "nova"}})
	require.Equal(t, false, v["ok"])
	services := v["services"].(map[string]any)
	require.Len(t, services, 2)
	require.Contains(t, services["neutron"].(map[string]any)["list"].(map[string]any)["error"], "503")
	require.Equal(t, true, services["nova"].(map[string]any)["list"].(map[string]any)["ok"])
	undo()
	unknown := e
	unknown.Config.Cloud = &Cloud{Name: "nowhere", File: e.Config.Cloud.File}
	_, err = call(t, unknown, "cloud.canary", nil)
	require.ErrorContains(t, err, `cloud "nowhere" not found`, "that nobody could ask says nothing of the cloud")
	_, err = call(t, e, "cloud.canary", native.Arguments{"services": []any{"heat"}})
	require.ErrorContains(t, err, `no canary for "heat"`)

	v = answerOf(t, e, "cloud.desktops", native.Arguments{"all_projects": true})
	require.Equal(t, v["total"], v["status"].(map[string]any)["ACTIVE"].(float64)+float64(shutOff(v)))
	require.NotEmpty(t, v["hosts"])
	n, err := call(t, e, "desktops.active", nil)
	require.NoError(t, err)
	require.Positive(t, n)
}

func shutOff(v map[string]any) int {
	n, _ := v["status"].(map[string]any)["SHUTOFF"].(float64)
	return int(n)
}

func TestDesktopsAreMadeAndRemoved(t *testing.T) {
	c, e := startCloud(t)
	before := len(c.Sim.Servers())
	v := answerOf(t, e, "desktops.create", native.Arguments{"count": 2})
	require.Equal(t, "deskstorm-run=r1", v["tag"])
	require.Len(t, v["servers"], 2)
	require.Len(t, c.Sim.Servers(), before+2)
	for name, id := range e.Ledger.(*ledger).known {
		s, ok := c.Sim.Server(id)
		require.True(t, ok, name)
		require.Equal(t, name, s.Name)
		require.Regexp(t, `^deskstorm-r1-000[12]$`, name)
		require.Contains(t, s.Tags, "deskstorm-run=r1")
		require.Contains(t, s.Tags, "deskstorm-owner=test")
	}
	v = answerOf(t, e, "desktops.wait", native.Arguments{"own": true, "for": "30s"})
	require.Equal(t, 2., v["count"])

	_, err := call(t, e, "desktops.create", native.Arguments{"count": 2})
	require.ErrorContains(t, err, "this run has made 2; with 2 more they would be more than the configuration's desktops.most, 3")
	_, err = call(t, e, "desktops.create", native.Arguments{"count": 4})
	require.ErrorContains(t, err, "expected 1 to 3")
	_, err = call(t, e, "desktops.create", native.Arguments{"count": 1, "image": "none"})
	require.ErrorContains(t, err, "none")
	_, err = call(t, e, "desktops.wait", native.Arguments{"own": true, "count": 3, "for": "100ms"})
	require.ErrorContains(t, err, "waiting for 3 desktops: after 100ms there are 2")

	another := e
	another.Run = "r2"
	require.Equal(t, 0., answerOf(t, another, "desktops.delete", nil)["removed"], "another run's are left alone")
	require.Equal(t, 2., answerOf(t, e, "desktops.delete", nil)["removed"])
	require.Len(t, c.Sim.Servers(), before)
	for _, what := range e.Ledger.(*ledger).known {
		require.Equal(t, "gone", what)
	}
}

// TestNothingIsMadeByHalf: the third answer is an error.
func TestNothingIsMadeByHalf(t *testing.T) {
	c, e := startCloud(t)
	before := len(c.Sim.Servers())
	e.Ledger.(*ledger).full = true
	_, err := call(t, e, "desktops.create", native.Arguments{"count": 3})
	require.ErrorContains(t, err, "no space left on device")
	require.Len(t, c.Sim.Servers(), before, "what is not written down is not made")

	e.Ledger = &ledger{}
	undo, err := c.Sim.Inject(sim.Fault{Service: "nova", Method: "POST", Path: "/v2.1/servers", Status: 403, Skip: 2})
	require.NoError(t, err)
	defer undo()
	_, err = call(t, e, "desktops.create", native.Arguments{"count": 3})
	require.ErrorContains(t, err, "creating server")
	require.Len(t, c.Sim.Servers(), before)
	gone := 0
	for _, what := range e.Ledger.(*ledger).known {
		if what == "gone" {
			gone++
		}
	}
	require.Equal(t, 2, gone)
}

// TestPlans: a dry run touches nothing.
func TestPlans(t *testing.T) {
	c, e := startCloud(t)
	before := len(c.Sim.Servers())
	plan := func(name string, a native.Arguments) any {
		f, err := native.Find(Table(e), name, native.Action)
		require.NoError(t, err)
		value, err := f.Plan(t.Context(), a)
		require.NoError(t, err)
		return value
	}
	require.Equal(t, 3, plan("desktops.create", native.Arguments{"count": 3}).(map[string]any)["makes"])
	require.Equal(t, 0, plan("desktops.delete", nil).(map[string]any)["removes"])
	require.Len(t, c.Sim.Servers(), before)
}

// TestSideBySide: two actions of a run, in the background, make no more than one may; names that were given are not given again.
func TestSideBySide(t *testing.T) {
	c, e := startCloud(t)
	before := len(c.Sim.Servers())
	table := Table(e)
	run := func(name string, a native.Arguments) error {
		f, err := native.Find(table, name, native.Action)
		require.NoError(t, err)
		_, err = f.Run(t.Context(), a)
		return err
	}
	errs := make([]error, 2)
	var both sync.WaitGroup
	for i := range errs {
		both.Go(func() { errs[i] = run("desktops.create", native.Arguments{"count": 2}) })
	}
	both.Wait()
	require.True(t, (errs[0] == nil) != (errs[1] == nil), "%v", errs)
	require.ErrorContains(t, errors.Join(errs...), "desktops.most, 3")
	require.Len(t, c.Sim.Servers(), before+2)
	require.NoError(t, run("desktops.delete", nil))
	require.NoError(t, run("desktops.create", native.Arguments{"count": 1}))
	known := e.Ledger.(*ledger).known
	require.Len(t, known, 3)
	require.Contains(t, known, "deskstorm-r1-0003")
}

func TestPorts(t *testing.T) {
	c, e := startCloud(t)
	all := native.Arguments{"all_projects": true}
	v := answerOf(t, e, "desktops.ports", all)
	require.Equal(t, true, v["ok"], "%v", v)
	require.Equal(t, v["total"], v["status"].(map[string]any)["ACTIVE"])

	s := c.Sim.Servers()[0]
	require.NoError(t, c.Sim.Neutron.SetDead(s.ID, true))
	v = answerOf(t, e, "desktops.ports", all)
	require.Equal(t, false, v["ok"])
	require.Equal(t, []any{s.Name}, v["dead"])
	v = answerOf(t, e, "desktops.ports", native.Arguments{"all_projects": true, "host": s.Host})
	require.Equal(t, []any{s.Name}, v["dead"])
	require.NoError(t, c.Sim.Neutron.SetDead(s.ID, false))
	require.Equal(t, true, answerOf(t, e, "desktops.ports", all)["ok"])

	v = answerOf(t, e, "desktops.ports", native.Arguments{"name": "nobody's"})
	require.Equal(t, false, v["ok"], "of no ports nobody can say that they are fine")
}

// TestWaitGivesUpEarly: a desktop in ERROR does not get ACTIVE by itself.
func TestWaitGivesUpEarly(t *testing.T) {
	c, e := startCloud(t)
	answerOf(t, e, "desktops.create", native.Arguments{"count": 2})
	answerOf(t, e, "desktops.wait", native.Arguments{"own": true})
	var id string
	for _, id = range e.Ledger.(*ledger).known {
	}
	provider, err := gopheropenstack.AuthenticatedClient(t.Context(), c.Sim.Admin())
	require.NoError(t, err)
	compute, err := gopheropenstack.NewComputeV2(provider, gophercloud.EndpointOpts{Region: sim.Region})
	require.NoError(t, err)
	require.NoError(t, servers.ResetState(t.Context(), compute, id, servers.StateError).ExtractErr())
	_, err = call(t, e, "desktops.wait", native.Arguments{"own": true})
	require.ErrorContains(t, err, "waiting for 2 desktops: 1 in ERROR")
	require.Equal(t, 1., answerOf(t, e, "desktops.wait", native.Arguments{"own": true, "count": 1})["count"])
	n, err := call(t, e, "cloud.desktops", native.Arguments{"own": true, "field": "status.ERROR"})
	require.NoError(t, err)
	require.Equal(t, 1., n)
}

func TestReach(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := listener.Addr().(*net.TCPAddr).Port
	at := func(id, status, ip string) cloud.Server {
		return cloud.Server{ID: id, Status: status, Addresses: []cloud.Address{{IP: ip}}}
	}
	all := []cloud.Server{at("a", "ACTIVE", "127.0.0.1"), at("b", "ACTIVE", "127.0.0.2"), at("c", "SHUTOFF", "127.0.0.1"), {ID: "d", Status: "ACTIVE"}}
	usable := map[string]bool{}
	require.Equal(t, 1, reach(t.Context(), all, port, usable))
	require.NoError(t, listener.Close())
	require.Equal(t, 1, reach(t.Context(), all, port, usable), "once is enough: it boots only once")
	all[0].Status = "REBOOT"
	require.Zero(t, reach(t.Context(), all, port, usable))
	all[0].Status = "ACTIVE"
	require.Zero(t, reach(t.Context(), all, port, usable), "it must answer again")
}
