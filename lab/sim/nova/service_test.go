package nova_test

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/hypervisors"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/services"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/sim/nova"
)

func serviceOf(t *testing.T, c *cloud, host string) services.Service {
	t.Helper()
	pages, err := services.List(c.client("admin", "2.93"), services.ListOpts{Binary: "nova-compute", Host: host}).AllPages(t.Context())
	require.NoError(t, err)
	list, err := services.ExtractServices(pages)
	require.NoError(t, err)
	require.Len(t, list, 1)
	return list[0]
}

func serviceID(t *testing.T, c *cloud, host string) string {
	t.Helper()
	return serviceOf(t, c, host).ID
}

func TestDisabledHostsGetNoServers(t *testing.T) {
	c := newCloud(t, nova.Config{})
	admin := c.client("admin", "2.93")
	reason := "new disks"
	for _, h := range []string{"a", "b"} {
		got, err := services.Update(t.Context(), admin, serviceID(t, c, h), services.UpdateOpts{
			Status: services.ServiceDisabled, DisabledReason: reason,
		}).Extract()
		require.NoError(t, err)
		require.Equal(t, "disabled", got.Status)
		require.Equal(t, reason, got.DisabledReason)
	}
	for range 4 {
		require.Equal(t, "c", c.await(t, c.create(t, ""), "ACTIVE").Host)
	}
	full := c.await(t, c.create(t, ""), "ERROR")
	require.Equal(t, "No valid host was found. ", full.Fault)
	require.Equal(t, "No valid host was found. ", c.await(t, c.create(t, `,"availability_zone":"nova:a"`), "ERROR").Fault, "also if it is forced")
	s, _ := c.Server(full.ID)
	require.Empty(t, s.Host)
	require.Contains(t, c.do(t, 200, "GET /os-hypervisors", "").body, `"status":"disabled"`)

	// The form before 2.53.
	a := c.ask(t, "admin", "2.52", "PUT /os-services/enable", `{"host":"a","binary":"nova-compute"}`)
	require.Equal(t, `{"service":{"binary":"nova-compute","host":"a","status":"enabled"}}`, a.body)
	require.Equal(t, "a", c.await(t, c.create(t, ""), "ACTIVE").Host)
	a = c.ask(t, "admin", "2.52", "PUT /os-services/disable-log-reason", `{"host":"a","binary":"nova-compute","disabled_reason":"x"}`)
	require.Equal(t, `{"service":{"binary":"nova-compute","disabled_reason":"x","host":"a","status":"disabled"}}`, a.body)
	a = c.ask(t, "admin", "2.11", "PUT /os-services/force-down", `{"host":"a","binary":"nova-compute","forced_down":true}`)
	require.Equal(t, `{"service":{"binary":"nova-compute","forced_down":true,"host":"a"}}`, a.body)
	require.Equal(t, "down", serviceOf(t, c, "a").State)
}

