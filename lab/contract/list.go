package contract

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/pagination"
	"github.com/stretchr/testify/require"
)

// testLists works in a project of its own, so that it knows all that is there.
func testLists(t *testing.T, s *suite) {
	project := s.project(t, "lists")
	s.grant(t, project, s.user.userID, "member")
	admin, user := login(t, s.Cloud, in(s.Admin, project)), login(t, s.Cloud, in(s.User, project))
	before := time.Now().Add(-5 * time.Second)
	const three = 3
	var ids []string // oldest first
	for _, name := range []string{"list-a", "list-b", "list-c"} {
		ids = append(ids, s.create(t, admin, name, boot{"metadata": object{"kind": name}, "tags": []string{name, "all"}}))
	}
	for _, id := range ids {
		s.settle(t, user, id, "ACTIVE")
	}
	list := func(t *testing.T, who *session, query string, headers ...string) []string {
		t.Helper()
		a := who.ask(t, who.compute, "GET", "servers/detail?"+query, nil, headers...)
		require.Equal(t, http.StatusOK, a.status, "%s: %s", query, a.body)
		found := []string{}
		for _, v := range a.at(t, "servers").([]any) {
			found = append(found, v.(object)["id"].(string))
		}
		return found
	}
	all := []string{ids[2], ids[1], ids[0]}
	t.Run("order", func(t *testing.T) {
		require.ElementsMatch(t, all, list(t, user, ""))
		require.Equal(t, ids, list(t, user, "sort_key=display_name&sort_dir=asc"))
		require.Equal(t, all, list(t, user, "sort_key=display_name&sort_dir=desc"))
		require.Equal(t, all, list(t, user, "sort_key=display_name"), "descending is the usual")
	})
	t.Run("pages", func(t *testing.T) {
		const sorted = "sort_key=display_name&sort_dir=asc"
		for _, path := range []string{"servers", "servers/detail"} {
			next := path + "?limit=2&" + sorted
			var seen []string
			for pages := 0; next != ""; pages++ {
				require.Less(t, pages, three)
				a := user.ask(t, user.compute, "GET", next, nil)
				require.Equal(t, http.StatusOK, a.status, a.body)
				for _, v := range a.at(t, "servers").([]any) {
					seen = append(seen, v.(object)["id"].(string))
				}
				next = ""
				if strings.Contains(a.body, "servers_links") {
					require.Equal(t, "next", a.text(t, "servers_links", 0, "rel"))
					next = a.text(t, "servers_links", 0, "href")
					u, err := url.Parse(next)
					require.NoError(t, err)
					require.Equal(t, seen[len(seen)-1], u.Query().Get("marker"))
					require.Equal(t, "2", u.Query().Get("limit"))
					require.Equal(t, "asc", u.Query().Get("sort_dir"), "the link keeps the rest of the query")
				}
			}
			require.Equal(t, ids, seen)
		}
		count := 0
		err := servers.List(user.compute, servers.ListOpts{Limit: 1}).EachPage(t.Context(), func(_ context.Context, p pagination.Page) (bool, error) {
			found, err := servers.ExtractServers(p)
			count += len(found)
			return true, err
		})
		require.NoError(t, err)
		require.Equal(t, three, count)
		require.Empty(t, list(t, user, "limit=0"))
		require.Equal(t, ids[2:], list(t, user, sorted+"&marker="+ids[1]))
	})
	t.Run("filters", func(t *testing.T) {
		one := ids[1]
		host := s.settle(t, admin, one, "ACTIVE").Host
		for query, want := range map[string][]string{
			"name=list-b":                         {one},
			"name=" + s.prefix + "list-[bc]$":     {ids[2], one},
			"name=^list":                          {},
			"name=LIST-B":                         {one}, // the database compares without regard to case
			"status=ACTIVE":                       all,
			"status=active":                       all,
			"status=SHUTOFF":                      {},
			"status=ACTIVE&status=SHUTOFF":        all,
			"flavor=" + s.flavor.ID:               all,
			"image=" + s.imageID:                  all,
			"tags=all":                            all,
			"tags=all,list-b":                     {one},
			"tags-any=list-a,list-b":              {one, ids[0]},
			"not-tags=list-b":                     {ids[2], ids[0]},
			"not-tags-any=list-a,list-b":          {ids[2]},
			"changes-since=2001-01-01T00:00:00Z":  all,
			"changes-before=2001-01-01T00:00:00Z": {},
		} {
			require.ElementsMatch(t, want, list(t, user, strings.ReplaceAll(query, "^", "%5E")), query)
		}
		require.Contains(t, list(t, admin, "host="+host), one)
		require.Empty(t, list(t, admin, "host="+s.prefix+"none"))
		require.ElementsMatch(t, all, list(t, user, "host="+s.prefix+"none"), "ignored: users do not know hosts")
		require.Contains(t, list(t, s.home, "all_tenants=1&name="+s.prefix+"list-b"), one)
		require.Contains(t, list(t, s.home, "all_tenants=1&project_id="+project), one)
		require.NotContains(t, list(t, s.home, "name="+s.prefix+"list-b"), one)
		const metadata = `metadata=%7B%22kind%22%3A%22list-b%22%7D`
		for _, version := range []string{"2.1", "2.74", "2.93"} {
			header := versionHeader + ": compute " + version
			a := admin.ask(t, admin.compute, "GET", "servers/detail?"+metadata, nil, header)
			require.Equal(t, http.StatusBadRequest, a.status, a.body)
			require.Equal(t, "Invalid filter field: metadata.", a.text(t, "badRequest", "message"))
			require.ElementsMatch(t, all, list(t, user, metadata, header), version)
		}
		require.ElementsMatch(t, all, list(t, user, "nosuch=1", versionHeader+": compute 2.74"), "unknown ones were ignored before 2.75")
	})
	t.Run("bad queries", func(t *testing.T) {
		for query, says := range map[string]string{
			"limit=x":                         "Invalid input for query parameters limit. Value: x. 'x' does not match '^[0-9]*$'",
			"limit=-1":                        "Invalid input for query parameters limit. Value: -1. '-1' does not match '^[0-9]*$'",
			"marker=" + nobody:                "marker [" + nobody + "] not found",
			"name=%5B":                        "Invalid input for query parameters name. Value: [. '[' is not a 'regex'",
			"status=nosuch":                   "Invalid status value",
			"changes-since=x":                 "Invalid input for query parameters changes-since. Value: x. 'x' is not a 'date-time'",
			"nosuch=1":                        "'nosuch' does not match any of the regexes: '^_'",
			"sort_key=created_at&sort_dir=up": "Invalid input received: Unknown sort direction, must be 'desc' or 'asc'",
		} {
			a := user.ask(t, user.compute, "GET", "servers?"+query, nil)
			require.Equal(t, http.StatusBadRequest, a.status, "%s: %s", query, a.body)
			require.Equal(t, says, a.text(t, "badRequest", "message"), query)
		}
		a := user.ask(t, user.compute, "GET", "servers?sort_key=nosuch", nil)
		require.Equal(t, http.StatusBadRequest, a.status)
		require.Contains(t, a.text(t, "badRequest", "message"), "Invalid input for query parameters sort_key. Value: nosuch. 'nosuch' is not one of [")
		require.Empty(t, list(t, user, "status=nosuch", versionHeader+": compute 2.37"), "no error before 2.38")
		a = user.ask(t, user.compute, "GET", "servers?status=deleted", nil)
		require.Equal(t, http.StatusForbidden, a.status)
		require.Equal(t, "Only administrators may list deleted instances", a.text(t, "forbidden", "message"))
	})
	t.Run("deleted", func(t *testing.T) {
		require.NoError(t, servers.Delete(t.Context(), user.compute, ids[0]).ExtractErr())
		s.watch(t, user, ids[0], "ACTIVE", "ACTIVE deleting", "DELETED", "gone")
		since := "changes-since=" + before.UTC().Format("2006-01-02T15:04:05Z")
		for _, who := range []*session{user, admin} {
			a := who.ask(t, who.compute, "GET", "servers/detail?"+since, nil)
			require.Equal(t, http.StatusOK, a.status, a.body)
			statuses := map[string]string{}
			for _, v := range a.at(t, "servers").([]any) {
				statuses[v.(object)["id"].(string)] = v.(object)["status"].(string)
			}
			require.Equal(t, map[string]string{ids[0]: "DELETED", ids[1]: "ACTIVE", ids[2]: "ACTIVE"}, statuses)
		}
		require.ElementsMatch(t, all[:2], list(t, user, ""))
		require.Equal(t, ids[:1], list(t, admin, "deleted=true"))
		require.Equal(t, ids[:1], list(t, admin, "status=DELETED"))
		require.ElementsMatch(t, all[:2], list(t, user, "deleted=true"), "ignored: for administrators only")
		require.Empty(t, list(t, user, "changes-since=2037-01-01T00:00:00Z"))
	})
}
