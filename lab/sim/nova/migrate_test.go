package nova_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/sim/nova"
	"github.com/deskstorm/deskstorm/lab/sim/placement"
)

func used(c *cloud, host string) int { return c.placement.Usage(hostID(host))[placement.MemoryMB] }

type migrationView struct {
	ID           int
	UUID, Status string
	Kind         string  `json:"migration_type"`
	Source       string  `json:"source_compute"`
	Dest         *string `json:"dest_compute"`
	DestNode     *string `json:"dest_node"`
	Links        []any
	Total        *int `json:"memory_total_bytes"`
}

func migrations(t *testing.T, c *cloud, path string) []migrationView {
	t.Helper()
	var list struct{ Migrations []migrationView }
	c.do(t, 200, "GET "+path, "").into(t, &list)
	return list.Migrations
}

func TestLiveMigration(t *testing.T) {
	hold := make(gate)
	slow := false
	c := newCloud(t, nova.Config{Boot: func(r *rand.Rand) time.Duration {
		if slow {
			return hold.boot(r)
		}
		return 0
	}})
	id := c.create(t, `,"host":"a"`)
	require.Equal(t, "a", c.await(t, id, "ACTIVE").Host)
	slow = true // nothing boots now
	dest := "b"
	require.NoError(t, servers.LiveMigrate(t.Context(), c.client("admin", "2.93"), id, servers.LiveMigrateOpts{
		Host: &dest, BlockMigration: new(false),
	}).ExtractErr())
	require.Eventually(t, func() bool {
		return len(migrations(t, c, "/servers/"+id+"/migrations")) == 1 &&
			migrations(t, c, "/servers/"+id+"/migrations")[0].Status == "running"
	}, patience, time.Millisecond)
	s, _ := c.Server(id)
	require.Equal(t, "MIGRATING", s.Status)
	require.Equal(t, "a", s.Host)
	require.Equal(t, 1024, used(c, "a"), "the migration holds it")
	require.Equal(t, 1024, used(c, "b"))
	going := migrations(t, c, "/servers/"+id+"/migrations")[0]
	require.Equal(t, 1024<<20, *going.Total)
	require.Len(t, migrations(t, c, "/os-migrations")[0].Links, 2)
	require.Contains(t, c.placement.Consumers(), going.UUID)
	require.Equal(t, "Cannot 'get_spice_console' instance "+id+" while it is in task_state migrating",
		c.do(t, 409, "POST /servers/"+id+"/remote-consoles", `{"remote_console":{"protocol":"spice","type":"spice-html5"}}`).message(t))
	hold <- struct{}{}
	require.Equal(t, "b", c.await(t, id, "ACTIVE").Host)
	require.Eventually(t, func() bool { return migrations(t, c, "/os-migrations")[0].Status == "completed" }, patience, time.Millisecond)
	require.Zero(t, used(c, "a"))
	require.Equal(t, 1024, used(c, "b"))
	require.NotContains(t, c.placement.Consumers(), going.UUID)
	require.Empty(t, migrations(t, c, "/servers/"+id+"/migrations"))
	require.Contains(t, c.do(t, 404, fmt.Sprintf("GET /servers/%s/migrations/%d", id, going.ID), "").message(t), "is not in progress.")
	var actions struct {
		Actions []struct {
			Action    string
			RequestID string `json:"request_id"`
		} `json:"instanceActions"`
	}
	c.do(t, 200, "GET /servers/"+id+"/os-instance-actions", "").into(t, &actions)
	require.Equal(t, "live-migration", actions.Actions[0].Action)
	require.Equal(t, []string{
		"compute_post_live_migration_at_destination b", "compute_pre_live_migration b", "compute_live_migration a",
		"compute_check_can_live_migrate_source a", "compute_check_can_live_migrate_destination b",
		"conductor_live_migrate_instance controller",
	}, events(t, c, id, actions.Actions[0].RequestID))

	// One that nobody wants any more ends where it began.
	c.act(t, id, `{"os-migrateLive":{"host":null,"block_migration":"auto"}}`)
	require.Eventually(t, func() bool {
		list := migrations(t, c, "/servers/"+id+"/migrations")
		return len(list) == 1 && list[0].Status == "running"
	},
		patience, time.Millisecond)
	c.do(t, 202, fmt.Sprintf("DELETE /servers/%s/migrations/%d", id, migrations(t, c, "/servers/"+id+"/migrations")[0].ID), "")
	hold <- struct{}{} // the end of what cannot be interrupted here
	require.Equal(t, "b", c.await(t, id, "ACTIVE").Host)
	require.Eventually(t, func() bool { return migrations(t, c, "/os-migrations?limit=1")[0].Status == "cancelled" }, patience, time.Millisecond)
	require.Equal(t, 1024, used(c, "b"))
	require.Zero(t, used(c, "a")+used(c, "c"))
	require.Equal(t, 409, c.ask(t, "admin", "2.93", "DELETE /servers/"+id+"/migrations/1", "").status)
}

