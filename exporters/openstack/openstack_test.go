package openstack

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/exporters/collector"
	"github.com/deskstorm/deskstorm/internal/access"
	"github.com/deskstorm/deskstorm/internal/configfile"
	"github.com/deskstorm/deskstorm/lab/sim"
)

const patience = 20 * time.Second

// admin is the lab's administrator.
func admin(t testing.TB, lab *sim.Lab) *cloud.Cloud {
	t.Helper()
	config, err := cloud.New(lab.Admin())
	require.NoError(t, err)
	c, err := cloud.Connect(t.Context(), config)
	require.NoError(t, err)
	return c
}

func TestServers(t *testing.T) {
	lab, e := startLab(t, sim.Config{Servers: desks(10), Hosts: []sim.Host{{VCPUs: 2, CPURatio: 12}}}, Config{})
	v, err := ask(t, e, "servers")
	require.NoError(t, err)
	require.Equal(t, values{"ACTIVE,nova": 10}, v.positive(servers))
	require.Len(t, v, len(statuses)+1+len(tasks)+1+len(cloud.FaultClasses())+1, "states are 0, not absent")

	c := admin(t, lab)
	create := func(name string) {
		_, err := c.CreateServer(t.Context(), cloud.ServerSpec{Name: name, FlavorID: lab.FlavorID("desktop.small"), ImageID: lab.ImageID("desktop")})
		require.NoError(t, err)
	}
	undo, err := lab.LoseBuilds("", 1)
	require.NoError(t, err)
	defer undo()
	create("lost")
	create("fits")
	create("too many") // 24 VCPUs are 12 desktops
	require.NoError(t, c.StopServer(t.Context(), lab.Servers()[0].ID))
	require.NoError(t, c.DeleteServer(t.Context(), lab.Servers()[1].ID))
	want := values{"ACTIVE,nova": 9, "SHUTOFF,nova": 1, "BUILD,none": 1, "ERROR,none": 1}
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		v, err = ask(t, e, "servers")
		require.NoError(c, err)
		require.Equal(c, want, v.positive(servers))
	}, patience, 50*time.Millisecond)
	require.Equal(t, values{"no-valid-host": 1}, v.positive(serverFaults))
	require.NotEmpty(t, v.positive(serverTasks), "one waits for ever")
	require.Empty(t, v.positive(notRunning))
}

func TestEmitServers(t *testing.T) {
	all := map[string]cloud.ServerState{
		"a": {Status: "ACTIVE", PowerState: 4, Zone: "z0"}, "b": {Status: "ODD", TaskState: "odd", Zone: "z0"},
		"c": {Status: "ERROR", Fault: "Build of instance aborted: Failed to allocate the network(s)"},
	}
	for i := range maxZones + 10 {
		all[fmt.Sprint(i)] = cloud.ServerState{Status: "SHUTOFF", Zone: fmt.Sprintf("zone-%03d", i)}
	}
	v := values{}
	emitServers(all, func(m prometheus.Metric) { v.add(t, m) })
	require.Equal(t, 1.0, v[notRunning.Name+" "])
	require.Equal(t, values{"network": 1}, v.positive(serverFaults))
	require.Equal(t, values{other: 1}, v.positive(serverTasks))
	s := v.positive(servers)
	require.Equal(t, 1.0, s["ACTIVE,z0"]+s["ACTIVE,other"])
	require.Equal(t, 12.0, s["SHUTOFF,other"]+s["ERROR,other"]+s["ACTIVE,other"]+s["other,other"]-0, "%v", s)
}

// clock is the lab's time.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func TestServicesAndAgents(t *testing.T) {
	var c clock
	lab, e := startLab(t, sim.Config{Hosts: []sim.Host{{Name: "a"}, {Name: "b"}, {Name: "c"}}, Now: c.now}, Config{})
	v, err := ask(t, e, "services")
	require.NoError(t, err)
	healthy := values{"nova-compute,nova,up": 3, "nova-conductor,internal,up": 1, "nova-scheduler,internal,up": 1}
	require.Equal(t, healthy, v.positive(services))
	v, err = ask(t, e, "agents")
	require.NoError(t, err)
	require.Equal(t, values{"DHCP agent,up": 3, "Open vSwitch agent,up": 3}, v.positive(agents))

	require.NoError(t, lab.Nova.SetHostDown("a", true))
	require.NoError(t, lab.Neutron.SetAgentDown("b", "neutron-dhcp-agent", true))
	c.ahead.Store(int64(2 * time.Minute))
	v, err = ask(t, e, "services")
	require.NoError(t, err)
	require.Equal(t, 2.0, v[services.Name+" nova-compute,nova,up"])
	require.Equal(t, 1.0, v[services.Name+" nova-compute,nova,down"])
	v, err = ask(t, e, "agents")
	require.NoError(t, err)
	require.Equal(t, values{"DHCP agent,up": 2, "DHCP agent,down": 1, "Open vSwitch agent,up": 3}, v.positive(agents))
}

