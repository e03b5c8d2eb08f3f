package nova_test

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/sim/nova"
)

// listener keeps what it is told, as JSON.
type listener struct {
	mu    sync.Mutex
	notes []told
}

type told struct {
	publisher, priority, event string
	payload                    map[string]any
}

func (l *listener) Notify(publisher, priority, event string, payload any) {
	encoded, err := json.Marshal(payload)
	if err != nil {
		panic(err)
	}
	n := told{publisher: publisher, priority: priority, event: event}
	if err := json.Unmarshal(encoded, &n.payload); err != nil {
		panic(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notes = append(l.notes, n)
}

func (l *listener) all() []told {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.notes)
}

// take waits for an event, and returns all up to it.
func (l *listener) take(t *testing.T, event string) []told {
	t.Helper()
	var found []told
	require.Eventually(t, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		i := slices.IndexFunc(l.notes, func(n told) bool { return n.event == event })
		if i < 0 {
			return false
		}
		found, l.notes = l.notes[:i+1], slices.Clone(l.notes[i+1:])
		return true
	}, patience, time.Millisecond, event)
	return found
}

// lines are events with their publishers; an update's with the states that it tells.
func lines(notes []told) []string {
	var list []string
	for _, n := range notes {
		line := n.publisher + " " + n.event
		states, ok := n.payload["new_task_state"]
		if ok && n.event == "compute.instance.update" {
			line += " " + n.payload["state"].(string) + "/"
			if states != nil {
				line += states.(string)
			}
		}
		list = append(list, line)
	}
	return list
}

func data(payload map[string]any) map[string]any { return payload["nova_object.data"].(map[string]any) }

// The fields of Nova's payload objects, as python prints them: sorted(InstanceCreatePayload.fields) and so on, of release Zed.
const (
	instanceFields = `action_initiator_project action_initiator_user architecture auto_disk_config availability_zone block_devices
created_at deleted_at display_description display_name flavor host host_name image_uuid ip_addresses kernel_id key_name launched_at
locked locked_reason metadata node os_type power_state progress ramdisk_id request_id reservation_id state task_state tenant_id
terminated_at updated_at user_id uuid`
	flavorFields = `description disabled ephemeral_gb extra_specs flavorid is_public memory_mb name projects root_gb rxtx_factor swap
vcpu_weight vcpus`
	exceptionFields = `exception exception_message function_name module_name traceback`
	serviceFields   = `availability_zone binary disabled disabled_reason forced_down host last_seen_up report_count topic uuid version`
	specFields      = `availability_zone flavor force_hosts force_nodes ignore_hosts image image_meta instance_group instance_uuid
num_instances numa_topology pci_requests project_id requested_destination retry scheduler_hints security_groups user_id`
)

func requireObject(t *testing.T, object any, name, version string, fields ...string) map[string]any {
	t.Helper()
	o := object.(map[string]any)
	require.Equal(t, name, o["nova_object.name"])
	require.Equal(t, "nova", o["nova_object.namespace"])
	require.Equal(t, version, o["nova_object.version"])
	want := strings.Fields(strings.Join(fields, " "))
	slices.Sort(want)
	require.Equal(t, want, slices.Sorted(maps.Keys(data(o))), name)
	return data(o)
}

