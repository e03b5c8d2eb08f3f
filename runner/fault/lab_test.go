package fault_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/internal/access"
	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/lab/up"
	"github.com/deskstorm/deskstorm/runner/fault"
	"github.com/deskstorm/deskstorm/runner/native"
	"github.com/deskstorm/deskstorm/runner/target"
)

// newLab is a simulated desktop cloud of which all desktops have booted, with its switches as the target lab and OpenStack as cloud.
func newLab(t testing.TB, desktops int) (*up.Cloud, *world) {
	t.Helper()
	c, err := up.Sim(t.Context(), up.Options{Users: 4, Desktops: desktops, Ready: desktops})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	w := newWorld(t, target.Config{
		"lab":   {HTTP: &target.Web{URL: c.Control, Timeout: time.Minute}},
		"cloud": {Cloud: &access.Cloud{Name: sim.AdminCloud, File: filepath.Join(c.Dir, "clouds.yaml")}},
	})
	w.cloud = func(ctx context.Context, name string) (fault.Cloud, error) { return w.do.Cloud(ctx, name) }
	require.Eventually(t, func() bool { return len(byStatus(c)["ACTIVE"]) == 2*desktops }, 30*time.Second, 10*time.Millisecond)
	return c, w
}

// byStatus are the servers' names.
func byStatus(c *up.Cloud) map[string][]string {
	all := map[string][]string{}
	for _, s := range c.Sim.Servers() {
		all[s.Status] = append(all[s.Status], s.Name)
	}
	return all
}

// labState is what the lab says of itself.
func labState(t testing.TB, c *up.Cloud) (state struct {
	Hosts []struct {
		Name, State string
	}
	Leases struct{ Good, Missing, Late int }
	Faults []struct{ ID, Type string }
}) {
	t.Helper()
	answer, err := http.Get(c.Control + "/v1/state")
	require.NoError(t, err)
	defer answer.Body.Close()
	require.NoError(t, json.NewDecoder(answer.Body).Decode(&state))
	return state
}

func TestLab(t *testing.T) {
	c, w := newLab(t, 4)
	host := c.Sim.Hosts()[0].Name
	injects := func(name string, a native.Arguments, kind string, during func()) {
		t.Helper()
		a["target"], a["for"] = "lab", "5m"
		w.breaks(name, a, func(p fault.Plan) {
			now := labState(t, c).Faults
			require.Len(t, now, 1)
			require.Equal(t, p.ID, now[0].ID)
			require.Equal(t, kind, now[0].Type)
			during()
		})
		require.Empty(t, labState(t, c).Faults)
	}
	bind := func() (time.Duration, error) {
		began := time.Now()
		conn, err := ldap.DialURL(c.Directory.URL, ldap.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}))
		if err != nil {
			return 0, err
		}
		defer conn.Close()
		_ = conn.UnauthenticatedBind("")
		return time.Since(began), nil
	}
	nothing := func() {}

	injects("ldap.slow", native.Arguments{"delay": "300ms"}, "ldap.slow", func() {
		took, err := bind()
		require.NoError(t, err)
		require.GreaterOrEqual(t, took, 300*time.Millisecond)
	})
	took, err := bind()
	require.NoError(t, err)
	require.Less(t, took, 300*time.Millisecond)
	injects("ldap.down", native.Arguments{}, "ldap.down", func() {
		_, err := bind()
		require.Error(t, err)
	})
	_, err = bind()
	require.NoError(t, err)

	openstack, err := w.do.Cloud(t.Context(), "cloud")
	require.NoError(t, err)
	injects("api.error", native.Arguments{"service": "nova", "method": "GET", "path": "/v2.1/servers/*", "status": 500}, "api", func() {
		_, err := openstack.Servers(t.Context(), cloud.Filter{})
		require.ErrorContains(t, err, "500")
	})
	_, err = openstack.Servers(t.Context(), cloud.Filter{})
	require.NoError(t, err)

	injects("compute.down", native.Arguments{"host": host}, "host.down", func() {
		require.True(t, c.Sim.Hosts()[0].Down)
	})
	require.False(t, c.Sim.Hosts()[0].Down)
	injects("compute.down", native.Arguments{"host": host, "how": "lost"}, "compute.lost", nothing)
	injects("compute.down", native.Arguments{"how": "lost"}, "compute.lost", nothing)
	injects("host.reboot_order", native.Arguments{"host": host}, "host.reboot_without_ports", nothing)
	injects("dhcp.drop_renewals", native.Arguments{"count": 3}, "desktop.lease_stuck", nothing)
	injects("dhcp.shared_socket", native.Arguments{"fraction": 0.5, "host": host}, "desktop.lease_stuck", nothing)
	for name, a := range map[string]native.Arguments{
		"compute.down":       {"host": "nowhere"},
		"host.reboot_order":  {"ovs": "openvswitch", "host": host},
		"dhcp.drop_renewals": {"host": "nowhere"},
		"api.error":          {"service": "nova"},
		"net.loss":           {"percent": 5, "port": 1},
	} {
		a["target"], a["for"] = "lab", "1m"
		_, err := call(t, fault.Table(w.env()), "fault."+name, a)
		require.Error(t, err, name)
		t.Log(err)
	}
	require.Empty(t, labState(t, c).Faults)
}

