package glance

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

type anybody struct{}

func (anybody) Caller(string) *service.Caller { return &service.Caller{} }

func newGlance(t *testing.T) *Glance {
	c := Config{URL: "http://glance", Tokens: anybody{}, Owner: "admin"}
	for i := range 30 {
		c.Images = append(c.Images, Image{ID: fmt.Sprint(i), Name: fmt.Sprintf("image %d", i%2), Tags: []string{fmt.Sprint("t", i%3)}})
	}
	g, err := New(c)
	require.NoError(t, err)
	return g
}

func TestListIsPaged(t *testing.T) {
	g := newGlance(t)
	for query, want := range map[string]int{
		"": 30, "?limit=7": 30, "?limit=30": 30, "?limit=100": 30, "?name=image+0": 15, "?name=image+0&limit=4": 15,
		"?name=nothing": 0, "?status=active": 30, "?status=queued": 0, "?visibility=public": 30, "?visibility=private": 0,
		"?visibility=all": 30, "?id=in:1,2,99": 2, "?tag=t1": 10, "?tag=t1&tag=t2": 0,
	} {
		t.Run(query, func(t *testing.T) {
			seen := map[string]bool{}
			for next := "/v2/images" + query; next != ""; {
				w := httptest.NewRecorder()
				g.ServeHTTP(w, httptest.NewRequest("GET", next, nil))
				require.Equal(t, 200, w.Code, w.Body)
				var page struct {
					Images []struct{ ID string }
					Next   string
				}
				require.NoError(t, json.Unmarshal(w.Body.Bytes(), &page))
				for _, i := range page.Images {
					require.False(t, seen[i.ID])
					seen[i.ID] = true
				}
				next = page.Next
			}
			require.Len(t, seen, want)
		})
	}
}

func TestErrors(t *testing.T) {
	g := newGlance(t)
	for path, status := range map[string]int{
		"/v2/images?limit=x": 400, "/v2/images?limit=-1": 400, "/v2/images?marker=none": 400, "/v2/images/none": 404, "/v2/nothing": 404,
	} {
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		require.Equal(t, status, w.Code, path)
		require.Contains(t, w.Body.String(), fmt.Sprintf("<title>%d ", status), "HTML, as webob answers who does not ask for JSON")
	}
}