// TestLifeIsTold: the notifications of a server's life, in their order, which is also that of its states.
func TestLifeIsTold(t *testing.T) {
	old, versioned := &listener{}, &listener{}
	c := newCloud(t, nova.Config{Notifier: old, Versioned: versioned})
	id := c.create(t, `,"host":"a","tags":["t"],"metadata":{"seat":"7"}`)
	require.Equal(t, []string{
		"conductor.controller compute.instance.update building/scheduling",
		"compute.controller compute.instance.update building/", "compute.a compute.instance.create.start",
		"compute.a compute.instance.update building/networking", "compute.a compute.instance.update building/block_device_mapping",
		"compute.a compute.instance.update building/spawning", "compute.a compute.instance.update active/",
		"compute.a compute.instance.create.end",
	}, lines(old.take(t, "compute.instance.create.end")))
	created := versioned.take(t, "instance.create.end")
	require.Equal(t, []string{
		"nova-conductor:controller instance.update", "nova-compute:controller instance.update", "nova-compute:a instance.create.start",
		"nova-compute:a instance.update", "nova-compute:a instance.update", "nova-compute:a instance.update", "nova-compute:a instance.update",
		"nova-compute:a instance.create.end",
	}, lines(created))
	payload := requireObject(t, created[7].payload, "InstanceCreatePayload", "1.12", instanceFields, "fault keypairs tags trusted_image_certificates instance_name")
	require.Equal(t, "active", payload["state"])
	require.Equal(t, "running", payload["power_state"])
	require.Equal(t, "2027-01-15T08:00:00Z", payload["launched_at"])
	require.Equal(t, []any{"t"}, payload["tags"])
	requireObject(t, payload["flavor"], "FlavorPayload", "1.4", flavorFields)
	address := requireObject(t, payload["ip_addresses"].([]any)[0], "IpPayload", "1.0", "address device_name label mac meta port_uuid version")
	require.Equal(t, "10.1.0.2", address["address"])
	update := requireObject(t, created[3].payload, "InstanceUpdatePayload", "2.0", instanceFields, "state_update audit_period old_display_name tags")
	require.Equal(t, map[string]any{"old_state": "building", "state": "building", "old_task_state": nil, "new_task_state": "networking"},
		requireObject(t, update["state_update"], "InstanceStateUpdatePayload", "1.0", "new_task_state old_state old_task_state state"))
	requireObject(t, update["audit_period"], "AuditPeriodPayload", "1.0", "audit_period_beginning audit_period_ending")

	c.await(t, id, "ACTIVE")
	for _, step := range []struct {
		action, status, end string
		want                []string
	}{
		{`{"os-stop":null}`, "SHUTOFF", "power_off.end", []string{
			"compute.controller compute.instance.update active/powering-off", "compute.a compute.instance.power_off.start",
			"compute.a compute.instance.update stopped/", "compute.a compute.instance.power_off.end",
		}},
		{`{"rebuild":{"imageRef":"` + image + `"}}`, "SHUTOFF", "rebuild.end", []string{
			"compute.controller compute.instance.update stopped/rebuilding", "compute.controller compute.instance.rebuild.scheduled",
			"compute.a compute.instance.rebuild.start", "compute.a compute.instance.update stopped/rebuild_block_device_mapping",
			"compute.a compute.instance.update stopped/rebuild_spawning", "compute.a compute.instance.update active/",
			"compute.a compute.instance.update active/powering-off", "compute.a compute.instance.power_off.start",
			"compute.a compute.instance.update stopped/", "compute.a compute.instance.power_off.end", "compute.a compute.instance.rebuild.end",
		}},
		{`{"os-start":null}`, "ACTIVE", "power_on.end", []string{
			"compute.controller compute.instance.update stopped/powering-on", "compute.a compute.instance.power_on.start",
			"compute.a compute.instance.update active/", "compute.a compute.instance.power_on.end",
		}},
		{`{"reboot":{"type":"SOFT"}}`, "ACTIVE", "reboot.end", []string{
			"compute.controller compute.instance.update active/rebooting", "compute.a compute.instance.reboot.start",
			"compute.a compute.instance.update active/reboot_pending", "compute.a compute.instance.update active/reboot_started",
			"compute.a compute.instance.update active/", "compute.a compute.instance.reboot.end",
		}},
		{`{"reboot":{"type":"HARD"}}`, "ACTIVE", "reboot.end", []string{
			"compute.controller compute.instance.update active/rebooting_hard", "compute.a compute.instance.reboot.start",
			"compute.a compute.instance.update active/reboot_pending_hard", "compute.a compute.instance.update active/reboot_started_hard",
			"compute.a compute.instance.update active/", "compute.a compute.instance.reboot.end",
		}},
		{`{"pause":null}`, "PAUSED", "pause.end", []string{
			"compute.controller compute.instance.update active/pausing", "compute.a compute.instance.pause.start",
			"compute.a compute.instance.update paused/", "compute.a compute.instance.pause.end",
		}},
		{`{"unpause":null}`, "ACTIVE", "unpause.end", nil},
		{`{"os-migrateLive":{"host":"b","block_migration":"auto"}}`, "ACTIVE", "live_migration._post.end", []string{
			"compute.controller compute.instance.update active/migrating", "compute.b compute.instance.live_migration.pre.start",
			"compute.b compute.instance.live_migration.pre.end", "compute.a compute.instance.live_migration._post.start",
			"compute.b compute.instance.live_migration.post.dest.start", "compute.b compute.instance.update active/",
			"compute.b compute.instance.live_migration.post.dest.end", "compute.a compute.instance.live_migration._post.end",
		}},
	} {
		c.act(t, id, step.action)
		got := lines(old.take(t, "compute.instance."+step.end))
		if step.want != nil {
			require.Equal(t, step.want, got, step.action)
		}
		c.await(t, id, step.status)
	}
	c.do(t, 200, "PUT /servers/"+id, `{"server":{"name":"other"}}`)
	renamed := old.take(t, "compute.instance.update")
	require.Equal(t, "desk", renamed[0].payload["old_display_name"])
	c.do(t, 204, "DELETE /servers/"+id, "")
	deleted := old.take(t, "compute.instance.delete.end")
	require.Equal(t, []string{
		"compute.controller compute.instance.update active/deleting", "compute.b compute.instance.delete.start",
		"compute.b compute.instance.shutdown.start", "compute.b compute.instance.shutdown.end",
		"compute.b compute.instance.update deleted/", "compute.b compute.instance.delete.end",
	}, lines(deleted))
	require.NotEmpty(t, deleted[5].payload["terminated_at"])
	names := map[string]bool{}
	for _, n := range versioned.take(t, "instance.delete.end") {
		names[n.event] = true
	}
	for _, name := range strings.Fields(`power_off.start power_off.end rebuild_scheduled rebuild.start rebuild.end power_on.start reboot.end pause.end
live_migration_pre.start live_migration_pre.end live_migration_post.start live_migration_post_dest.start live_migration_post_dest.end
live_migration_post.end delete.start shutdown.start shutdown.end delete.end update`) {
		require.True(t, names["instance."+name], name)
	}
}

