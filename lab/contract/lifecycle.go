package contract

import (
	"net/http"
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/instanceactions"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/stretchr/testify/require"
)

// act does an action to a server, and returns its answer.
func (s *session) act(t *testing.T, id string, action object, headers ...string) answer {
	t.Helper()
	return s.ask(t, s.compute, "POST", "servers/"+id+"/action", action, headers...)
}

// must does an action that is accepted, and returns its request's id.
func (s *session) must(t *testing.T, id string, action object) string {
	t.Helper()
	a := s.act(t, id, action)
	require.Equal(t, http.StatusAccepted, a.status, a.body)
	return a.header.Get("X-Compute-Request-Id")
}

// testLifeCycle: one server lives all that a desktop does; each step begins where the one before it ended.
func testLifeCycle(t *testing.T, s *suite) {
	t.Run("no valid host", func(t *testing.T) {
		t.Parallel()
		id := s.create(t, s.user, "nowhere", boot{"host": nil, "flavorRef": s.hugeFlavor(t)})
		s.watch(t, s.admin, id, "BUILD", "BUILD scheduling", "BUILD", "ERROR")
		now := s.settle(t, s.admin, id, "ERROR")
		require.Equal(t, 500, now.Fault.Code)
		require.Equal(t, "No valid host was found. ", now.Fault.Message)
		require.Contains(t, now.Fault.Details, "NoValidHost")
		require.Empty(t, now.Host)
		user, err := servers.Get(t.Context(), s.user.compute, id).Extract()
		require.NoError(t, err)
		require.Empty(t, user.Fault.Details, "for administrators only")
		a := s.admin.act(t, id, object{"os-start": nil})
		require.Equal(t, http.StatusConflict, a.status)
		require.Equal(t, "Instance "+id+" is not ready", a.text(t, "conflictingRequest", "message"))
		require.NoError(t, servers.Delete(t.Context(), s.admin.compute, id).ExtractErr())
		s.watch(t, s.admin, id, "ERROR", "ERROR deleting", "DELETED", "gone")
	})
	t.Run("one server", func(t *testing.T) {
		t.Parallel()
		s.oneLife(t)
	})
}