// events of an action, newest first, with their hosts.
func events(t *testing.T, c *cloud, id, request string) []string {
	t.Helper()
	var action struct {
		Action struct {
			Events []struct{ Event, Host string }
		} `json:"instanceAction"`
	}
	c.do(t, 200, "GET /servers/"+id+"/os-instance-actions/"+request, "").into(t, &action)
	var list []string
	for _, e := range action.Action.Events {
		list = append(list, e.Event+" "+e.Host)
	}
	return list
}

func TestLiveMigrationIsRefused(t *testing.T) {
	c := newCloud(t, nova.Config{})
	id := c.create(t, `,"host":"a"`)
	c.await(t, id, "ACTIVE")
	for range 4 {
		c.await(t, c.create(t, `,"availability_zone":"nova:b"`), "ACTIVE")
	}
	for _, test := range []struct {
		who, version, body string
		status             int
		message            string
	}{
		{"ann", "2.93", `{"os-migrateLive":{"host":"b","block_migration":"auto"}}`, 403, "Policy doesn't allow os_compute_api:os-migrate-server:migrate_live to be performed."},
		{"admin", "2.93", `{"os-migrateLive":{"block_migration":"auto"}}`, 400, "'host' is a required property"},
		{"admin", "2.24", `{"os-migrateLive":{"host":"b","block_migration":"auto","disk_over_commit":false}}`, 400, "'auto' is not one of [True, 'True'"},
		{"admin", "2.68", `{"os-migrateLive":{"host":"b","block_migration":"auto","force":true}}`, 400, "('force' was unexpected)"},
		{"admin", "2.67", `{"os-migrateLive":{"host":null,"block_migration":"auto","force":true}}`, 400, "Can't force to a non-provided destination"},
		{"admin", "2.93", `{"os-migrateLive":{"host":"nowhere","block_migration":"auto"}}`, 400, "Compute host nowhere could not be found."},
		{"admin", "2.24", `{"os-migrateLive":{"host":"a","block_migration":false,"disk_over_commit":false}}`, 400, "Unable to migrate instance (" + id + ") to current host (a)."},
		{"admin", "2.33", `{"os-migrateLive":{"host":"a","block_migration":"auto"}}`, 400, "No valid host was found. There are not enough hosts available."},
		{"admin", "2.33", `{"os-migrateLive":{"host":"b","block_migration":"auto"}}`, 400, "No valid host was found. "},
		{"admin", "2.33", `{"os-migrateLive":{"host":"b","block_migration":"auto","force":true}}`, 400, "Lack of memory(host:0.0 <= instance:1024)"},
	} {
		a := c.ask(t, test.who, test.version, "POST /servers/"+id+"/action", test.body)
		require.Equal(t, test.status, a.status, "%s %s", test.body, a.body)
		require.Contains(t, a.message(t), test.message)
		require.Equal(t, "a", c.await(t, id, "ACTIVE").Host)
	}
	// Since 2.34 nobody is told, but by the migration.
	c.act(t, id, `{"os-migrateLive":{"host":"b","block_migration":"auto"}}`)
	require.Equal(t, "a", c.await(t, id, "ACTIVE").Host)
	last := migrations(t, c, "/os-migrations?limit=1")[0]
	require.Equal(t, "error", last.Status)
	require.Nil(t, last.Dest)
	require.Equal(t, 1024, used(c, "a"))
	c.act(t, id, `{"os-stop":null}`)
	c.await(t, id, "SHUTOFF")
	require.Equal(t, "Cannot 'os-migrateLive' instance "+id+" while it is in vm_state stopped",
		c.do(t, 409, "POST /servers/"+id+"/action", `{"os-migrateLive":{"host":null,"block_migration":"auto"}}`).message(t))
}

