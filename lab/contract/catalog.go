package contract

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

func testCatalog(t *testing.T, s *suite) {
	a := s.user.ask(t, s.user.identity, "GET", "auth/catalog", nil)
	require.Equal(t, http.StatusOK, a.status, a.body)
	found := map[string]object{}
	for _, entry := range a.at(t, "catalog").([]any) {
		entry := entry.(object)
		require.NotEmpty(t, entry["id"])
		require.NotEmpty(t, entry["name"])
		for _, e := range entry["endpoints"].([]any) {
			e := e.(object)
			require.NotEmpty(t, e["id"])
			require.Equal(t, e["region"], e["region_id"])
			if e["interface"] == "public" && e["region"] == s.Region {
				found[entry["type"].(string)] = e
			}
		}
	}
	for service, discovery := range map[string]struct {
		status int
		where  []any // of the newest version's id
		id     string
	}{
		"identity":  {http.StatusOK, []any{"version", "id"}, "v3.14"},
		"compute":   {http.StatusOK, []any{"version", "version"}, "2.93"},
		"placement": {http.StatusOK, []any{"versions", 0, "max_version"}, "1.39"},
		"image":     {http.StatusMultipleChoices, []any{"versions", 0, "id"}, "v2.15"},
		"network":   {http.StatusOK, []any{"versions", 0, "id"}, "v2.0"},
	} {
		t.Run(service, func(t *testing.T) {
			require.Contains(t, found, service)
			base := found[service]["url"].(string)
			if service == "identity" {
				base = s.Admin.IdentityEndpoint // the catalog's may be without its version
			}
			u, err := url.Parse(base)
			require.NoError(t, err)
			require.NotEmpty(t, u.Host)
			if u.Path == "" || base[len(base)-1] != '/' {
				base += "/"
			}
			a := s.user.ask(t, s.user.identity, "GET", base, nil, "X-Auth-Token")
			require.Equal(t, discovery.status, a.status, "discovery needs no token: %s", a.body)
			require.Equal(t, discovery.id, a.text(t, discovery.where...))
		})
	}
}