func TestFailuresAreTold(t *testing.T) {
	old, versioned := &listener{}, &listener{}
	c := newCloud(t, nova.Config{Notifier: old, Versioned: versioned})
	c.desktops.fail(errors.New("no space left on device"))
	id := c.create(t, "")
	s := c.await(t, id, "ERROR")
	require.Equal(t, "Exceeded maximum number of retries. Exhausted all hosts available for retrying build failures for instance "+id+".", s.Fault)
	require.Empty(t, s.Host)
	for _, h := range []string{"a", "b", "c"} {
		require.Zero(t, used(c, h), "what a host failed to build holds nothing there")
	}
	tried := map[string]bool{}
	for _, n := range old.take(t, "compute_task.build_instances") {
		if n.event == "compute.instance.create.error" {
			tried[n.publisher] = true
			require.Equal(t, "ERROR", n.priority)
			require.Equal(t, "no space left on device", n.payload["message"])
		}
	}
	require.Equal(t, map[string]bool{"compute.a": true, "compute.b": true, "compute.c": true}, tried)
	notes := versioned.take(t, "compute_task.build_instances.error")
	last := notes[len(notes)-1]
	require.Equal(t, "nova-conductor:controller", last.publisher)
	require.Equal(t, "ERROR", last.priority)
	task := requireObject(t, last.payload, "ComputeTaskPayload", "1.0", "instance_uuid reason request_spec state")
	requireObject(t, task["reason"], "ExceptionPayload", "1.1", exceptionFields)
	requireObject(t, task["request_spec"], "RequestSpecPayload", "1.1", specFields)
	require.Equal(t, "error", task["state"])

	c.do(t, 200, "PUT /os-services/"+serviceID(t, c, "a"), `{"status":"disabled","disabled_reason":"disks"}`)
	notes = versioned.take(t, "service.update")
	last = notes[len(notes)-1]
	require.Equal(t, "nova-compute:a", last.publisher)
	service := requireObject(t, last.payload, "ServiceStatusPayload", "1.1", serviceFields)
	require.Equal(t, true, service["disabled"])
	require.Equal(t, "disks", service["disabled_reason"])
}

// TestNothingIsLostAtTheEnd: Close waits until all has been told.
func TestNothingIsLostAtTheEnd(t *testing.T) {
	old := &listener{}
	c := newCloud(t, nova.Config{Notifier: old})
	c.await(t, c.create(t, ""), "ACTIVE")
	c.Close()
	require.Equal(t, "compute.instance.create.end", old.all()[len(old.all())-1].event)
	c.Close() // a second time changes nothing
}
