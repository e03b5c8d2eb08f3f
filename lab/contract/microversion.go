package contract

import (
	"net/http"
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/tags"
	"github.com/stretchr/testify/require"
)

const (
	versionHeader = "OpenStack-API-Version"
	olderHeader   = "X-OpenStack-Nova-API-Version"
)

func testMicroversions(t *testing.T, s *suite) {
	api := s.admin.compute
	unsupported := func(version string) string {
		return "Version " + version + " is not supported by the API. Minimum is 2.1 and maximum is 2.93."
	}
	malformed := func(version string) string {
		return "API Version String " + version + " is of invalid format. Must be of format MajorNum.MinorNum."
	}
	t.Run("negotiation", func(t *testing.T) {
		for name, test := range map[string]struct {
			headers []string
			status  int
			version string // of the answer; empty: none
			says    string
		}{
			"none":            {[]string{versionHeader}, 200, "2.1", ""},
			"first":           {[]string{versionHeader + ": compute 2.1"}, 200, "2.1", ""},
			"last":            {[]string{versionHeader + ": compute 2.93"}, 200, "2.93", ""},
			"latest":          {[]string{versionHeader + ": compute latest"}, 200, "2.93", ""},
			"another service": {[]string{versionHeader + ": volume 3.1"}, 200, "2.1", ""},
			"older header":    {[]string{versionHeader, olderHeader + ": 2.50"}, 200, "2.50", ""},
			"too new":         {[]string{versionHeader + ": compute 2.94"}, 406, "2.94", unsupported("2.94")},
			"too old":         {[]string{versionHeader + ": compute 2.0"}, 406, "2.0", unsupported("2.0")},
			"another major":   {[]string{versionHeader + ": compute 3.0"}, 406, "3.0", unsupported("3.0")},
			"older, too new":  {[]string{versionHeader, olderHeader + ": 9.9"}, 406, "9.9", unsupported("9.9")},
			"leading zero":    {[]string{versionHeader + ": compute 2.01"}, 400, "", malformed("2.01")},
			"a word":          {[]string{versionHeader + ": compute x"}, 400, "", malformed("x")},
			"no minor":        {[]string{versionHeader + ": compute 2."}, 400, "", malformed("2.")},
		} {
			t.Run(name, func(t *testing.T) {
				a := s.admin.ask(t, api, "GET", "flavors", nil, test.headers...)
				require.Equal(t, test.status, a.status, a.body)
				if test.version == "" {
					require.Empty(t, a.header.Get(versionHeader))
					require.Empty(t, a.header.Get(olderHeader))
				} else {
					require.Equal(t, "compute "+test.version, a.header.Get(versionHeader))
					require.Equal(t, test.version, a.header.Get(olderHeader))
					require.Contains(t, a.header.Values("Vary"), versionHeader)
					require.Contains(t, a.header.Values("Vary"), olderHeader)
				}
				switch test.status {
				case http.StatusNotAcceptable:
					require.Equal(t, test.says, a.text(t, "computeFault", "message"))
				case http.StatusBadRequest:
					require.Equal(t, test.says, a.text(t, "badRequest", "message"))
				}
			})
		}
	})
	id := s.server(t, s.admin, "versions", boot{"description": "of the contract", "tags": []string{"one"}, "metadata": object{"a": "b"}}).ID
	show := func(t *testing.T, who *session, version string) answer {
		t.Helper()
		a := who.ask(t, who.compute, "GET", "servers/"+id, nil, versionHeader+": compute "+version)
		require.Equal(t, http.StatusOK, a.status, a.body)
		return a
	}
	t.Run("fields", func(t *testing.T) {
		for _, test := range []struct {
			since, before string
			fields        []string
			admin         bool // administrators see it
		}{
			{"2.3", "2.1", []string{
				"OS-EXT-SRV-ATTR:hostname", "OS-EXT-SRV-ATTR:root_device_name", "OS-EXT-SRV-ATTR:user_data", "OS-EXT-SRV-ATTR:reservation_id",
			}, true},
			{"2.9", "2.8", []string{"locked"}, false},
			{"2.16", "2.15", []string{"host_status"}, true},
			{"2.19", "2.18", []string{"description"}, false},
			{"2.26", "2.25", []string{"tags"}, false},
			{"2.63", "2.62", []string{"trusted_image_certificates"}, false},
			{"2.71", "2.70", []string{"server_groups"}, false},
			{"2.73", "2.72", []string{"locked_reason"}, false},
		} {
			now, earlier := show(t, s.admin, test.since).keys(t, "server"), show(t, s.admin, test.before).keys(t, "server")
			users := show(t, s.user, test.since).keys(t, "server")
			for _, field := range test.fields {
				require.Contains(t, now, field, test.since)
				require.NotContains(t, earlier, field, test.before)
				if test.admin {
					require.NotContains(t, users, field)
				} else {
					require.Contains(t, users, field)
				}
			}
		}
		for _, field := range []string{"OS-EXT-SRV-ATTR:host", "OS-EXT-SRV-ATTR:hypervisor_hostname", "OS-EXT-SRV-ATTR:instance_name"} {
			require.Contains(t, show(t, s.admin, "2.1").keys(t, "server"), field)
			require.NotContains(t, show(t, s.user, "2.1").keys(t, "server"), field)
		}
		require.Equal(t, "of the contract", show(t, s.user, "2.19").text(t, "server", "description"))
		require.Equal(t, []any{"one"}, show(t, s.user, "2.26").at(t, "server", "tags"))
	})
	t.Run("flavor", func(t *testing.T) {
		require.ElementsMatch(t, []string{"id", "links"}, show(t, s.user, "2.46").keys(t, "server", "flavor"))
		require.Equal(t, s.flavor.ID, show(t, s.user, "2.46").text(t, "server", "flavor", "id"))
		require.ElementsMatch(t, []string{"vcpus", "ram", "disk", "ephemeral", "swap", "original_name", "extra_specs"},
			show(t, s.user, "2.47").keys(t, "server", "flavor"))
		require.Equal(t, s.flavor.Name, show(t, s.user, "2.47").text(t, "server", "flavor", "original_name"))
	})
	t.Run("creating", func(t *testing.T) {
		order := func(field string, value any) object {
			return object{"server": object{
				"name": s.prefix + "no", "flavorRef": s.flavor.ID, "imageRef": s.imageID, "networks": "none", field: value,
			}}
		}
		for field, test := range map[string]struct {
			before string
			value  any
		}{"tags": {"2.51", []string{"x"}}, "host": {"2.73", s.Hosts[0]}, "hostname": {"2.89", "x"}} {
			a := s.admin.ask(t, api, "POST", "servers", order(field, test.value), versionHeader+": compute "+test.before)
			require.Equal(t, http.StatusBadRequest, a.status, "%s: %s", field, a.body)
			require.Contains(t, a.text(t, "badRequest", "message"), "Additional properties are not allowed ('"+field+"' was unexpected)")
		}
		a := s.admin.ask(t, api, "POST", "servers", order("description", "x"), versionHeader+": compute 2.18")
		require.Equal(t, http.StatusBadRequest, a.status, a.body)
	})
	t.Run("tags", func(t *testing.T) {
		a := s.user.ask(t, s.user.compute, "GET", "servers/"+id+"/tags", nil, versionHeader+": compute 2.25")
		require.Equal(t, http.StatusNotFound, a.status)
		require.Equal(t, "The resource could not be found.", a.text(t, "itemNotFound", "message"))
		require.NoError(t, tags.Add(t.Context(), s.user.compute, id, "two").ExtractErr())
		list, err := tags.List(t.Context(), s.user.compute, id).Extract()
		require.NoError(t, err)
		require.ElementsMatch(t, []string{"one", "two"}, list)
		has, err := tags.Check(t.Context(), s.user.compute, id, "two").Extract()
		require.NoError(t, err)
		require.True(t, has)
		require.NoError(t, tags.Delete(t.Context(), s.user.compute, id, "two").ExtractErr())
		has, err = tags.Check(t.Context(), s.user.compute, id, "two").Extract()
		require.NoError(t, err)
		require.False(t, has)
		a = s.user.ask(t, s.user.compute, "DELETE", "servers/"+id+"/tags/two", nil)
		require.Equal(t, http.StatusNotFound, a.status, a.body)
		list, err = tags.ReplaceAll(t.Context(), s.user.compute, id, tags.ReplaceAllOpts{Tags: []string{"b", "a", "b"}}).Extract()
		require.NoError(t, err)
		require.ElementsMatch(t, []string{"a", "b"}, list)
		for _, bad := range []string{"a/b", "a,b"} {
			a = s.user.ask(t, s.user.compute, "PUT", "servers/"+id+"/tags", object{"tags": []string{bad}})
			require.Equal(t, http.StatusBadRequest, a.status, a.body)
		}
		require.NoError(t, tags.DeleteAll(t.Context(), s.user.compute, id).ExtractErr())
		list, err = tags.List(t.Context(), s.user.compute, id).Extract()
		require.NoError(t, err)
		require.Empty(t, list)
	})
	t.Run("metadata", func(t *testing.T) {
		m, err := servers.UpdateMetadata(t.Context(), s.user.compute, id, servers.MetadataOpts{"c": "d"}).Extract()
		require.NoError(t, err)
		require.Equal(t, map[string]string{"a": "b", "c": "d"}, m)
		m, err = servers.ResetMetadata(t.Context(), s.user.compute, id, servers.MetadataOpts{"e": "f"}).Extract()
		require.NoError(t, err)
		require.Equal(t, map[string]string{"e": "f"}, m)
		require.NoError(t, servers.DeleteMetadatum(t.Context(), s.user.compute, id, "e").ExtractErr())
		a := refused(t, servers.DeleteMetadatum(t.Context(), s.user.compute, id, "e").ExtractErr(), http.StatusNotFound)
		require.Equal(t, "Metadata item was not found", a.text(t, "itemNotFound", "message"))
	})
	t.Run("update", func(t *testing.T) {
		s2, err := servers.Update(t.Context(), s.user.compute, id, servers.UpdateOpts{Name: s.prefix + "renamed"}).Extract()
		require.NoError(t, err)
		require.Equal(t, s.prefix+"renamed", s2.Name)
		a := s.user.ask(t, s.user.compute, "PUT", "servers/"+id, object{"server": object{"name": " "}})
		require.Equal(t, http.StatusBadRequest, a.status, a.body)
	})
	t.Run("ids of hosts", func(t *testing.T) {
		for _, list := range []struct{ path, key string }{{"os-services", "services"}, {"os-hypervisors", "hypervisors"}} {
			old := s.admin.ask(t, api, "GET", list.path, nil, versionHeader+": compute 2.52")
			require.IsType(t, 0.0, old.at(t, list.key, 0, "id"), list.path)
			now := s.admin.ask(t, api, "GET", list.path, nil, versionHeader+": compute 2.53")
			require.Regexp(t, "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$", now.text(t, list.key, 0, "id"), list.path)
		}
	})
}