func TestPlacement(t *testing.T) {
	lab, e := startLab(t, sim.Config{
		Hosts:   []sim.Host{{Name: "a", VCPUs: 10, CPURatio: 2, RAMRatio: 1}, {Name: "b", VCPUs: 7, CPURatio: 1.5}, {Name: "c"}},
		Servers: desks(4),
	}, Config{})
	aggregate(t, lab, "call-centre", "a", "b")
	v, err := ask(t, e, "placement")
	require.NoError(t, err)
	hosts := lab.Hosts()
	sum := func(of func(sim.HostState) sim.Amount) (ab, c sim.Amount) {
		for _, h := range hosts {
			to := &ab
			if h.Name == "c" {
				to = &c
			}
			a := of(h)
			to.Used, to.Capacity, to.Total = to.Used+a.Used, to.Capacity+a.Capacity, to.Total+a.Total
		}
		return ab, c
	}
	for class, of := range map[string]func(sim.HostState) sim.Amount{
		"VCPU":      func(h sim.HostState) sim.Amount { return h.VCPUs },
		"MEMORY_MB": func(h sim.HostState) sim.Amount { return h.MemoryMB },
	} {
		ab, c := sum(of)
		for aggregate, want := range map[string]sim.Amount{"call-centre": ab, "none": c,
			"all": {Used: ab.Used + c.Used, Capacity: ab.Capacity + c.Capacity, Total: ab.Total + c.Total}} {
			key := " " + aggregate + "," + class
			require.Equal(t, want, sim.Amount{Used: int(v[used.Name+key]), Capacity: int(v[capacity.Name+key]), Total: int(v[inventory.Name+key])},
				key)
		}
	}
	require.Equal(t, 30.0, v[capacity.Name+" call-centre,VCPU"], "10 x 2 + int(7 x 1.5)")
	require.Equal(t, 8.0, v[used.Name+" all,VCPU"])
	require.Equal(t, 2*512.0, v[reserved.Name+" call-centre,MEMORY_MB"])
	require.Equal(t, 1.5, v[ratio.Name+" call-centre,VCPU,lowest"])
	require.Equal(t, 2.0, v[ratio.Name+" call-centre,VCPU,highest"])
	require.Equal(t, 2.0, v[providers.Name+" call-centre,VCPU"])
	require.Zero(t, v[overCapacity.Name+" all,VCPU"])

	// Inventories are read again only where something changed; a deleted server's usage goes all the same.
	before := reads(lab, "inventories")
	require.NoError(t, admin(t, lab).DeleteServer(t.Context(), lab.Servers()[0].ID))
	require.Eventually(t, func() bool {
		v, err = ask(t, e, "placement")
		return err == nil && v[used.Name+" all,VCPU"] == 6
	}, patience, 20*time.Millisecond)
	require.LessOrEqual(t, reads(lab, "inventories")-before, 1)

	// Without Nova the sum over all hosts is left.
	undo, err := lab.Inject(sim.Fault{Service: "nova", Status: 500})
	require.NoError(t, err)
	v, err = ask(t, e, "placement")
	require.Error(t, err)
	require.Equal(t, 6.0, v[used.Name+" all,VCPU"])
	require.NotContains(t, v, used.Name+" none,VCPU")
	undo()
	undo, err = lab.Inject(sim.Fault{Service: "placement", Path: "/resource_providers/*/usages", Status: 500, Times: 1})
	require.NoError(t, err)
	defer undo()
	v, err = ask(t, e, "placement")
	require.Error(t, err)
	require.Empty(t, v, "not half of a sum")
}

func reads(lab *sim.Lab, what string) (n int) {
	for request, times := range lab.Requests() {
		if request.Service == "placement" && request.Route == "/resource_providers/{id}/"+what {
			n += times
		}
	}
	return n
}

func TestAPIs(t *testing.T) {
	lab, e := startLab(t, sim.Config{}, Config{APITimeout: time.Second})
	for _, service := range cloud.CanaryServices() {
		v, err := ask(t, e, "api/"+service)
		require.NoError(t, err)
		require.Len(t, v.positive(apiUp), 2, service)
	}
	counted := live(t, e)
	require.Equal(t, 1.0, counted[apiRequests.Name+" keystone,token,success"])
	require.Equal(t, 1.0, counted[apiDuration.Name+" nova,list"])
	for name, test := range map[string]struct {
		service string
		fault   sim.Fault
		result  string
	}{
		"the connection is cut":   {"nova", sim.Fault{Cut: true}, "unreachable"},
		"no answer":               {"neutron", sim.Fault{Hang: true}, "timeout"},
		"an error":                {"glance", sim.Fault{Status: 500}, "server_error"},
		"a proxy's error":         {"placement", sim.Fault{Status: 503}, "server_error"},
		"too many requests":       {"nova", sim.Fault{Status: 429}, "throttled"},
		"nobody gets in":          {"keystone", sim.Fault{Status: 401}, "unauthorized"},
		"the role was taken away": {"glance", sim.Fault{Status: 403}, "forbidden"},
	} {
		t.Run(name, func(t *testing.T) {
			before := live(t, e)
			test.fault.Service = test.service
			undo, err := lab.Inject(test.fault)
			require.NoError(t, err)
			defer undo()
			v, err := ask(t, e, "api/"+test.service)
			require.Error(t, err)
			require.Len(t, v, 2)
			require.Empty(t, v.positive(apiUp))
			after := live(t, e)
			for key := range v {
				_, labels := key[:len(apiUp.Name)], key[len(apiUp.Name)+1:]
				key := apiRequests.Name + " " + labels + "," + test.result
				require.Equal(t, 1.0, after[key]-before[key], key)
			}
			for _, service := range cloud.CanaryServices() {
				if service != test.service && test.service != "keystone" {
					_, err := ask(t, e, "api/"+service)
					require.NoError(t, err, "%s goes on", service)
				}
			}
		})
	}
}

