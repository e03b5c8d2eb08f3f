package sim_test

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/sim"
)

func inject(t *testing.T, lab *sim.Lab, f sim.Fault) (undo func()) {
	t.Helper()
	undo, err := lab.Inject(f)
	require.NoError(t, err)
	return undo
}

func TestInjectedErrors(t *testing.T) {
	lab := startLab(t, sim.Config{})
	token := adminToken(t, lab)
	list := base(lab) + "/compute/v2.1/servers"
	for name, test := range map[string]struct {
		fault sim.Fault
		path  string
		want  []int // of requests one after another
		keys  []string
	}{
		"nova":        {sim.Fault{Service: "nova", Status: 500}, "/compute/v2.1/servers", []int{500, 500}, []string{"computeFault", "message"}},
		"times":       {sim.Fault{Service: "nova", Status: 503, Times: 1}, "/compute/v2.1/servers", []int{503, 200}, []string{"serviceUnavailable", "code"}},
		"skip":        {sim.Fault{Service: "nova", Status: 429, Skip: 1, Times: 1, RetryAfter: 2 * time.Second}, "/compute/v2.1/servers", []int{200, 429, 200}, []string{"overLimit", "retryAfter"}},
		"method":      {sim.Fault{Service: "nova", Method: "POST", Status: 500}, "/compute/v2.1/servers", []int{200}, nil},
		"path":        {sim.Fault{Path: "/v2.1/servers/*", Status: 500}, "/compute/v2.1/servers", []int{200}, nil},
		"path too":    {sim.Fault{Path: "/v2.1/servers/*", Status: 500}, "/compute/v2.1/servers/x", []int{500}, []string{"computeFault", "message"}},
		"other":       {sim.Fault{Service: "glance", Status: 500}, "/compute/v2.1/servers", []int{200}, nil},
		"glance":      {sim.Fault{Service: "glance", Status: 503}, "/image/v2/images", []int{503}, []string{"message"}},
		"neutron":     {sim.Fault{Service: "neutron", Status: 500}, "/network/v2.0/networks", []int{500}, []string{"NeutronError", "type"}},
		"placement":   {sim.Fault{Service: "placement", Status: 500}, "/placement/resource_providers", []int{500}, []string{"errors"}},
		"keystone":    {sim.Fault{Service: "keystone", Status: 503}, "/identity/v3/projects", []int{503}, []string{"error", "message"}},
		"token":       {sim.Fault{Service: "nova", Status: 401, Times: 1}, "/compute/v2.1/servers", []int{401, 200}, []string{"error", "title"}},
		"log in":      {sim.Fault{Service: "keystone", Status: 401}, "/identity/v3/projects", []int{401}, []string{"error", "title"}},
		"never":       {sim.Fault{Service: "nova", Status: 500, Probability: 1e-12}, "/compute/v2.1/servers", []int{200, 200}, nil},
		"only slower": {sim.Fault{Service: "nova", Delay: time.Millisecond}, "/compute/v2.1/servers", []int{200}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			undo := inject(t, lab, test.fault)
			for _, want := range test.want {
				a := do(t, "GET", base(lab)+test.path, token, "")
				require.Equal(t, want, a.status, a.body)
				if want >= 400 {
					require.NotNil(t, a.field(t, test.keys...), a.body)
				}
			}
			undo()
			undo() // a second time is fine
			require.Equal(t, 200, do(t, "GET", list, token, "").status)
		})
	}
	require.Equal(t, 2, lab.Requests()[sim.Request{Service: "nova", Method: "GET", Route: "/v2.1/servers", Status: 500}])
}

func TestInjectRefuses(t *testing.T) {
	lab := startLab(t, sim.Config{})
	for _, f := range []sim.Fault{{}, {Status: 200}, {Status: 500, Path: "["}, {Status: 500, Probability: 2}, {Delay: -1}} {
		_, err := lab.Inject(f)
		require.ErrorContains(t, err, "injecting a fault", f)
	}
}