func TestDesktops(t *testing.T) {
	t.Parallel()
	c, w := newLab(t, 6)
	all := len(c.Sim.Servers())
	stop := native.Arguments{"target": "cloud", "for": "5m", "count": 5, "all_projects": true, "seed": 7}
	becomes := func(status string, n int) {
		t.Helper()
		require.Eventually(t, func() bool { return len(byStatus(c)[status]) == n }, 30*time.Second, 10*time.Millisecond, "%v", byStatus(c))
	}
	var chosen []string
	w.breaks("desktops.stop", stop, func(p fault.Plan) {
		chosen = p.Touches.Desktops
		require.Len(t, chosen, 5)
		becomes("SHUTOFF", 5)
	})
	becomes("ACTIVE", all)

	w.breaks("desktops.stop", stop, func(p fault.Plan) { // the same ones, by the seed; booted at once, and gated
		require.Equal(t, chosen, p.Touches.Desktops)
		becomes("SHUTOFF", 5)
		for _, gate := range []int{0, 2} {
			boot := native.Arguments{"target": "cloud", "for": "5m", "count": 5, "all_projects": true}
			if gate > 0 {
				boot["gate"] = gate
			}
			w.breaks("desktops.boot", boot, func(p fault.Plan) {
				require.ElementsMatch(t, chosen, p.Touches.Desktops)
				becomes("ACTIVE", all)
			})
			becomes("SHUTOFF", 5) // as they were before
		}
	})
	becomes("ACTIVE", all)

	openstack, err := w.do.Cloud(t.Context(), "cloud")
	require.NoError(t, err)
	reboot := native.Arguments{"target": "cloud", "for": "5m", "count": 4, "all_projects": true, "gate": 2}
	w.breaks("desktops.reboot", reboot, func(p fault.Plan) {
		for _, id := range p.Touches.Desktops {
			actions, err := openstack.ServerActions(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, 1, count(actions, "reboot"), "%v", actions)
		}
	})
	becomes("ACTIVE", all)

	_, err = call(t, fault.Table(w.env()), "fault.desktops.stop",
		native.Arguments{"target": "cloud", "for": "5m", "count": 11, "all_projects": true})
	require.ErrorContains(t, err, "it hits 11 desktops; limits.desktops allows 10")
	// One is deleted meanwhile: the others are started all the same.
	result, err := call(t, fault.Table(w.env()), "fault.desktops.stop", stop)
	require.NoError(t, err)
	require.NoError(t, openstack.DeleteServer(t.Context(), chosen[2]))
	require.Eventually(t, func() bool {
		_, err := openstack.Server(t.Context(), chosen[2])
		return errors.Is(err, cloud.ErrNotFound)
	}, 30*time.Second, 10*time.Millisecond)
	require.NoError(t, w.Undo(t.Context(), result["id"].(string)))
	require.Eventually(t, func() bool { return len(byStatus(c)["SHUTOFF"]) == 0 }, 30*time.Second, 10*time.Millisecond)

	_, err = call(t, fault.Table(w.env()), "fault.desktops.stop",
		native.Arguments{"target": "cloud", "for": "5m", "count": 1, "name": "nobody-*"})
	require.ErrorContains(t, err, "1 desktops are asked for, and 0 fit")
	require.Empty(t, byStatus(c)["SHUTOFF"])
}

func count(actions []cloud.Action, name string) (n int) {
	for _, a := range actions {
		if a.Name == name {
			n++
		}
	}
	return n
}
