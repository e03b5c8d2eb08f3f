// Package glance is an embedded OpenStack Image API v2 for tests: images are made, uploaded, shown, changed by JSON patch, tagged,
// listed with paging, filters and sorting, and deleted. Those that it is given are public and active from the start.
//
// It is simpler than Glance in this: of data that is uploaded the bytes are counted and hashed, and kept only if they are few;
// an image whose data was not kept downloads as one that has none. There are no members, tasks, imports, stores, metadata
// definitions and schemas, no filters by time, and no deactivation. A body that does not validate is answered with Glance's
// first words, without the schema that it adds.
package glance

import (
	"fmt"
	"html"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// Image is an image as it is given at the start, public and active, and as Nova asks for it.
type Image struct {
	ID, Name string
	Size     int64 // bytes
	MinDisk  int   // GB
	MinRAM   int   // MB
	Tags     []string
	Status   string // "active" and so on; of no account at the start
}

// Config is how a Glance begins.
type Config struct {
	URL      string // its own, without /v2
	Tokens   service.Tokens
	Identity string // Keystone's URL without its version, for answers of 401
	Owner    string // the images' project
	Images   []Image
	Now      func() time.Time
	Notifier service.Notifier // of "image.create" and the like; nil: nobody
}

// Glance is an Image API. Its methods may be called by many goroutines at once.
type Glance struct {
	config Config
	router *service.Router

	mu   sync.RWMutex
	byID map[string]*image
}

// New makes a Glance.
func New(c Config) (*Glance, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Notifier == nil {
		c.Notifier = service.Silent{}
	}
	g := &Glance{config: c, byID: map[string]*image{}}
	for _, given := range c.Images {
		if g.byID[given.ID] != nil {
			return nil, fmt.Errorf("image %s: there are two with id %s", given.Name, given.ID)
		}
		i := newImage(given.ID, c.Owner, c.Now())
		disk, container := "qcow2", "bare"
		i.name, i.size, i.disk, i.container = &given.Name, &given.Size, &disk, &container
		i.minDisk, i.minRAM, i.tags = given.MinDisk, given.MinRAM, append(i.tags, given.Tags...)
		i.status, i.visibility = active, public
		g.byID[i.id] = i
	}
	r := service.NewRouter(g.Fail)
	r.Handle("GET", "/{$}", g.versions(http.StatusMultipleChoices))
	r.Handle("GET", "/versions", g.versions(http.StatusOK))
	handle := func(method, path string, h func(*call)) { r.Handle(method, "/v2/images"+path, g.authorized(h)) }
	handle("GET", "", g.list)
	handle("POST", "", g.create)
	handle("GET", "/{id}", g.show)
	handle("PATCH", "/{id}", g.patch)
	handle("DELETE", "/{id}", g.delete)
	handle("PUT", "/{id}/file", g.upload)
	handle("GET", "/{id}/file", g.download)
	handle("PUT", "/{id}/tags/{tag}", g.addTag)
	handle("DELETE", "/{id}/tags/{tag}", g.removeTag)
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
	g.mu.RLock()
	defer g.mu.RUnlock()
	i := g.byID[id]
	if i == nil {
		return Image{}, false
	}
	v := Image{ID: i.id, MinDisk: i.minDisk, MinRAM: i.minRAM, Tags: append([]string(nil), i.tags...), Status: i.status}
	if i.name != nil {
		v.Name = *i.name
	}
	if i.size != nil {
		v.Size = *i.size
	}
	return v, true
}

// Fail answers as webob does, which Glance leaves its errors to: in HTML, or JSON for who accepts nothing else.
func (g *Glance) Fail(w http.ResponseWriter, r *http.Request, status int, message string) {
	if status == http.StatusMethodNotAllowed {
		message = "The method " + r.Method + " is not allowed for this resource. "
		fail(w, r, status, message+"<br /><br />\n", message+"<br /><br />\n\n")
		return
	}
	fail(w, r, status, message+"<br /><br />\n\n\n", html.EscapeString(message)+"<br /><br />\n\n\n\n")
}

func fail(w http.ResponseWriter, r *http.Request, status int, message, markup string) {
	title := http.StatusText(status)
	line := strconv.Itoa(status) + " " + title
	if accept := r.Header.Get("Accept"); strings.Contains(accept, "json") && !strings.Contains(accept, "html") {
		service.WriteJSON(w, status, map[string]any{"message": message, "code": line, "title": title})
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=UTF-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<html>\n <head>\n  <title>%s</title>\n </head>\n <body>\n  <h1>%s</h1>\n  %s </body>\n</html>", line, line, markup)
}

// refusal is an answer that is an error. With a detail the message is webob's explanation of the status.
type refusal struct {
	status          int
	message, detail string
}

func badRequest(format string, a ...any) *refusal {
	return &refusal{status: http.StatusBadRequest, message: fmt.Sprintf(format, a...)}
}

func forbidden(format string, a ...any) *refusal {
	return &refusal{status: http.StatusForbidden, message: fmt.Sprintf(format, a...)}
}

func conflict(format string, a ...any) *refusal {
	return &refusal{status: http.StatusConflict, message: fmt.Sprintf(format, a...)}
}

// call is a request with a valid token.
type call struct {
	w http.ResponseWriter
	*http.Request
	glance *Glance
	caller *service.Caller
}

func (c *call) fail(r *refusal) {
	if r.detail == "" {
		c.glance.Fail(c.w, c.Request, r.status, r.message)
		return
	}
	fail(c.w, c.Request, r.status, r.message+"<br /><br />\n"+r.detail+"\n\n", html.EscapeString(r.message)+"<br /><br />\n"+html.EscapeString(r.detail)+"\n\n\n")
}

// sayUnauthorized is webob's.
const sayUnauthorized = "This server could not verify that you are authorized to access the document you requested. Either you " +
	"supplied the wrong credentials (e.g., bad password), or your browser does not understand how to supply the credentials required."

func (g *Glance) authorized(h func(*call)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		caller := g.config.Tokens.Caller(r.Header.Get("X-Auth-Token"))
		if caller == nil {
			w.Header().Set("WWW-Authenticate", `Keystone uri="`+g.config.Identity+`"`)
			g.Fail(w, r, http.StatusUnauthorized, sayUnauthorized) // its pipeline lets the request through to itself
			return
		}
		h(&call{w, r, g, caller})
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