func TestDelayAndHang(t *testing.T) {
	lab := startLab(t, sim.Config{})
	token := adminToken(t, lab)
	list := base(lab) + "/compute/v2.1/servers"
	undo := inject(t, lab, sim.Fault{Service: "nova", Delay: 50 * time.Millisecond})
	began := time.Now()
	require.Equal(t, 200, do(t, "GET", list, token, "").status)
	require.GreaterOrEqual(t, time.Since(began), 50*time.Millisecond)
	undo()

	undo = inject(t, lab, sim.Fault{Service: "nova", Hang: true})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "POST", list, http.NoBody)
	require.NoError(t, err)
	_, err = http.DefaultClient.Do(r)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Eventually(t, func() bool {
		return lab.Requests()[sim.Request{Service: "nova", Method: "POST", Route: "", Status: 0}] == 1
	}, patience, time.Millisecond, "the lab notices that the client has gone")

	answered := make(chan int, 1)
	go func() { answered <- do(t, "GET", list, token, "").status }()
	select {
	case status := <-answered:
		t.Fatalf("answered %d", status)
	case <-time.After(30 * time.Millisecond):
	}
	undo()
	require.Equal(t, 200, <-answered, "goes on after undo")
}

func TestProbabilityIsSeeded(t *testing.T) {
	run := func() (hits []int) {
		lab := startLab(t, sim.Config{Seed: 7})
		token := adminToken(t, lab)
		inject(t, lab, sim.Fault{Service: "nova", Status: 500, Probability: 0.5})
		for i := range 20 {
			if do(t, "GET", base(lab)+"/compute/v2.1/limits", token, "").status == 500 {
				hits = append(hits, i)
			}
		}
		return hits
	}
	first := run()
	require.NotEmpty(t, first)
	require.Less(t, len(first), 20)
	require.Equal(t, first, run())
}

func TestLoseBuilds(t *testing.T) {
	lab := startLab(t, sim.Config{})
	c := compute(t, lab.Admin(), "2.93")
	undo, err := lab.LoseBuilds("", 1)
	require.NoError(t, err)
	defer undo()
	one, other := create(t, lab, c, servers.CreateOpts{}), create(t, lab, c, servers.CreateOpts{})
	status := func(id string) string { s, _ := lab.Server(id); return s.Status }
	require.Eventually(t, func() bool { return status(one) == "ACTIVE" || status(other) == "ACTIVE" }, patience, time.Millisecond)
	lost := one
	if status(one) == "ACTIVE" {
		lost = other
	}
	require.Equal(t, "BUILD", status(lost))
	require.Len(t, lab.Placement.Consumers(), 2, "Placement counts it")
	await(t, c, create(t, lab, c, servers.CreateOpts{}), "ACTIVE")
	require.Equal(t, "BUILD", status(lost))
	require.NoError(t, servers.Delete(t.Context(), c, lost).ExtractErr())
	gone(t, c, lost)
}

func TestKillDesktop(t *testing.T) {
	lab := startLab(t, sim.Config{})
	c := compute(t, lab.Admin(), "2.93")
	id := create(t, lab, c, servers.CreateOpts{})
	await(t, c, id, "ACTIVE")
	reach := func() error {
		s, ok := lab.Server(id)
		require.True(t, ok)
		conn, err := net.DialTimeout("tcp", net.JoinHostPort(s.Console.Host, strconv.Itoa(s.Console.Port)), patience)
		if err == nil {
			_ = conn.Close()
		}
		return err
	}
	require.NoError(t, reach())
	undo, err := lab.KillDesktop(id)
	require.NoError(t, err)
	require.Error(t, reach())
	require.Equal(t, "ACTIVE", await(t, c, id, "ACTIVE").Status, "Nova does not know")
	require.NoError(t, undo(t.Context()))
	require.NoError(t, reach())
	_, err = lab.KillDesktop("nobody")
	require.Error(t, err)
}

