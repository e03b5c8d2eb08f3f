package cloud_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/cloud"
)

func TestCreateServer(t *testing.T) {
	tests := []struct {
		name string
		spec cloud.ServerSpec
		want string // the server in the request's body
	}{
		{"least", cloud.ServerSpec{Name: "desk-1", FlavorID: "f", ImageID: "i"}, `{"name": "desk-1", "flavorRef": "f", "imageRef": "i",
			"networks": "none", "metadata": {"deskstorm_owner": "team", "deskstorm_run": "r7"},
			"tags": ["deskstorm-owner=team", "deskstorm-run=r7"]}`},
		{"all", cloud.ServerSpec{
			Name: "desk-1", FlavorID: "f", ImageID: "i", Networks: []string{"n1", "n2"}, AvailabilityZone: "nova",
			Metadata: map[string]string{"seat": "N2-117", "deskstorm_run": "another"}, Tags: []string{"pool=a", "deskstorm-run=r7"},
			UserData: []byte("echo"), // is base64, too
		}, `{"name": "desk-1", "flavorRef": "f", "imageRef": "i", "availability_zone": "nova",
			"networks": [{"uuid": "n1"}, {"uuid": "n2"}], "user_data": "` + base64.StdEncoding.EncodeToString([]byte("echo")) + `",
			"metadata": {"seat": "N2-117", "deskstorm_owner": "team", "deskstorm_run": "r7"},
			"tags": ["deskstorm-owner=team", "deskstorm-run=r7", "pool=a"]}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := newOpenStack(t)
			var body struct {
				Server json.RawMessage `json:"server"`
			}
			o.mux.HandleFunc("POST /compute/v2.1/servers", func(w http.ResponseWriter, r *http.Request) {
				if err := json.Unmarshal([]byte(readAll(r)), &body); err != nil {
					t.Error(err)
				}
				answer(202, `{"server": {"id": "s1", "adminPass": "x", "links": []}}`)(w, r)
			})
			config := o.config(t)
			config.Owner, config.Run = "team", "r7"
			s, err := o.connectWith(t, config).CreateServer(t.Context(), test.spec)
			require.NoError(t, err)
			require.JSONEq(t, test.want, string(body.Server))
			require.Equal(t, "s1", s.ID)
			require.Equal(t, "BUILD", s.Status)
			require.Equal(t, "desk-1", s.Name)
			require.Contains(t, s.Tags, "deskstorm-owner=team")
			require.Equal(t, "r7", s.Metadata["deskstorm_run"])
		})
	}
}

func TestCreateServerRefused(t *testing.T) {
	whole := cloud.ServerSpec{Name: "desk-1", FlavorID: "f", ImageID: "i"}
	with := func(f func(*cloud.ServerSpec)) cloud.ServerSpec { s := whole; f(&s); return s }
	tests := []struct {
		name     string
		spec     cloud.ServerSpec
		answer   http.HandlerFunc
		requests int
		is       error
		says     string
	}{
		{"no name", with(func(s *cloud.ServerSpec) { s.Name = "" }), nil, 0, nil, "a name, a flavor and an image"},
		{"tag with a comma", with(func(s *cloud.ServerSpec) { s.Tags = []string{"a,b"} }), nil, 0, nil, `tag "a,b" contains "/" or ","`},
		{"long tag", with(func(s *cloud.ServerSpec) { s.Tags = []string{strings.Repeat("é", 61)} }), nil, 0, nil, "longer than 60"},
		{"empty tag", with(func(s *cloud.ServerSpec) { s.Tags = []string{""} }), nil, 0, nil, "empty"},
		{"quota", whole, answer(403, `{"forbidden": {"code": 403, "message": "Quota exceeded for instances: Requested 1, but already used 10 of 10 instances"}}`, "X-Compute-Request-Id", "req-1"),
			1, cloud.ErrQuota, "creating server desk-1: 403 Quota exceeded for instances: Requested 1, but already used 10 of 10 instances (request req-1)"},
		{"old quota", whole, answer(413, `{"overLimit": {"message": "Quota exceeded"}}`), 1, cloud.ErrQuota, "413"},
		{"forbidden", whole, answer(403, `{"forbidden": {"message": "Policy doesn't allow os_compute_api:servers:create to be performed."}}`), 1, cloud.ErrForbidden, "Policy"},
		{"bad", whole, answer(400, `{"badRequest": {"message": "Invalid imageRef provided."}}`), 1, nil, "400 Invalid imageRef"},
		{"no id", whole, answer(202, `{"server": {}}`), 1, nil, "gave no ID"},
		{"no JSON", whole, answer(202, `<html>`), 1, nil, "invalid character"},
		{"nothing", whole, answer(202, ``), 1, nil, "EOF"},
		{"a list", whole, answer(202, `[1]`), 1, nil, "creating server desk-1: "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := newOpenStack(t)
			if test.answer != nil {
				o.mux.HandleFunc("POST /compute/v2.1/servers", test.answer)
			}
			s, err := o.connect(t).CreateServer(t.Context(), test.spec)
			require.ErrorContains(t, err, test.says)
			if test.is != nil {
				require.ErrorIs(t, err, test.is)
			}
			require.Len(t, o.asked(), test.requests)
			require.Empty(t, s.ID)
		})
	}
}

func TestServer(t *testing.T) {
	o := newOpenStack(t)
	o.mux.HandleFunc("GET /compute/v2.1/servers/{id}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("id") != "s1" {
			answer(404, `{"itemNotFound": {"code": 404, "message": "Instance gone could not be found."}}`)(w, r)
			return
		}
		answer(200, `{"server": {"id": "s1", "name": "desk-1", "status": "ERROR", "OS-EXT-STS:task_state": null,
			"fault": {"code": 500, "created": "2026-11-01T07:00:00Z", "message": "No valid host was found."},
			"tenant_id": "p", "user_id": "u", "flavor": {"original_name": "desktop", "vcpus": 2}, "image": "",
			"OS-EXT-SRV-ATTR:host": "node17", "OS-EXT-SRV-ATTR:hypervisor_hostname": "node17.example",
			"OS-EXT-SRV-ATTR:instance_name": "instance-0000002a", "OS-EXT-AZ:availability_zone": "nova",
			"metadata": {"seat": "N2-117"}, "tags": ["pool=a"], "created": "2026-11-01T06:00:00Z", "updated": "2026-11-01T07:00:00Z"}}`)(w, r)
	})
	c := o.connect(t)
	s, err := c.Server(t.Context(), "s1")
	require.NoError(t, err)
	require.Equal(t, cloud.Server{
		ID: "s1", Name: "desk-1", Status: "ERROR", Fault: "No valid host was found.", ProjectID: "p", UserID: "u", Flavor: "desktop",
		Host: "node17", Hypervisor: "node17.example", InstanceName: "instance-0000002a", AvailabilityZone: "nova",
		Metadata: map[string]string{"seat": "N2-117"}, Tags: []string{"pool=a"},
		Created: time.Date(2026, 11, 1, 6, 0, 0, 0, time.UTC), Updated: time.Date(2026, 11, 1, 7, 0, 0, 0, time.UTC),
	}, s)
	_, err = c.Server(t.Context(), "gone")
	require.ErrorIs(t, err, cloud.ErrNotFound)
	for _, id := range []string{"", ".", ".."} {
		_, err = c.Server(t.Context(), id)
		require.ErrorContains(t, err, "ID is empty or dots")
	}
	o.asked()
	_, _ = c.Server(t.Context(), "../flavors?x=/")
	require.Equal(t, []string{"GET /compute/v2.1/servers/..%2Fflavors%3Fx=%2F"}, o.asked())
}

// serveServers lists n servers, in pages of at most size, with links as of a Nova that takes itself for another host.
func (o *openstack) serveServers(n, size int) {
	o.mux.HandleFunc("GET /compute/v2.1/servers/detail", func(w http.ResponseWriter, r *http.Request) {
		first, _ := strconv.Atoi(r.URL.Query().Get("marker"))
		var list []string
		for i := first; i < min(first+size, n); i++ {
			list = append(list, fmt.Sprintf(`{"id": "s%d", "name": "desk-%[1]d", "status": %q, "metadata": {"seat": "N2-%d"}, "tags": ["pool=%c", "x"]}`,
				i, []string{"ACTIVE", "SHUTOFF"}[i%2], i/10, 'a'+i%3))
		}
		links := ""
		if first+size < n {
			query := r.URL.Query()
			query.Set("marker", strconv.Itoa(first+size))
			links = fmt.Sprintf(`, "servers_links": [{"rel": "next", "href": "http://nova.internal:8774/v2.1/servers/detail?%s"}]`, query.Encode())
		}
		answer(200, `{"servers": [`+strings.Join(list, ",")+`]`+links+`}`)(w, r)
	})
}

func TestServersPages(t *testing.T) {
	tests := []struct{ servers, size, requests int }{{0, 1000, 1}, {250, 1000, 1}, {250, 100, 3}, {200, 100, 2}}
	for _, test := range tests {
		o := newOpenStack(t)
		o.serveServers(test.servers, test.size)
		all, err := o.connect(t).Servers(t.Context(), cloud.Filter{AllProjects: true})
		require.NoError(t, err)
		require.Len(t, all, test.servers)
		requests := o.asked()
		require.Len(t, requests, test.requests)
		for _, r := range requests {
			require.Contains(t, r, "all_tenants=true", "the filter is on all pages")
		}
	}
}

func TestServersBadPages(t *testing.T) {
	tests := map[string]struct{ answer, says string }{
		"in circles":   {`{"servers": [{"id": "s1"}], "servers_links": [{"rel": "next", "href": "/x?marker=s1"}]}`, "round in circles"},
		"bad link":     {`{"servers": [{"id": "s1"}], "servers_links": [{"rel": "next", "href": ":"}]}`, "not an address"},
		"no servers":   {`{"servers": 7}`, "cannot unmarshal"},
		"bad time":     {`{"servers": [{"id": "s1", "created": "yesterday"}]}`, "yesterday"},
		"cut":          {`{"servers": [{"id": "s1"}`, "EOF"},
		"bad metadata": {`{"servers": [{"id": "s1", "metadata": [1]}]}`, "cannot unmarshal"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := newOpenStack(t)
			o.mux.HandleFunc("GET /compute/v2.1/servers/detail", answer(200, test.answer))
			all, err := o.connect(t).Servers(t.Context(), cloud.Filter{})
			require.ErrorContains(t, err, test.says)
			require.Nil(t, all)
		})
	}
}

// The server here ignores all filters, as Nova does some.
func TestServersFilter(t *testing.T) {
	since := time.Date(2026, 11, 1, 7, 0, 0, 0, time.FixedZone("", 3600))
	tests := []struct {
		name   string
		filter cloud.Filter
		query  string
		want   int
	}{
		{"all", cloud.Filter{}, "", 60},
		{"name", cloud.Filter{Name: "desk-1"}, "?name=%5Edesk-1%24", 1},
		{"name with signs", cloud.Filter{Name: "a.b"}, `?name=%5Ea%5C.b%24`, 0},
		{"status", cloud.Filter{Status: "ACTIVE"}, "?status=ACTIVE", 30},
		{"metadata", cloud.Filter{Metadata: map[string]string{"seat": "N2-3"}}, "?metadata=%7B%22seat%22%3A%22N2-3%22%7D", 10},
		{"metadata that is no expression", cloud.Filter{Metadata: map[string]string{"seat": "N2(3"}}, "", 0},
		{"empty metadata is not missing metadata", cloud.Filter{Metadata: map[string]string{"none": ""}}, "?metadata=%7B%22none%22%3A%22%22%7D", 0},
		{"tags", cloud.Filter{Tags: []string{"pool=a", "x"}}, "?tags=pool%3Da%2Cx", 20},
		{"all at once", cloud.Filter{Status: "ACTIVE", Metadata: map[string]string{"seat": "N2-3"}, Tags: []string{"pool=a"}},
			"?metadata=%7B%22seat%22%3A%22N2-3%22%7D&status=ACTIVE&tags=pool%3Da", 2},
		{"since", cloud.Filter{ChangesSince: since}, "?changes-since=2026-11-01T06%3A00%3A00Z", 60},
	}
	o := newOpenStack(t)
	o.serveServers(60, 1000)
	c := o.connect(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			all, err := c.Servers(t.Context(), test.filter)
			require.NoError(t, err)
			require.Len(t, all, test.want)
			require.Equal(t, []string{"GET /compute/v2.1/servers/detail" + test.query}, o.asked())
		})
	}
	_, err := c.Servers(t.Context(), cloud.Filter{Tags: []string{"a,b"}})
	require.ErrorContains(t, err, "contains")
}

func TestActions(t *testing.T) {
	tests := map[string]struct {
		call func(*cloud.Cloud) error
		want string
	}{
		"start":  {func(c *cloud.Cloud) error { return c.StartServer(t.Context(), "s1") }, `{"os-start": null}`},
		"stop":   {func(c *cloud.Cloud) error { return c.StopServer(t.Context(), "s1") }, `{"os-stop": null}`},
		"reboot": {func(c *cloud.Cloud) error { return c.RebootServer(t.Context(), "s1") }, `{"reboot": {"type": "HARD"}}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := newOpenStack(t)
			var body string
			o.mux.HandleFunc("POST /compute/v2.1/servers/s1/action", func(w http.ResponseWriter, r *http.Request) {
				body = readAll(r)
				w.WriteHeader(202)
			})
			require.NoError(t, test.call(o.connect(t)))
			require.JSONEq(t, test.want, body)
		})
	}
}

func TestDeleteServer(t *testing.T) {
	o := newOpenStack(t)
	o.mux.HandleFunc("DELETE /compute/v2.1/servers/{id}", func(w http.ResponseWriter, r *http.Request) {
		switch r.PathValue("id") {
		case "s1":
			w.WriteHeader(204)
		case "gone":
			answer(404, `{"itemNotFound": {"message": "Instance gone could not be found."}}`)(w, r)
		default:
			answer(403, `{"forbidden": {"message": "no"}}`)(w, r)
		}
	})
	c := o.connect(t)
	require.NoError(t, c.DeleteServer(t.Context(), "s1"))
	require.NoError(t, c.DeleteServer(t.Context(), "gone"))
	require.ErrorIs(t, c.DeleteServer(t.Context(), "another"), cloud.ErrForbidden)
	o.asked()
	require.Error(t, c.DeleteServer(t.Context(), ""), "what an empty ID addresses is gone, too")
	require.Empty(t, o.asked())
}

func TestTagsAndMetadata(t *testing.T) {
	o := newOpenStack(t)
	tagged := map[string]bool{}
	o.mux.HandleFunc("PUT /compute/v2.1/servers/s1/tags/{tag}", func(w http.ResponseWriter, r *http.Request) {
		if tag := r.PathValue("tag"); !tagged[tag] {
			tagged[tag] = true
			w.WriteHeader(201)
			return
		}
		w.WriteHeader(204)
	})
	o.mux.HandleFunc("DELETE /compute/v2.1/servers/s1/tags/{tag}", func(w http.ResponseWriter, r *http.Request) {
		if tag := r.PathValue("tag"); tagged[tag] {
			delete(tagged, tag)
			w.WriteHeader(204)
			return
		}
		answer(404, `{"itemNotFound": {"message": "No such tag."}}`)(w, r)
	})
	o.mux.HandleFunc("DELETE /compute/v2.1/servers/s1/metadata/{key}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("key") != "a key" {
			answer(404, `{"itemNotFound": {"message": "Metadata item was not found"}}`)(w, r)
			return
		}
		w.WriteHeader(204)
	})
	c, ctx := o.connect(t), t.Context()
	for _, tag := range []string{"user=u117", "a b?&%#é"} {
		created, err := c.TagServer(ctx, "s1", tag)
		require.NoError(t, err)
		require.True(t, created)
		created, err = c.TagServer(ctx, "s1", tag)
		require.NoError(t, err)
		require.False(t, created)
		require.True(t, tagged[tag])
		require.NoError(t, c.UntagServer(ctx, "s1", tag))
		require.NoError(t, c.UntagServer(ctx, "s1", tag))
		require.Empty(t, tagged)
	}
	for _, tag := range []string{"", "a/b", "..", strings.Repeat("x", 61)} {
		_, err := c.TagServer(ctx, "s1", tag)
		require.Error(t, err)
		require.Error(t, c.UntagServer(ctx, "s1", tag))
	}
	_, err := c.TagServer(ctx, "another", "x")
	require.ErrorIs(t, err, cloud.ErrNotFound)

	require.NoError(t, c.DeleteServerMetadata(ctx, "s1", "a key"))
	require.ErrorIs(t, c.DeleteServerMetadata(ctx, "s1", "other"), cloud.ErrNotFound)
	require.Error(t, c.DeleteServerMetadata(ctx, "s1", ""))
	o.asked()
	require.NoError(t, c.SetServerMetadata(ctx, "s1", nil))
	require.Empty(t, o.asked())
}