func TestServicesRefuse(t *testing.T) {
	c := newCloud(t, nova.Config{})
	id := serviceID(t, c, "a")
	for _, test := range []struct {
		who, version, request, body string
		status                      int
		message                     string
	}{
		{"ann", "2.93", "PUT /os-services/" + id, `{"status":"disabled"}`, 403, "Policy doesn't allow os_compute_api:os-services:update to be performed."},
		{"admin", "2.93", "PUT /os-services/x", `{"status":"disabled"}`, 400, "Invalid uuid x"},
		{"admin", "2.93", "PUT /os-services/" + image, `{"status":"disabled"}`, 404, "Service " + image + " could not be found."},
		{"admin", "2.93", "PUT /os-services/" + id, `{}`, 400, "No updates were requested."},
		{"admin", "2.93", "PUT /os-services/" + id, `{"status":"odd"}`, 400, "'odd' is not one of ['enabled', 'disabled']"},
		{"admin", "2.93", "PUT /os-services/" + id, `{"status":"enabled","disabled_reason":"x"}`, 400, "Specifying 'disabled_reason' with status 'enabled' is invalid."},
		{"admin", "2.52", "PUT /os-services/fly", `{"host":"a","binary":"nova-compute"}`, 404, "Unknown action"},
		{"admin", "2.10", "PUT /os-services/force-down", `{"host":"a","binary":"nova-compute"}`, 404, "Unknown action"},
		{"admin", "2.11", "PUT /os-services/force-down", `{"host":"a","binary":"nova-compute"}`, 400, "Missing forced_down field"},
		{"admin", "2.52", "PUT /os-services/disable-log-reason", `{"host":"a","binary":"nova-compute"}`, 400, "Missing disabled reason field"},
		{"admin", "2.52", "PUT /os-services/disable", `{"host":"a"}`, 400, "'binary' is a required property"},
		{"admin", "2.52", "PUT /os-services/disable", `{"host":"x","binary":"nova-compute"}`, 404, "Host 'x' is not mapped to any cell"},
		{"admin", "2.52", "PUT /os-services/disable", `{"host":"controller","binary":"nova-scheduler"}`, 400, "Only nova-compute services can be updated."},
		{"admin", "2.93", "GET /os-services?odd=1", "", 400, "('odd' was unexpected)"},
	} {
		a := c.ask(t, test.who, test.version, test.request, test.body)
		require.Equal(t, test.status, a.status, "%s %s: %s", test.request, test.body, a.body)
		require.Contains(t, a.message(t), test.message, test.request)
	}
	require.Error(t, c.SetHostDown("x", true))
}

// TestHostDown: a nova-compute that stops is noticed after a minute; what was sent to it until then waits for it.
func TestHostDown(t *testing.T) {
	c := newCloud(t, nova.Config{})
	old := c.create(t, `,"host":"a"`)
	c.await(t, old, "ACTIVE")
	require.NoError(t, c.SetHostDown("a", true))
	require.Equal(t, "up", serviceOf(t, c, "a").State, "nobody knows yet")
	waits := c.create(t, `,"host":"a"`)
	require.Eventually(t, func() bool { return used(c, "a") == 2048 }, patience, time.Millisecond, "it was scheduled there")
	c.act(t, old, `{"os-stop":null}`)
	c.clock.add(61 * time.Second)
	require.Equal(t, "down", serviceOf(t, c, "a").State)
	require.Less(t, serviceOf(t, c, "a").UpdatedAt, c.clock.time().Add(-60*time.Second).UTC())
	hypervisor, err := hypervisors.Get(t.Context(), c.client("admin", "2.87"), hostID("a")).Extract()
	require.NoError(t, err)
	require.Equal(t, "down", hypervisor.State)
	_, err = hypervisors.GetUptime(t.Context(), c.client("admin", "2.87"), hostID("a")).Extract()
	require.True(t, gophercloud.ResponseCodeIs(err, http.StatusBadRequest), err)
	require.Contains(t, c.do(t, 200, "GET /servers/"+old, "").body, `"host_status":"UNKNOWN"`)
	for range 4 {
		require.NotEqual(t, "a", c.await(t, c.create(t, ""), "ACTIVE").Host)
	}
	require.Equal(t, "No valid host was found. There are not enough hosts available.", c.await(t, c.create(t, `,"host":"a"`), "ERROR").Fault)
	for id, task := range map[string]string{waits: "scheduling", old: "powering-off"} {
		s, _ := c.Server(id)
		require.Equal(t, task, s.Task)
	}
	// One that is deleted now goes without its host.
	gone := c.create(t, `,"availability_zone":"nova:a"`) // forced: not even this keeps it away
	require.Eventually(t, func() bool { return used(c, "a") == 3072 }, patience, time.Millisecond)
	c.do(t, 204, "DELETE /servers/"+gone, "")
	require.Eventually(t, func() bool { _, there := c.Server(gone); return !there && used(c, "a") == 2048 }, patience, time.Millisecond)

	require.NoError(t, c.SetHostDown("a", false))
	require.Equal(t, "a", c.await(t, waits, "ACTIVE").Host)
	c.await(t, old, "SHUTOFF")
	require.Equal(t, "up", serviceOf(t, c, "a").State)
}