func TestRefuseConsoles(t *testing.T) {
	lab := startLab(t, sim.Config{Servers: []sim.ServerSeed{{Name: "a"}, {Name: "b"}}})
	token := adminToken(t, lab)
	ask := func(i int) int {
		return do(t, "POST", base(lab)+"/compute/v2.1/servers/"+lab.Servers()[i].ID+"/remote-consoles", token,
			`{"remote_console":{"protocol":"spice","type":"spice-html5"}}`, "OpenStack-API-Version: compute 2.93").status
	}
	undo := lab.RefuseConsoles(lab.Servers()[0].ID, 409)
	require.Equal(t, []int{409, 200}, []int{ask(0), ask(1)})
	undo()
	require.Equal(t, 200, ask(0))
	defer lab.RefuseConsoles("", 500)()
	require.Equal(t, []int{500, 500}, []int{ask(0), ask(1)})
}

func TestBootsPerHost(t *testing.T) {
	var now, most atomic.Int32
	lab := startLab(t, sim.Config{Hosts: []sim.Host{{Name: "a"}, {Name: "b"}}, BootsPerHost: 2, Desktops: desktops(func() {
		n := now.Add(1)
		for {
			if old := most.Load(); n <= old || most.CompareAndSwap(old, n) {
				break
			}
		}
		time.Sleep(5 * time.Millisecond) // a boot
		now.Add(-1)
	})})
	c := compute(t, lab.Admin(), "2.93")
	create(t, lab, c, servers.CreateOpts{Min: 12})
	require.Eventually(t, func() bool {
		for _, s := range lab.Servers() {
			if s.Status != "ACTIVE" {
				return false
			}
		}
		return true
	}, patience, time.Millisecond)
	require.LessOrEqual(t, most.Load(), int32(4))
	require.Len(t, lab.Servers(), 12)
}

// desktops are none; booting them calls the function.
type desktops func()

func (d desktops) Boot(context.Context, string) (sim.Console, error) {
	d()
	return sim.Console{Host: "127.0.0.1", Port: 5900}, nil
}
func (d desktops) Shutdown(string)  {}
func (d desktops) Kill(string) bool { return true }

// TestManyAtOnce creates, reads, stops and deletes servers from many clients, also while they are built: nothing is left.
func TestManyAtOnce(t *testing.T) {
	lab := startLab(t, sim.Config{Boot: func(r *randSource) time.Duration { return time.Duration(r.IntN(3)) * time.Millisecond }})
	c := compute(t, lab.Admin(), "2.93")
	var clients sync.WaitGroup
	for worker := range 8 {
		clients.Go(func() {
			for i := range 10 {
				o := servers.CreateOpts{
					Name: "w", FlavorRef: lab.FlavorID("desktop.small"), ImageRef: lab.ImageID("desktop"), Networks: "auto",
				}
				s, err := servers.Create(t.Context(), c, o, nil).Extract()
				if err != nil {
					t.Error(err)
					return
				}
				if (worker+i)%2 == 0 {
					deadline := time.Now().Add(patience)
					for time.Now().Before(deadline) {
						if got, ok := lab.Server(s.ID); ok && got.Status == "ACTIVE" {
							break
						}
						time.Sleep(time.Millisecond)
					}
					_ = servers.Stop(t.Context(), c, s.ID).ExtractErr()
				}
				if _, err := servers.List(c, servers.ListOpts{Limit: 5}).AllPages(t.Context()); err != nil {
					// A marker may be deleted between two pages.
					if _, ok := lab.Server(s.ID); !ok {
						t.Error(err)
					}
				}
				for range 2 { // a second time is as good
					_ = servers.Delete(t.Context(), c, s.ID).ExtractErr()
				}
			}
		})
	}
	clients.Wait()
	require.Eventually(t, func() bool { return len(lab.Servers()) == 0 }, patience, time.Millisecond)
	require.Empty(t, lab.Placement.Consumers())
	l := lab.Requests()[sim.Request{Service: "nova", Method: "POST", Route: "/v2.1/servers", Status: 202}]
	require.Equal(t, 80, l)
}
