package nova_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/sim/nova"
)

func TestInstanceActions(t *testing.T) {
	c := newCloud(t, nova.Config{})
	id := c.create(t, `,"host":"a"`)
	c.await(t, id, "ACTIVE")
	c.clock.add(time.Hour)
	later := c.clock.time().UTC().Format(time.RFC3339)
	c.act(t, id, `{"os-stop":null}`)
	c.await(t, id, "SHUTOFF")
	c.desktops.fail(errors.New("no space left on device"))
	c.act(t, id, `{"os-start":null}`)
	require.Eventually(t, func() bool { s, _ := c.Server(id); return s.Task == "" && s.Fault != "" }, patience, time.Millisecond)
	c.await(t, id, "SHUTOFF") // a start that fails breaks nothing

	type action struct {
		Action, Message string
		Request         string `json:"request_id"`
		Updated         string `json:"updated_at"`
	}
	list := func(version, query string) (actions []action, next string) {
		var body struct {
			Actions []action `json:"instanceActions"`
			Links   []struct{ Href string }
		}
		a := c.ask(t, "ann", version, "GET /servers/"+id+"/os-instance-actions"+query, "")
		require.Equal(t, 200, a.status, a.body)
		a.into(t, &body)
		if len(body.Links) > 0 {
			next = body.Links[0].Href
		}
		return body.Actions, next
	}
	all, _ := list("2.58", "")
	require.Equal(t, []string{"start", "stop", "create"}, []string{all[0].Action, all[1].Action, all[2].Action})
	require.Equal(t, "Error", all[0].Message)
	require.NotEmpty(t, all[0].Updated)
	first, next := list("2.58", "?limit=1")
	require.Equal(t, all[:1], first)
	require.Contains(t, next, "marker="+all[0].Request)
	rest, _ := list("2.58", "?marker="+all[0].Request)
	require.Equal(t, all[1:], rest)
	recent, _ := list("2.58", "?changes-since="+later)
	require.Equal(t, all[:2], recent)
	older, _ := list("2.66", "?changes-before=2027-01-15T08:30:00Z")
	require.Equal(t, all[2:], older)
	early, _ := list("2.57", "?limit=1") // not known yet
	require.Len(t, early, 3)
	require.Empty(t, early[0].Updated)
	require.Equal(t, "Marker x could not be found.", c.do(t, 400, "GET /servers/"+id+"/os-instance-actions?marker=x", "").message(t))
	require.Equal(t, 400, c.ask(t, "ann", "2.65", "GET /servers/"+id+"/os-instance-actions?changes-before="+later, "").status)

	show := "GET /servers/" + id + "/os-instance-actions/" + all[0].Request
	for _, test := range []struct {
		who, version string
		has, hasNot  []string
	}{
		{"ann", "2.50", nil, []string{`"events"`}},
		{"ann", "2.51", []string{`"event":"compute_start_instance"`, `"result":"Error"`}, []string{"traceback", "hostId"}},
		{"ann", "2.84", []string{`"hostId"`}, []string{`"host":`, `"details"`, "no space"}},
		{"admin", "2.1", []string{`"traceback"`}, []string{`"host":`, `"details"`, `"updated_at"`}},
		{"admin", "2.84", []string{`"host":"a"`, `"details":"no space left on device"`}, nil},
	} {
		a := c.ask(t, test.who, test.version, show, "")
		for _, part := range test.has {
			require.Contains(t, a.body, part, test)
		}
		for _, part := range test.hasNot {
			require.NotContains(t, a.body, part, test)
		}
	}
}

func TestLocks(t *testing.T) {
	c := newCloud(t, nova.Config{})
	id := c.create(t, "")
	c.await(t, id, "ACTIVE")
	action := "POST /servers/" + id + "/action"
	require.Equal(t, 202, c.ask(t, "ann", "2.93", action, `{"lock":{"locked_reason":"exam"}}`).status)
	require.Contains(t, c.do(t, 200, "GET /servers/"+id, "").body, `"locked":true,"locked_reason":"exam"`)
	require.Contains(t, c.do(t, 200, "GET /servers?locked=true", "").body, id)
	require.NotContains(t, c.do(t, 200, "GET /servers?locked=false", "").body, id)
	for request, body := range map[string]string{
		action: `{"os-stop":null}`, "DELETE /servers/" + id: "", "PUT /servers/" + id + "/metadata": `{"metadata":{}}`,
	} {
		a := c.ask(t, "ann", "2.93", request, body)
		require.Equal(t, 409, a.status)
		require.Equal(t, "Instance "+id+" is locked", a.message(t))
	}
	c.act(t, id, `{"os-stop":null}`) // administrators may
	c.await(t, id, "SHUTOFF")
	require.Equal(t, 202, c.ask(t, "ann", "2.93", action, `{"unlock":null}`).status)
	require.Contains(t, c.do(t, 200, "GET /servers/"+id, "").body, `"locked":false,"locked_reason":null`)
	require.Contains(t, c.do(t, 400, action, `{"lock":{"odd":1}}`).message(t), "('odd' was unexpected)")
}