func (s *suite) oneLife(t *testing.T) {
	who := s.user
	made := s.admin.ask(t, s.admin.compute, "POST", "servers", object{"server": s.order("life", boot{"metadata": object{"seat": "N2-117"}})})
	require.Equal(t, http.StatusAccepted, made.status, made.body)
	id := made.text(t, "server", "id")
	s.remove(t, s.admin, id)
	require.ElementsMatch(t, []string{"id", "links", "OS-DCF:diskConfig", "security_groups", "adminPass"}, made.keys(t, "server"))
	require.Equal(t, made.text(t, "server", "links", 0, "href"), made.header.Get("Location"))
	requests := map[string]string{"create": made.header.Get("X-Compute-Request-Id")}
	s.watch(t, who, id, "BUILD", "BUILD scheduling", "BUILD", "BUILD networking", "BUILD block_device_mapping", "BUILD spawning", "ACTIVE")

	now := s.settle(t, s.admin, id, "ACTIVE")
	require.EqualValues(t, servers.RUNNING, now.PowerState)
	require.Equal(t, "active", now.VmState)
	require.False(t, now.LaunchedAt.IsZero())
	require.NotEmpty(t, now.Host)
	require.Empty(t, s.settle(t, who, id, "ACTIVE").Host, "where a server is, users do not see")
	require.NotEmpty(t, now.HostID, "but whether two are on one host")

	wrong := func(action object, name, state string) {
		t.Helper()
		a := who.act(t, id, action)
		require.Equal(t, http.StatusConflict, a.status, a.body)
		require.Equal(t, "Cannot '"+name+"' instance "+id+" while it is in "+state, a.text(t, "conflictingRequest", "message"))
		require.EqualValues(t, http.StatusConflict, a.at(t, "conflictingRequest", "code"))
	}
	start, stop := object{"os-start": nil}, object{"os-stop": nil}
	soft, hard := object{"reboot": object{"type": "SOFT"}}, object{"reboot": object{"type": "HARD"}}
	rebuild := object{"rebuild": object{"imageRef": s.imageID}}

	wrong(start, "start", "vm_state active")
	requests["stop"] = who.must(t, id, stop)
	s.watch(t, who, id, "ACTIVE powering-off", "SHUTOFF")
	require.EqualValues(t, servers.SHUTDOWN, s.settle(t, who, id, "SHUTOFF").PowerState)
	wrong(stop, "stop", "vm_state stopped")
	wrong(soft, "reboot", "vm_state stopped")
	a := s.admin.act(t, id, object{"os-migrateLive": object{"host": nil, "block_migration": "auto"}})
	require.Equal(t, http.StatusConflict, a.status, a.body)
	require.Equal(t, "Cannot 'os-migrateLive' instance "+id+" while it is in vm_state stopped", a.text(t, "conflictingRequest", "message"))

	requests["start"] = who.must(t, id, start)
	s.watch(t, who, id, "SHUTOFF powering-on", "ACTIVE")
	who.must(t, id, soft)
	s.watch(t, who, id, "REBOOT rebooting", "REBOOT reboot_pending", "REBOOT reboot_started", "ACTIVE")
	requests["reboot"] = who.must(t, id, hard)
	s.watch(t, who, id, "HARD_REBOOT rebooting_hard", "HARD_REBOOT reboot_pending_hard", "HARD_REBOOT reboot_started_hard", "ACTIVE")
	b := who.act(t, id, rebuild)
	require.Equal(t, http.StatusAccepted, b.status, b.body)
	require.Equal(t, "REBUILD", b.text(t, "server", "status"))
	requests["rebuild"] = b.header.Get("X-Compute-Request-Id")
	s.watch(t, who, id, "REBUILD rebuilding", "REBUILD rebuild_block_device_mapping", "REBUILD rebuild_spawning", "ACTIVE")
	require.Equal(t, map[string]string{"seat": "N2-117"}, s.settle(t, who, id, "ACTIVE").Metadata, "it stays itself")

	t.Run("bad actions", func(t *testing.T) {
		for body, test := range map[string]struct {
			status int
			says   string
		}{
			`{"reboot":{"type":"x"}}`: {400, "Invalid input for field/attribute type. Value: x. " +
				"'x' is not one of ['HARD', 'Hard', 'hard', 'SOFT', 'Soft', 'soft']"},
			`{"nosuch":null}`:            {400, "There is no such action: nosuch"},
			`{}`:                         {400, "Malformed request body"},
			`{"os-stop":0,"os-start":0}`: {400, "Malformed request body"},
			`{"rebuild":{}}`:             {400, "Invalid input for field/attribute rebuild. Value: {}. 'imageRef' is a required property"},
			`{"rebuild":{"imageRef":"` + nobody + `"}}`: {400, "Cannot find image for rebuild"},
		} {
			a := who.ask(t, who.compute, "POST", "servers/"+id+"/action", body)
			require.Equal(t, test.status, a.status, "%s: %s", body, a.body)
			require.Equal(t, test.says, a.text(t, "badRequest", "message"), body)
		}
		for _, action := range []object{
			{"os-migrateLive": object{"host": nil, "block_migration": "auto"}}, {"evacuate": object{}}, {"os-resetState": object{"state": "error"}},
		} {
			a := who.act(t, id, action)
			require.Equal(t, http.StatusForbidden, a.status, "%v: %s", action, a.body)
			require.Regexp(t, "^Policy doesn't allow os_compute_api:.* to be performed.$", a.text(t, "forbidden", "message"))
		}
	})
	t.Run("instance actions", func(t *testing.T) { s.actionsOf(t, id, requests) })

	require.NoError(t, servers.Delete(t.Context(), who.compute, id).ExtractErr())
	s.watch(t, who, id, "ACTIVE", "ACTIVE deleting", "DELETED", "gone")
	a = who.ask(t, who.compute, "DELETE", "servers/"+id, nil)
	require.Equal(t, http.StatusNotFound, a.status)
	require.Equal(t, "Instance "+id+" could not be found.", a.text(t, "itemNotFound", "message"))

	t.Run("actions of a deleted server", func(t *testing.T) {
		pages, err := instanceactions.List(who.compute, id, nil).AllPages(t.Context())
		require.NoError(t, err)
		list, err := instanceactions.ExtractInstanceActions(pages)
		require.NoError(t, err)
		require.Equal(t, "delete", list[0].Action)
		a := who.ask(t, who.compute, "GET", "servers/"+id+"/os-instance-actions", nil, "OpenStack-API-Version: compute 2.20")
		require.Equal(t, http.StatusNotFound, a.status, a.body)
	})
}

