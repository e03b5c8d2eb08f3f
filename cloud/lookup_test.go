package cloud_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/cloud"
)

// Two of one name, one whose name is another's ID, and one that is alone.
const (
	id1 = "11111111-1111-4111-8111-111111111111"
	id2 = "22222222-2222-4222-8222-222222222222"
	id3 = "33333333-3333-4333-8333-333333333333"
	id4 = "44444444-4444-4444-8444-444444444444"
)

func TestLookup(t *testing.T) {
	things := [][2]string{{id1, "twin"}, {id2, "twin"}, {id3, "windows"}, {id4, id3}}
	o := newOpenStack(t)
	serve := func(path, kind, next string, pages bool) {
		o.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			q := r.URL.Query()
			var list []string
			for _, thing := range things {
				if (!q.Has("name") || q.Get("name") == thing[1]) && (!q.Has("id") || q.Get("id") == thing[0]) {
					list = append(list, fmt.Sprintf(`{"id": %q, "name": %q}`, thing[0], thing[1]))
				}
			}
			link := ""
			if pages && len(list) > 1 { // the last of them on a second page
				if q.Get("marker") == "" {
					list = list[:len(list)-1]
					q.Set("marker", "m")
					link = fmt.Sprintf(next, path+"?"+q.Encode())
				} else {
					list = list[len(list)-1:]
				}
			}
			answer(200, fmt.Sprintf(`{%q: [%s]%s}`, kind, strings.Join(list, ","), link))(w, r)
		})
	}
	serve("/compute/v2.1/flavors", "flavors", `, "flavors_links": [{"rel": "next", "href": %q}]`, true)
	serve("/image/v2/images", "images", `, "next": %q`, true)
	serve("/network/v2.0/networks", "networks", `, "networks_links": [{"rel": "next", "href": %q}]`, true)
	c := o.connect(t)
	for kind, look := range map[string]func(context.Context, string) (string, error){
		"flavor": c.Flavor, "image": c.Image, "network": c.Network,
	} {
		t.Run(kind, func(t *testing.T) {
			for nameOrID, want := range map[string]string{"windows": id3, id1: id1, id4: id4, id3: id3} {
				id, err := look(t.Context(), nameOrID)
				require.NoError(t, err)
				require.Equal(t, want, id)
			}
			for _, missing := range []string{"Windows", "window", "", "55555555-5555-4555-8555-555555555555"} {
				_, err := look(t.Context(), missing)
				require.ErrorIs(t, err, cloud.ErrNotFound)
				require.ErrorContains(t, err, "looking for "+kind)
			}
			_, err := look(t.Context(), "twin")
			require.ErrorIs(t, err, cloud.ErrAmbiguous)
			require.ErrorContains(t, err, "say which by its ID: "+id1+", "+id2)
		})
	}
	o.asked()
	_, err := c.Image(t.Context(), "windows")
	require.NoError(t, err)
	require.Equal(t, []string{"GET /image/v2/images?name=windows"}, o.asked())
}

func TestLookupWithoutService(t *testing.T) {
	o := newOpenStack(t)
	o.setLogin(func(w http.ResponseWriter, r *http.Request) {
		answer(201, `{"token": {"catalog": [{"type": "compute", "endpoints": [{"interface": "public", "region": "r", "url": "`+o.URL+`/compute"}]}]}}`,
			"X-Subject-Token", tokens)(w, r)
	})
	c := o.connect(t)
	_, err := c.Image(t.Context(), "x")
	require.ErrorIs(t, err, cloud.ErrNotOffered)
	_, err = c.Network(t.Context(), "x")
	require.ErrorIs(t, err, cloud.ErrNotOffered)
}
