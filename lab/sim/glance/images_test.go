package glance

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/imagedata"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// heard are the notifications that were sent.
type heard struct{ names []string }

func (h *heard) Notify(_, _, event string, _ any) { h.names = append(h.names, event) }

// projects are tokens: "admin", and else the name of a project.
type projects struct{}

func (projects) Caller(token string) *service.Caller {
	c := &service.Caller{UserID: "u", ProjectID: token, Roles: []string{"member"}}
	if token == "admin" {
		c.Roles = []string{"admin"}
	}
	return c
}

// TestLife is an image's, with gophercloud.
func TestLife(t *testing.T) {
	events := &heard{}
	g, err := New(Config{Tokens: projects{}, Owner: "admin", Notifier: events})
	require.NoError(t, err)
	server := httptest.NewServer(g)
	defer server.Close()
	provider := &gophercloud.ProviderClient{TokenID: "admin"}
	client := &gophercloud.ServiceClient{ProviderClient: provider, Endpoint: server.URL + "/v2/"}
	ctx := t.Context()

	made, err := images.Create(ctx, client, images.CreateOpts{
		Name: "windows", DiskFormat: "raw", ContainerFormat: "bare", MinDisk: 20, Tags: []string{"a"}, Properties: map[string]string{"os": "win"},
	}).Extract()
	require.NoError(t, err)
	require.Equal(t, images.ImageStatusQueued, made.Status)
	require.Equal(t, images.ImageVisibilityShared, made.Visibility)
	require.NoError(t, imagedata.Upload(ctx, client, made.ID, strings.NewReader("hello")).ExtractErr())
	shown, err := images.Get(ctx, client, made.ID).Extract()
	require.NoError(t, err)
	require.Equal(t, images.ImageStatusActive, shown.Status)
	require.EqualValues(t, 5, shown.SizeBytes)
	sum := md5.Sum([]byte("hello"))
	require.Equal(t, hex.EncodeToString(sum[:]), shown.Checksum)
	data, err := imagedata.Download(ctx, client, made.ID).Extract()
	require.NoError(t, err)
	text, err := io.ReadAll(data)
	require.NoError(t, err)
	require.Equal(t, "hello", string(text))

	updated, err := images.Update(ctx, client, made.ID, images.UpdateOpts{
		images.ReplaceImageName{NewName: "windows 11"}, images.ReplaceImageProtected{NewProtected: true}, images.ReplaceImageTags{NewTags: []string{"x"}},
		images.UpdateVisibility{Visibility: images.ImageVisibilityPublic},
		images.UpdateImageProperty{Op: images.ReplaceOp, Name: "os", Value: "win11"},
	}).Extract()
	require.NoError(t, err)
	require.Equal(t, "windows 11", updated.Name)
	require.Equal(t, "win11", updated.Properties["os"])
	nova, ok := g.Image(made.ID)
	require.True(t, ok)
	require.Equal(t, Image{ID: made.ID, Name: "windows 11", Size: 5, MinDisk: 20, Tags: []string{"x"}, Status: "active"}, nova)
	require.Error(t, images.Delete(ctx, client, made.ID).ExtractErr(), "it is protected")
	_, err = images.Update(ctx, client, made.ID, images.UpdateOpts{images.ReplaceImageProtected{}}).Extract()
	require.NoError(t, err)
	require.NoError(t, images.Delete(ctx, client, made.ID).ExtractErr())
	_, ok = g.Image(made.ID)
	require.False(t, ok)
	require.Equal(t, []string{
		"image.create", "image.prepare", "image.upload", "image.activate", "image.update", "image.update", "image.delete",
	}, events.names)
}