// actionsOf checks what a server's actions say of what was done to it.
func (s *suite) actionsOf(t *testing.T, id string, requests map[string]string) {
	pages, err := instanceactions.List(s.user.compute, id, nil).AllPages(t.Context())
	require.NoError(t, err)
	list, err := instanceactions.ExtractInstanceActions(pages)
	require.NoError(t, err)
	var names []string
	for _, a := range list {
		names = append(names, a.Action)
		require.Equal(t, id, a.InstanceUUID)
		require.Equal(t, s.user.projectID, a.ProjectID)
		by := s.user
		if a.Action == "create" {
			by = s.admin
		}
		require.Equal(t, by.userID, a.UserID)
	}
	require.Equal(t, []string{"rebuild", "reboot", "reboot", "start", "stop", "create"}, names, "newest first")
	events := map[string]string{
		"create": "compute__do_build_and_run_instance", "stop": "compute_stop_instance", "start": "compute_start_instance",
		"reboot": "compute_reboot_instance", "rebuild": "compute_rebuild_instance",
	}
	for action, request := range requests {
		// What a compute node did last may be told a moment after the server's state.
		var detail answer
		await(t, s.BuildTimeout, "the action "+action+" is finished", func() bool {
			detail = s.admin.ask(t, s.admin.compute, "GET", "servers/"+id+"/os-instance-actions/"+request, nil)
			require.Equal(t, http.StatusOK, detail.status, "%s: %s", action, detail.body)
			for _, e := range detail.at(t, "instanceAction", "events").([]any) {
				if e.(object)["result"] == nil {
					return false
				}
			}
			return len(detail.at(t, "instanceAction", "events").([]any)) > 0
		})
		require.Equal(t, action, detail.text(t, "instanceAction", "action"))
		require.Equal(t, request, detail.text(t, "instanceAction", "request_id"))
		require.Nil(t, detail.at(t, "instanceAction", "message"))
		var found object
		for _, e := range detail.at(t, "instanceAction", "events").([]any) {
			if e.(object)["event"] == events[action] {
				found = e.(object)
			}
		}
		require.NotNil(t, found, "%s in %s", events[action], detail.body)
		require.Equal(t, "Success", found["result"])
		require.Contains(t, s.Hosts, found["host"])
		require.NotEmpty(t, found["hostId"])
		require.Nil(t, found["traceback"])
		require.Contains(t, found, "details", "since 2.84")
		plain := s.user.ask(t, s.user.compute, "GET", "servers/"+id+"/os-instance-actions/"+request, nil)
		event := plain.at(t, "instanceAction", "events", 0).(object)
		require.NotContains(t, event, "traceback", "for administrators only")
		require.NotContains(t, event, "host")
		require.Contains(t, event, "hostId")
	}
	a := s.user.ask(t, s.user.compute, "GET", "servers/"+id+"/os-instance-actions/req-"+nobody, nil)
	require.Equal(t, http.StatusNotFound, a.status)
	require.Equal(t, "Action req-"+nobody+" not found", a.text(t, "itemNotFound", "message"))
}

// actionNames are of what was done to a server, newest first.
func (s *suite) actionNames(t *testing.T, who *session, id string) []string {
	t.Helper()
	pages, err := instanceactions.List(who.compute, id, nil).AllPages(t.Context())
	require.NoError(t, err)
	list, err := instanceactions.ExtractInstanceActions(pages)
	require.NoError(t, err)
	var names []string
	for _, a := range list {
		names = append(names, a.Action)
	}
	return names
}