// An exporter that starts while a service is down: the others are seen.
func TestStartWithoutNova(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some 5 s")
	}
	lab, e := startLab(t, sim.Config{}, Config{APITimeout: time.Second, Timeout: time.Second})
	undo, err := lab.Inject(sim.Fault{Service: "nova", Cut: true})
	require.NoError(t, err)
	for target, fails := range map[string]bool{
		"api/keystone": false, "api/nova": true, "api/neutron": false, "agents": false, "servers": true, "services": true, "placement": true,
	} {
		v, err := ask(t, e, target)
		require.Equal(t, fails, err != nil, "%s: %v", target, err)
		if target == "placement" || target == "api/nova" {
			require.NotEmpty(t, v, target)
		}
	}
	undo()
	for _, s := range e.Sources {
		require.Eventually(t, func() bool {
			_, err := ask(t, e, s.Target)
			return err == nil
		}, patience, 50*time.Millisecond, "%s: the one that looks for Nova's version may be in a pause", s.Target)
	}
}

// Keystone is away at the start, and comes: all are asked then. Everything is by one Set, as the program runs it.
func TestSet(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some 7 s")
	}
	lab, e := startLab(t, sim.Config{Servers: desks(3)}, Config{
		Interval: 5 * time.Second, APIInterval: time.Second, PlacementInterval: 5 * time.Second, Timeout: 2 * time.Second, APITimeout: time.Second,
	})
	undo, err := lab.Inject(sim.Fault{Service: "keystone", Hang: true})
	require.NoError(t, err)
	defer undo()
	set := collector.NewSet([]collector.Exporter{e}, slog.New(slog.DiscardHandler))
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(set))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- set.Run(ctx) }()
	require.Eventually(t, set.Ready, patience, 10*time.Millisecond)
	problems, err := testutil.GatherAndLint(registry)
	require.NoError(t, err)
	require.Empty(t, problems)
	undo()
	has := func(name string) bool {
		n, err := testutil.GatherAndCount(registry, name)
		require.NoError(t, err)
		return n > 0
	}
	require.Eventually(t, func() bool {
		return has(servers.Name) && has(services.Name) && has(agents.Name) && has(capacity.Name) && has(apiDuration.Name)
	}, patience, 50*time.Millisecond)
	problems, err = testutil.GatherAndLint(registry)
	require.NoError(t, err)
	require.Empty(t, problems)
	cancel()
	require.NoError(t, <-ended)
}

func TestConfig(t *testing.T) {
	r, n := configfile.Parse([]byte(`cloud: {name: admin}
services: [nova]
logs:
  - {service: nova, files: [/var/log/nova/*.log]}
notifications: {url: {env: AMQP_URL}}
interval: 1m
`), "/etc/x.yaml", "it")
	c := Read(r, n)
	require.NoError(t, r.Err())
	want := Config{
		Cloud: &access.Cloud{Name: "admin"}, Services: []string{"nova"}, Logs: []Logs{{"nova", []string{"/var/log/nova/*.log"}}},
		Interval: time.Minute,
	}.withDefaults()
	c.Notifications = nil
	require.Equal(t, want, c)
	r, n = configfile.Parse([]byte("services: [horizon]\nlogs:\n  - {service: a, files: [x]}\n  - {service: a, files: [x]}\ntimeout: 1h\n"), "x.yaml", "it")
	Read(r, n)
	require.ErrorContains(t, r.Err(), "x.yaml:1:")
	require.ErrorContains(t, r.Err(), "each service once")
	require.ErrorContains(t, r.Err(), "timeout")
	for _, bad := range []Config{{}, {Services: []string{"x"}}, {Logs: []Logs{{"a", nil}}}, {Logs: []Logs{{"a", []string{"["}}}},
		{Cloud: &access.Cloud{Name: "none", File: "/nowhere/clouds.yaml"}}} {
		_, err := New(bad, slog.New(slog.DiscardHandler))
		require.ErrorContains(t, err, "configuring the openstack exporter")
	}
}