func TestEvacuation(t *testing.T) {
	c := newCloud(t, nova.Config{})
	runs, stopped := c.create(t, `,"host":"a"`), c.create(t, `,"host":"a"`)
	c.await(t, runs, "ACTIVE")
	c.await(t, stopped, "ACTIVE")
	c.act(t, stopped, `{"os-stop":null}`)
	c.await(t, stopped, "SHUTOFF")
	require.Equal(t, "Compute service of a is still in use.",
		c.do(t, 400, "POST /servers/"+runs+"/action", `{"evacuate":{}}`).message(t))
	require.Equal(t, "Compute host nowhere not found.",
		c.do(t, 404, "POST /servers/"+runs+"/action", `{"evacuate":{"host":"nowhere"}}`).message(t))
	require.Equal(t, "The target host can't be the same one.",
		c.do(t, 400, "POST /servers/"+runs+"/action", `{"evacuate":{"host":"a"}}`).message(t))
	require.Equal(t, 403, c.ask(t, "ann", "2.93", "POST /servers/"+runs+"/action", `{"evacuate":{}}`).status)

	require.NoError(t, c.SetHostDown("a", true))
	c.clock.add(61 * time.Second)
	password, err := servers.Evacuate(t.Context(), c.client("admin", "2.13"), runs, servers.EvacuateOpts{Host: "b"}).ExtractAdminPass()
	require.NoError(t, err)
	require.NotEmpty(t, password)
	require.Empty(t, c.do(t, 200, "POST /servers/"+stopped+"/action", `{"evacuate":{"host":"c"}}`).body)
	require.Equal(t, "b", c.await(t, runs, "ACTIVE").Host)
	require.Equal(t, "c", c.await(t, stopped, "SHUTOFF").Host, "what was stopped is stopped again")
	require.Eventually(t, func() bool {
		list := migrations(t, c, "/os-migrations?migration_type=evacuation&source_compute=a&status=done")
		return len(list) == 2
	}, patience, time.Millisecond)
	require.Equal(t, 2048, used(c, "a"), "the dead host's room is not given back before it is back")
	require.Equal(t, 1024, used(c, "b"))

	c.do(t, 200, "PUT /os-services/"+serviceID(t, c, "a"), `{"forced_down":true}`)
	require.Contains(t, c.do(t, 400, "PUT /os-services/"+serviceID(t, c, "a"), `{"forced_down":false}`).message(t),
		"Unable to force up host a as `done` evacuation migration records remain")
	require.NoError(t, c.SetHostDown("a", false))
	require.Zero(t, used(c, "a"))
	require.Len(t, migrations(t, c, "/os-migrations?status=completed"), 2)
	c.do(t, 200, "PUT /os-services/"+serviceID(t, c, "a"), `{"forced_down":false}`)
}

