package contract

import (
	"context"
	"net/http"
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
	"github.com/gophercloud/gophercloud/v2/pagination"
	"github.com/stretchr/testify/require"
)

func testImages(t *testing.T, s *suite) {
	var ids []string
	for _, name := range []string{"image-a", "image-b", "image-c"} {
		i, err := images.Create(t.Context(), s.user.image, images.CreateOpts{
			Name: s.prefix + name, DiskFormat: "raw", ContainerFormat: "bare", Tags: []string{s.prefix + "tag"},
		}).Extract()
		require.NoError(t, err)
		cleanup(t, "image "+i.Name, func(ctx context.Context) error { return images.Delete(ctx, s.user.image, i.ID).ExtractErr() })
		require.Equal(t, images.ImageStatusQueued, i.Status)
		ids = append(ids, i.ID)
	}
	var seen []string
	err := images.List(s.user.image, images.ListOpts{Tags: []string{s.prefix + "tag"}, Sort: "name:asc", Limit: 2}).EachPage(t.Context(),
		func(_ context.Context, p pagination.Page) (bool, error) {
			found, err := images.ExtractImages(p)
			require.LessOrEqual(t, len(found), 2)
			for _, i := range found {
				seen = append(seen, i.ID)
			}
			return true, err
		})
	require.NoError(t, err)
	require.Equal(t, ids, seen)
	a := s.user.ask(t, s.user.image, "GET", "images?limit=2&sort=name:asc&tag="+s.prefix+"tag", nil)
	require.Contains(t, a.text(t, "next"), "marker="+ids[1])
	require.Contains(t, a.text(t, "first"), "/v2/images?")
	require.Equal(t, "/v2/schemas/images", a.text(t, "schema"))
	for query, says := range map[string]string{
		"limit=x":          "limit param must be an integer",
		"marker=" + nobody: "No image found with ID " + nobody,
		"sort=nosuch:asc": "Invalid sort key: nosuch. It must be one of the following: name, status, " +
			"container_format, disk_format, size, id, created_at, updated_at.",
	} {
		a := s.user.ask(t, s.user.image, "GET", "images?"+query, nil)
		require.Equal(t, http.StatusBadRequest, a.status, a.body)
		require.Contains(t, a.text(t, "message"), says)
	}
}