// TestStatesRefuse: what cannot be done to a server in its state.
func TestStatesRefuse(t *testing.T) {
	hold := make(gate)
	c := newCloud(t, nova.Config{Boot: hold.boot})
	id := c.create(t, "")
	require.Eventually(t, func() bool { s, _ := c.Server(id); return s.Task == "spawning" }, patience, time.Millisecond)
	action := "POST /servers/" + id + "/action"
	for _, test := range []struct{ request, body, message string }{
		{action, `{"os-start":null}`, "Cannot 'start' instance " + id + " while it is in vm_state building"},
		{action, `{"reboot":{"type":"HARD"}}`, "Cannot 'reboot' instance " + id + " while it is in vm_state building"},
		{action, `{"evacuate":{}}`, "Cannot 'evacuate' instance " + id + " while it is in vm_state building"},
		{"PUT /servers/" + id + "/metadata", `{"metadata":{}}`, "Cannot 'update metadata' instance " + id + " while it is in vm_state building"},
		{"PUT /servers/" + id + "/tags", `{"tags":[]}`, "Cannot 'update tags' instance " + id + " while it is in vm_state building"},
	} {
		require.Equal(t, test.message, c.do(t, 409, test.request, test.body).message(t))
	}
	require.Equal(t, "Guest does not have a console available.", c.do(t, 404, action, `{"os-getConsoleOutput":{}}`).message(t))
	close(hold)
	c.await(t, id, "ACTIVE")
	require.Contains(t, c.do(t, 200, action, `{"os-getConsoleOutput":{"length":2}}`).body, "booted at")
	require.Equal(t, `{"output":""}`, c.do(t, 200, action, `{"os-getConsoleOutput":{"length":0}}`).body)
	require.Contains(t, c.do(t, 400, action, `{"os-getConsoleOutput":{"length":-2}}`).message(t), "-2 is less than the minimum of -1")
	for body, message := range map[string]string{
		`{"remote_console":{"protocol":"vnc","type":"novnc"}}`:   "Unavailable console type novnc.",
		`{"remote_console":{"protocol":"spice","type":"novnc"}}`: "Invalid console type novnc",
	} {
		require.Equal(t, message, c.do(t, 400, "POST /servers/"+id+"/remote-consoles", body).message(t))
	}
	c.act(t, id, `{"suspend":null}`)
	c.await(t, id, "SUSPENDED")
	require.Equal(t, "Cannot 'unpause' instance "+id+" while it is in vm_state suspended", c.do(t, 409, action, `{"unpause":null}`).message(t))
	c.act(t, id, `{"resume":null}`)
	c.await(t, id, "ACTIVE")
}

// TestPartialViews: PUT and rebuild tell less than GET before 2.75.
func TestPartialViews(t *testing.T) {
	c := newCloud(t, nova.Config{})
	id := c.create(t, "")
	c.await(t, id, "ACTIVE")
	for version, shown := range map[string]bool{"2.74": false, "2.75": true} {
		a := c.ask(t, "admin", version, "PUT /servers/"+id, `{"server":{"name":"x"}}`)
		for _, part := range []string{`"key_name"`, `"OS-EXT-STS:vm_state"`, `"OS-EXT-SRV-ATTR:host"`, `"host_status"`, `"OS-EXT-IPS:type"`} {
			require.Equal(t, shown, strings.Contains(a.body, part), "%s in %s", part, version)
		}
		a = c.ask(t, "admin", version, "POST /servers/"+id+"/action", `{"rebuild":{"imageRef":"`+image+`"}}`)
		require.Equal(t, 202, a.status)
		require.Contains(t, a.body, `"adminPass":"`)
		require.Contains(t, a.body, `"user_data":null`)
		require.Contains(t, a.body, `"key_name":null`)
		require.Equal(t, shown, strings.Contains(a.body, `"OS-EXT-STS:vm_state"`))
		c.await(t, id, "ACTIVE")
	}
}