// TestEvacuationThatFails: the server is broken where it was, with its room there, and the other host's is given back.
func TestEvacuationThatFails(t *testing.T) {
	c := newCloud(t, nova.Config{})
	id := c.create(t, `,"host":"a"`)
	c.await(t, id, "ACTIVE")
	require.NoError(t, c.SetHostDown("a", true))
	c.clock.add(61 * time.Second)
	c.desktops.fail(errors.New("no disk"))
	c.do(t, 200, "POST /servers/"+id+"/action", `{"evacuate":{"host":"b"}}`)
	s := c.await(t, id, "ERROR")
	require.Contains(t, s.Fault, "no disk")
	require.Equal(t, "a", s.Host)
	require.Eventually(t, func() bool { return migrations(t, c, "/os-migrations")[0].Status == "failed" }, patience, time.Millisecond)
	require.Zero(t, used(c, "b"))
	require.Equal(t, 1024, used(c, "a"))
	require.Equal(t, []string{id}, c.placement.Consumers())
	require.Contains(t, c.do(t, 200, "GET /os-hypervisors/"+hostID("a")+"?with_servers=true", "").body, id)

	// It can be tried again.
	c.desktops.fail(nil)
	c.do(t, 200, "POST /servers/"+id+"/action", `{"evacuate":{"host":"b"}}`)
	require.Equal(t, "b", c.await(t, id, "ACTIVE").Host)
	require.Eventually(t, func() bool { return used(c, "a")+used(c, "b") == 2048 }, patience, time.Millisecond)

	// Its deletion gives back all that it has, as all of it is the server's in Nova.
	c.do(t, 204, "DELETE /servers/"+id, "")
	require.Eventually(t, func() bool { return len(c.placement.Consumers()) == 0 }, patience, time.Millisecond)
}

// TestDeletedWhileItIsEvacuated: nothing is left on either host.
func TestDeletedWhileItIsEvacuated(t *testing.T) {
	hold := make(gate)
	var slow atomic.Bool
	c := newCloud(t, nova.Config{Boot: func(r *rand.Rand) time.Duration {
		if slow.Load() {
			return hold.boot(r)
		}
		return 0
	}})
	id := c.create(t, `,"host":"a"`)
	c.await(t, id, "ACTIVE")
	require.NoError(t, c.SetHostDown("a", true))
	c.clock.add(61 * time.Second)
	slow.Store(true)
	c.do(t, 200, "POST /servers/"+id+"/action", `{"evacuate":{"host":"b"}}`)
	require.Eventually(t, func() bool { s, _ := c.Server(id); return s.Task == "rebuild_spawning" }, patience, time.Millisecond)
	s, _ := c.Server(id)
	require.Equal(t, "a", s.Host, "until it runs there")
	c.do(t, 204, "DELETE /servers/"+id, "")
	close(hold)
	require.Eventually(t, func() bool { return len(c.placement.Consumers()) == 0 }, patience, time.Millisecond)
	require.Equal(t, "failed", migrations(t, c, "/os-migrations")[0].Status)
}

// TestEvacuationWithoutRoom: what no host has room for is broken, as Nova leaves it.
func TestEvacuationWithoutRoom(t *testing.T) {
	c := newCloud(t, nova.Config{})
	id := c.create(t, `,"host":"a"`)
	c.await(t, id, "ACTIVE")
	require.NoError(t, c.SetHostDown("a", true))
	for _, h := range []string{"b", "c"} {
		c.do(t, 200, "PUT /os-services/"+serviceID(t, c, h), `{"status":"disabled"}`)
	}
	c.clock.add(61 * time.Second)
	c.do(t, 200, "POST /servers/"+id+"/action", `{"evacuate":{}}`)
	s := c.await(t, id, "ERROR")
	require.Equal(t, "a", s.Host)
	require.Contains(t, s.Fault, "No valid host was found. ")
	require.Equal(t, "error", migrations(t, c, "/os-migrations")[0].Status)
	require.Equal(t, 1024, used(c, "a"))
}