// TestHostDownInABoot: what is booting on a host does not come up when its nova-compute ends, and what was killed there does not either.
func TestHostDownInABoot(t *testing.T) {
	booting, boot := make(chan struct{}, 1), make(chan struct{})
	c := newCloud(t, nova.Config{Boot: func(*rand.Rand) time.Duration {
		booting <- struct{}{}
		<-boot
		return 0
	}})
	id := c.create(t, `,"host":"a"`)
	<-booting
	require.NoError(t, c.SetHostDown("a", true))
	close(boot)
	require.Never(t, func() bool { s, _ := c.Server(id); return s.Status != "BUILD" }, 50*time.Millisecond, time.Millisecond)
	require.NoError(t, c.SetHostDown("a", false))
	s, _ := c.Server(id)
	require.Equal(t, "ERROR", s.Status)
	require.Empty(t, s.Task)
	require.Empty(t, s.Fault, "nova-compute does not say why")
	require.Equal(t, "a", s.Host)
	require.Equal(t, 1024, used(c, "a"), "until it is deleted")
	require.Never(t, func() bool { s, _ := c.Server(id); return s.Status != "ERROR" }, 50*time.Millisecond, time.Millisecond)
	require.Zero(t, c.desktops.count())
	id = c.create(t, `,"host":"a"`)
	c.await(t, id, "ACTIVE")

	undo, err := c.KillDesktop(id)
	require.NoError(t, err)
	require.NoError(t, c.SetHostDown("a", true))
	booted := c.desktops.count()
	require.NoError(t, undo(t.Context()))
	require.Equal(t, booted, c.desktops.count())
	s, _ = c.Server(id)
	require.Equal(t, "ACTIVE", s.Status)
	require.Empty(t, s.Task)
	require.NoError(t, c.SetHostDown("a", false))
}

// TestNovaComputeRestarts: what it was building is broken, as _init_instance of nova/compute/manager.py leaves it. What waits in its
// queue is broken for the moment until it takes the message (_error_out_instances_whose_build_was_interrupted), and then built; what was
// lost stays broken. What it was doing else goes on.
func TestNovaComputeRestarts(t *testing.T) {
	hold := make(gate)
	var slow atomic.Bool
	heard := &listener{}
	c := newCloud(t, nova.Config{Notifier: heard, Boot: func(r *rand.Rand) time.Duration {
		if slow.Load() {
			return hold.boot(r)
		}
		return 0
	}})
	rebuilt, rebooted := c.create(t, `,"host":"a"`), c.create(t, `,"host":"a"`)
	c.await(t, rebuilt, "ACTIVE")
	c.await(t, rebooted, "ACTIVE")
	undo, err := c.LoseBuilds("a", 1)
	require.NoError(t, err)
	defer undo()
	lost := c.create(t, `,"host":"a"`)
	require.Eventually(t, func() bool { return used(c, "a") == 3072 }, patience, time.Millisecond)
	slow.Store(true)
	task := func(id string) string { s, _ := c.Server(id); return s.Task }
	c.act(t, rebuilt, `{"rebuild":{"imageRef":"`+image+`"}}`)
	require.Eventually(t, func() bool { return task(rebuilt) == "rebuild_spawning" }, patience, time.Millisecond)
	c.act(t, rebooted, `{"reboot":{"type":"HARD"}}`)
	require.Eventually(t, func() bool { return task(rebooted) == "reboot_started_hard" }, patience, time.Millisecond)

	require.NoError(t, c.SetHostDown("a", true))
	waits := c.create(t, `,"host":"a"`)
	require.Eventually(t, func() bool { return used(c, "a") == 4096 }, patience, time.Millisecond)
	slow.Store(false)
	require.NoError(t, c.SetHostDown("a", false))
	for _, id := range []string{rebuilt, lost} {
		s, _ := c.Server(id)
		require.Equal(t, "ERROR", s.Status)
		require.Empty(t, s.Task)
		require.Empty(t, s.Fault)
	}
	close(hold)
	c.await(t, rebooted, "ACTIVE")
	require.Equal(t, "a", c.await(t, waits, "ACTIVE").Host)
	require.Eventually(t, func() bool {
		states := statesOf(heard, waits)
		return len(states) > 0 && states[len(states)-1] == "active"
	}, patience, time.Millisecond)
	require.Equal(t, []string{"building", "error", "building", "active"}, slices.Compact(statesOf(heard, waits)))
	for _, id := range []string{rebuilt, lost} {
		s, _ := c.Server(id)
		require.Equal(t, "ERROR", s.Status)
		c.do(t, 204, "DELETE /servers/"+id, "")
	}
	require.Eventually(t, func() bool { return used(c, "a") == 2048 }, patience, time.Millisecond)
}

