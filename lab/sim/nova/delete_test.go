package nova_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/sim/nova"
)

// TestDeletedServersAreListed: for administrators, and for those who ask what changed.
func TestDeletedServersAreListed(t *testing.T) {
	c := newCloud(t, nova.Config{})
	first, stays := c.create(t, ""), c.create(t, "")
	c.await(t, first, "ACTIVE")
	c.await(t, stays, "ACTIVE")
	c.clock.add(time.Hour)
	begun := c.clock.time().UTC().Format(time.RFC3339)
	c.do(t, 204, "DELETE /servers/"+first, "")
	require.Eventually(t, func() bool { return len(c.Servers()) == 1 }, patience, time.Millisecond)
	require.Equal(t, "Instance "+first+" could not be found.", c.do(t, 404, "GET /servers/"+first, "").message(t))

	ids := func(who, version, query string) []string {
		var list struct{ Servers []struct{ ID, Status string } }
		a := c.ask(t, who, version, "GET /servers/detail?"+query, "")
		require.Equal(t, 200, a.status, a.body)
		a.into(t, &list)
		found := []string{}
		for _, s := range list.Servers {
			found = append(found, s.ID)
			require.Equal(t, map[bool]string{true: "DELETED", false: "ACTIVE"}[s.ID == first], s.Status)
		}
		return found
	}
	for _, test := range []struct {
		who, version, query string
		want                []string
	}{
		{"ann", "2.93", "", []string{stays}},
		{"ann", "2.93", "changes-since=" + begun, []string{first}},
		{"bob", "2.93", "changes-since=" + begun, []string{}},
		{"ann", "2.93", "changes-before=" + begun, []string{stays, first}},
		{"ann", "2.65", "changes-before=" + begun, []string{stays}}, // nobody knows it
		{"ann", "2.93", "deleted=true", []string{stays}},
		{"admin", "2.93", "deleted=true", []string{first}},
		{"admin", "2.93", "status=deleted", []string{first}},
		{"admin", "2.93", "deleted=false&changes-since=" + begun, []string{}},
		{"admin", "2.93", "deleted=true&all_tenants=1", []string{first}},
		{"ann", "2.93", "limit=1&changes-since=1970-01-01T00:00:00Z", []string{stays}},
		{"ann", "2.93", "marker=" + stays + "&changes-since=1970-01-01T00:00:00Z", []string{first}},
		{"ann", "2.93", "sort_key=display_name&sort_dir=asc&changes-since=1970-01-01T00:00:00Z", []string{first, stays}},
	} {
		require.Equal(t, test.want, ids(test.who, test.version, test.query), test.query)
	}
	require.Equal(t, "Only administrators may list deleted instances", c.ask(t, "ann", "2.93", "GET /servers?status=DELETED", "").message(t))
	require.Equal(t, "The value of changes-since must be less than or equal to changes-before.",
		c.do(t, 400, "GET /servers?changes-since="+begun+"&changes-before=1970-01-01T00:00:00Z", "").message(t))
	view := c.do(t, 200, "GET /servers/detail?deleted=true", "").body
	for _, part := range []string{`"OS-EXT-STS:vm_state":"deleted"`, `"OS-EXT-STS:power_state":0`, `"addresses":{}`, `"host_status":""`, `"OS-SRV-USG:terminated_at":"20`} {
		require.Contains(t, view, part)
	}
	require.Equal(t, 404, c.ask(t, "ann", "2.20", "GET /servers/"+first+"/os-instance-actions", "").status)
	require.Contains(t, c.ask(t, "ann", "2.21", "GET /servers/"+first+"/os-instance-actions", "").body, `"action":"delete"`)
}
