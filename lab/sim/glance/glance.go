// Package glance is an embedded OpenStack Image API v2 for tests: the images that it is given, listed with paging and
// filters, and shown. Images have no data and cannot be made through the API.
package glance

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// Image is a public, active image.
type Image struct {
	ID, Name string
	Size     int64 // bytes
	MinDisk  int   // GB
	MinRAM   int   // MB
	Tags     []string
}

// Config is how a Glance begins.
type Config struct {
	URL      string // its own, without /v2
	Tokens   service.Tokens
	Identity string // Keystone's URL, for answers of 401
	Owner    string // the images' project
	Images   []Image
	Now      func() time.Time
}

// Glance is an Image API. Its methods may be called by many goroutines at once.
type Glance struct {
	config  Config
	router  *service.Router
	created string
	byID    map[string]Image
}

// New makes a Glance.
func New(c Config) (*Glance, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	g := &Glance{config: c, created: c.Now().UTC().Format(time.RFC3339), byID: map[string]Image{}}
	for _, i := range c.Images {
		if _, exists := g.byID[i.ID]; exists {
			return nil, fmt.Errorf("image %s: there are two with id %s", i.Name, i.ID)
		}
		g.byID[i.ID] = i
	}
	r := service.NewRouter(g.Fail)
	r.Handle("GET", "/{$}", g.versions(http.StatusMultipleChoices))
	r.Handle("GET", "/versions", g.versions(http.StatusOK))
	r.Handle("GET", "/v2/images", g.authorized(g.list))
	r.Handle("GET", "/v2/images/{id}", g.authorized(g.show))
	g.router = r
	return g, nil
}

// Route is the template that a request's path matches, such as "GET /v2.1/servers/{id}".
func (g *Glance) Route(req *http.Request) string { return g.router.Route(req) }

func (g *Glance) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Openstack-Request-Id", "req-"+uuid.NewString())
	g.router.ServeHTTP(w, r)
}

// Image returns an image by its id.
func (g *Glance) Image(id string) (Image, bool) {
	i, ok := g.byID[id]
	return i, ok
}

// Fail answers as webob does, which Glance leaves its errors to: in HTML, or JSON for who accepts nothing else.
func (g *Glance) Fail(w http.ResponseWriter, r *http.Request, status int, message string) {
	title := http.StatusText(status)
	line := strconv.Itoa(status) + " " + title
	if accept := r.Header.Get("Accept"); strings.Contains(accept, "json") && !strings.Contains(accept, "html") {
		service.WriteJSON(w, status, map[string]any{"message": message + "<br /><br />\n\n\n", "code": line, "title": title})
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=UTF-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<html>\n <head>\n  <title>%s</title>\n </head>\n <body>\n  <h1>%s</h1>\n  %s<br /><br />\n\n\n\n </body>\n</html>",
		line, line, html.EscapeString(message))
}

func (g *Glance) authorized(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if g.config.Tokens.Caller(r.Header.Get("X-Auth-Token")) == nil {
			service.Unauthorized(w, g.config.Identity)
			return
		}
		h(w, r)
	}
}

func (g *Glance) versions(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		var list []any
		for minor := 15; minor >= 0; minor-- { // Zed's
			if minor >= 10 && minor < 15 || minor == 8 {
				continue // these are of caches and several stores
			}
			state := "SUPPORTED"
			if minor == 15 {
				state = "CURRENT"
			}
			list = append(list, map[string]any{
				"id": "v2." + strconv.Itoa(minor), "status": state,
				"links": []any{map[string]any{"rel": "self", "href": g.config.URL + "/v2/"}},
			})
		}
		service.WriteJSON(w, status, map[string]any{"versions": list})
	}
}

func (g *Glance) view(i Image) map[string]any {
	tags := i.Tags
	if tags == nil {
		tags = []string{}
	}
	self := "/v2/images/" + i.ID
	return map[string]any{
		"id": i.ID, "name": i.Name, "status": "active", "visibility": "public", "owner": g.config.Owner, "size": i.Size,
		"virtual_size": nil, "disk_format": "qcow2", "container_format": "bare", "checksum": nil, "os_hash_algo": nil,
		"os_hash_value": nil, "os_hidden": false, "protected": false, "min_disk": i.MinDisk, "min_ram": i.MinRAM, "tags": tags,
		"created_at": g.created, "updated_at": g.created, "self": self, "file": self + "/file", "schema": "/v2/schemas/image",
	}
}

// The page sizes of glance-api.conf: limit_param_default and api_limit_max.
const (
	usualPage = 25
	largePage = 1000
)

func (g *Glance) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	limit := usualPage
	if q.Has("limit") {
		n, err := strconv.Atoi(q.Get("limit"))
		if err != nil || n < 0 {
			g.Fail(w, r, http.StatusBadRequest, "limit param must be an integer")
			return
		}
		limit = min(n, largePage)
	}
	list, reached, last := []any{}, !q.Has("marker"), ""
	more := false
	for _, i := range g.config.Images {
		switch {
		case !reached:
			reached = i.ID == q.Get("marker")
		case !matches(i, q):
		case len(list) == limit:
			more = true
		default:
			list, last = append(list, g.view(i)), i.ID
		}
	}
	if !reached {
		g.Fail(w, r, http.StatusBadRequest, "Invalid marker. Image could not be found.")
		return
	}
	body := map[string]any{"images": list, "schema": "/v2/schemas/images", "first": "/v2/images"}
	q.Del("marker")
	if query := q.Encode(); query != "" {
		body["first"] = "/v2/images?" + query
	}
	if more && limit > 0 {
		q.Set("marker", last)
		body["next"] = "/v2/images?" + q.Encode()
	}
	service.WriteJSON(w, http.StatusOK, body)
}

// matches knows the filters that can tell the images here apart; "in:a,b" is Glance's list of values.
func matches(i Image, q url.Values) bool {
	for field, value := range map[string]string{"name": i.Name, "id": i.ID, "status": "active", "visibility": "public"} {
		if !q.Has(field) || field == "visibility" && q.Get(field) == "all" {
			continue
		}
		wanted := []string{q.Get(field)}
		if list, ok := strings.CutPrefix(wanted[0], "in:"); ok {
			wanted = strings.Split(list, ",")
		}
		if !contains(wanted, value) {
			return false
		}
	}
	for _, tag := range q["tag"] {
		if !contains(i.Tags, tag) {
			return false
		}
	}
	return true
}

func contains(list []string, wanted string) bool {
	for _, s := range list {
		if strings.Trim(s, `"`) == wanted {
			return true
		}
	}
	return false
}

func (g *Glance) show(w http.ResponseWriter, r *http.Request) {
	i, ok := g.byID[r.PathValue("id")]
	if !ok {
		g.Fail(w, r, http.StatusNotFound, "Failed to find image "+r.PathValue("id"))
		return
	}
	service.WriteJSON(w, http.StatusOK, g.view(i))
}