// statesOf are those that a server's updates told.
func statesOf(l *listener, id string) (states []string) {
	for _, n := range l.all() {
		if n.event == "compute.instance.update" && n.payload["instance_id"] == id {
			states = append(states, n.payload["state"].(string))
		}
	}
	return states
}

func TestHypervisors(t *testing.T) {
	c := newCloud(t, nova.Config{})
	id := c.create(t, `,"host":"b"`)
	c.await(t, id, "ACTIVE")
	ctx := t.Context()
	stats, err := hypervisors.GetStatistics(ctx, c.client("admin", "2.87")).Extract()
	require.NoError(t, err)
	require.Equal(t, hypervisors.Statistics{
		Count: 3, VCPUs: 12, VCPUsUsed: 1, MemoryMB: 12288, MemoryMBUsed: 1024, FreeRamMB: 11264, LocalGB: 3000, LocalGBUsed: 10,
		FreeDiskGB: 2990, DiskAvailableLeast: 2990, RunningVMs: 1,
	}, *stats)
	uptime, err := hypervisors.GetUptime(ctx, c.client("admin", "2.87"), hostID("b")).Extract()
	require.NoError(t, err)
	require.Contains(t, uptime.Uptime, "load average")
	require.Equal(t, 404, c.ask(t, "admin", "2.88", "GET /os-hypervisors/statistics", "").status)
	require.Contains(t, c.do(t, 200, "GET /os-hypervisors/"+hostID("b")+"?with_servers=true", "").body, `"servers":[{"name":"instance-00000001","uuid":"`+id+`"}]`)
	require.Contains(t, c.do(t, 200, "GET /os-hypervisors?limit=2", "").body, `marker=`+hostID("b"))
	require.NotContains(t, c.do(t, 200, "GET /os-hypervisors?marker="+hostID("b"), "").body, hostID("b"))
	require.Contains(t, c.ask(t, "admin", "2.52", "GET /os-hypervisors/b/servers", "").body, id)
	require.Equal(t, 404, c.ask(t, "admin", "2.52", "GET /os-hypervisors/x/search", "").status)
	require.Contains(t, c.do(t, 400, "GET /os-hypervisors?limit=1&hypervisor_hostname_pattern=a", "").message(t), "either malformed or otherwise incorrect.")
	require.Contains(t, c.do(t, 400, "GET /os-hypervisors?with_servers=maybe", "").message(t), "Invalid input for query parameters with_servers. Value: maybe.")
	require.Equal(t, "marker [x] not found", c.do(t, 400, "GET /os-hypervisors?marker=x", "").message(t))
	require.Equal(t, "Policy doesn't allow os_compute_api:os-hypervisors:list-detail to be performed.",
		c.ask(t, "ann", "2.93", "GET /os-hypervisors/detail", "").message(t))
}