// TestAnswers holds the answers to what a real Glance of Zed was seen to answer.
func TestAnswers(t *testing.T) {
	g, err := New(Config{Tokens: projects{}, Owner: "admin", Images: []Image{{ID: "given", Name: "given"}}})
	require.NoError(t, err)
	ids := map[string]string{}
	const patch = "application/openstack-images-v2.1-json-patch"
	for i, s := range []struct {
		token, request, kind, body string
		status                     int
		says                       string
	}{
		{"p", "POST /v2/images", "", `{"name":"mine","foo":"bar"}`, 201, `"status":"queued"`},
		{"p", "POST /v2/images", "", `{"id":"MINE"}`, 409, `Image ID MINE already exists!`},
		{"p", "POST /v2/images", "", `{"name":1}`, 400, `Provided object does not match schema 'image': 1 is not of type 'null', 'string'`},
		{"p", "POST /v2/images", "", `{"disk_format":"odd"}`, 400, `'odd' is not one of [None, 'ami'`},
		{"p", "POST /v2/images", "", `{"status":"active"}`, 403, `Attribute 'status' is read-only.`},
		{"p", "POST /v2/images", "", `{"id":"x"}`, 400, `'x' does not match`},
		{"p", "POST /v2/images", "", `{`, 400, `Malformed JSON in request body.`},
		{"p", "POST /v2/images", "", `{"visibility":"public"}`, 403, `You are not authorized to complete publicize_image action.`},
		{"p", "PUT /v2/images/MINE/file", "application/json", `x`, 415, `The request media type application/json is not supported by this server.`},
		{"p", "PUT /v2/images/MINE/file", "application/octet-stream", `x`, 400, `Properties disk_format, container_format must be set prior to saving data.`},
		{"p", "GET /v2/images/MINE/file", "", ``, 204, ``},
		{"p", "PATCH /v2/images/MINE", patch, `[{"op":"replace","path":"/disk_format","value":"raw"},{"op":"replace","path":"/container_format","value":"bare"}]`, 200, `"disk_format":"raw"`},
		{"p", "PUT /v2/images/MINE/file", "application/octet-stream", `hello`, 204, ``},
		{"p", "PUT /v2/images/MINE/file", "application/octet-stream", `hello`, 409, `Image status transition from active to saving is not allowed`},
		{"p", "GET /v2/images/MINE", "", ``, 200, `"os_hash_value":"9b71d224bd62f3785d96d46ad3ea3d73319bfbc2890caadae2dff72519673ca72323c3d99ba5c11d7c7acc6e14b8c5da0c4663475c2e5c3adef46f73bcdec043"`},
		{"p", "PATCH /v2/images/MINE", patch, `[{"op":"replace","path":"/nope","value":"x"}]`, 409, `Property nope does not exist.`},
		{"p", "PATCH /v2/images/MINE", patch, `[{"op":"remove","path":"/name"}]`, 403, `Property name may not be removed.`},
		{"p", "PATCH /v2/images/MINE", patch, `[{"op":"add","path":"/zoo","value":5}]`, 400, `5 is not of type 'string'`},
		{"p", "PATCH /v2/images/MINE", patch, `[{"op":"odd","path":"/name","value":"x"}]`, 400, "Invalid operation: `odd`. It must be one of the following: add, remove, replace."},
		{"p", "PATCH /v2/images/MINE", patch, `[{"op":"replace","path":"/min_ram","value":-1}]`, 400, `Invalid value '-1' for parameter 'min_ram': Cannot be a negative value`},
		{"p", "PATCH /v2/images/MINE", patch, `[{"op":"replace","path":"/disk_format","value":"qcow2"}]`, 403, `can be only replaced for a queued image`},
		{"p", "PATCH /v2/images/MINE", patch, `{}`, 400, `Request body must be a JSON array of operation objects.`},
		{"p", "PATCH /v2/images/MINE", "application/json", `[]`, 415, `application/json is not supported`},
		{"p", "PATCH /v2/images/MINE", patch, `[{"op":"remove","path":"/foo"}]`, 200, `"name":"mine"`},
		{"p", "PATCH /v2/images/given", patch, `[]`, 403, `You do not own this image`},
		{"p", "DELETE /v2/images/given", "", ``, 403, `You do not own this image`},
		{"p", "PUT /v2/images/given/tags/x", "", ``, 403, `Not allowed to update tags for image given.`},
		{"q", "GET /v2/images/MINE", "", ``, 404, `No image found with ID MINE`},
		{"q", "DELETE /v2/images/MINE", "", ``, 404, `Failed to find image MINE to delete`},
		{"q", "GET /v2/images", "", ``, 200, `"images":[{"checksum":null,`},
		{"p", "PUT /v2/images/MINE/tags/new", "", ``, 204, ``},
		{"p", "GET /v2/images?tag=new", "", ``, 200, `"tags":["new"]`},
		{"p", "DELETE /v2/images/MINE/tags/new", "", ``, 204, ``},
		{"p", "DELETE /v2/images/MINE/tags/new", "", ``, 404, `The resource could not be found.`},
		{"p", "GET /v2/images?sort=name:asc&limit=1", "", ``, 200, `"next":"/v2/images?limit=1\u0026marker=given\u0026sort=name%3Aasc"`},
		{"p", "GET /v2/images?sort_key=size&sort_dir=desc&limit=1", "", ``, 200, `"name":"mine"`},
		{"p", "GET /v2/images?size_min=5&disk_format=in:raw,iso", "", ``, 200, `"name":"mine"`},
		{"p", "GET /v2/images?size_min=6", "", ``, 200, `"images":[]`},
		{"p", "GET /v2/images?protected=True", "", ``, 200, `"images":[]`},
		{"p", "GET /v2/images?sort_key=odd", "", ``, 400, `Invalid sort key: odd. It must be one of the following: name, status`},
		{"p", "GET /v2/images?sort_key=name&sort_dir=up", "", ``, 400, `Invalid sort direction: up`},
		{"p", "GET /v2/images?sort_key=name&sort=name", "", ``, 400, `Old and new sorting syntax cannot be combined`},
		{"p", "GET /v2/images?marker=nope", "", ``, 400, `No image found with ID nope`},
		{"p", "GET /v2/images?visibility=odd", "", ``, 400, `Invalid visibility value: odd`},
		{"p", "GET /v2/images?size_min=x", "", ``, 400, `Unable to filter on a range with a non-numeric value.`},
		{"p", "DELETE /v2/images/MINE", "", ``, 204, ``},
	} {
		expand := func(s string) string { return strings.ReplaceAll(s, "MINE", ids["MINE"]) }
		method, path, _ := strings.Cut(expand(s.request), " ")
		r := httptest.NewRequest(method, path, strings.NewReader(expand(s.body)))
		r.Header.Set("X-Auth-Token", s.token)
		r.Header.Set("Accept", "application/json")
		r.Header.Set("Content-Type", s.kind)
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		require.Equal(t, s.status, w.Code, "%d %s %s: %s", i, s.request, s.body, w.Body)
		require.Contains(t, w.Body.String(), expand(s.says), "%d %s %s", i, s.request, s.body)
		if w.Code == 201 {
			var body struct{ ID string }
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body))
			ids["MINE"] = body.ID
		}
	}
}

func TestUploads(t *testing.T) {
	g, err := New(Config{Tokens: projects{}})
	require.NoError(t, err)
	upload := func(data io.Reader) (string, int) {
		i := newImage(strings.Repeat("0", len(g.byID)+1), "p", g.config.Now())
		raw := "raw"
		i.disk, i.container = &raw, &raw
		g.byID[i.id] = i
		r := httptest.NewRequest("PUT", "/v2/images/"+i.id+"/file", data)
		r.Header.Set("X-Auth-Token", "p")
		r.Header.Set("Content-Type", "application/octet-stream")
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		return i.id, w.Code
	}
	id, status := upload(io.LimitReader(zeros{}, keptData+1))
	require.Equal(t, 204, status)
	require.EqualValues(t, keptData+1, *g.byID[id].size)
	require.Nil(t, g.byID[id].data, "large data is not kept")
	id, status = upload(io.LimitReader(zeros{}, keptData))
	require.Equal(t, 204, status)
	require.Len(t, g.byID[id].data, keptData)
	id, status = upload(iotest.ErrReader(errors.New("the client has gone")))
	require.Equal(t, 400, status)
	require.Equal(t, queued, g.byID[id].status)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
