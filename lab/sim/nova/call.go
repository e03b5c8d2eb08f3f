package nova

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

const (
	versionHeader      = "OpenStack-API-Version"
	olderVersionHeader = "X-OpenStack-Nova-API-Version"
)

var minVersion = service.Version{Major: 2, Minor: 1}

// call is a request with a valid token and the microversion that it is answered in.
type call struct {
	w http.ResponseWriter
	*http.Request
	caller    *service.Caller
	version   service.Version
	requestID string
}

func (c *call) atLeast(minor int) bool { return c.version.Minor >= minor }

func (c *call) answer(status int, v any) { service.WriteJSON(c.w, status, v) }

func (c *call) fail(status int, message string) { writeFault(c.w, status, message) }

// malformed is what webob says where Nova says nothing of its own.
const malformed = "The server could not comply with the request since it is either malformed or otherwise incorrect."

func (c *call) notFound() { c.fail(http.StatusNotFound, "The resource could not be found.") }

// adminOnly answers 403 to others.
func (c *call) adminOnly(policy string) bool {
	if !c.caller.Admin() {
		c.forbidden(policy)
		return false
	}
	return true
}

func (c *call) forbidden(policy string) {
	c.fail(http.StatusForbidden, "Policy doesn't allow os_compute_api:"+policy+" to be performed.")
}

// read reads the request's body; it answers 400 and returns false if it is none.
func (c *call) read(v any) bool {
	if err := service.ReadJSON(c.Request, v); err != nil {
		c.fail(http.StatusBadRequest, "Malformed request body")
		return false
	}
	return true
}

// failed answers with an error: problems are answers, what else is wrong is Nova's fault. It tells whether there was one.
func (c *call) failed(err error) bool {
	if err == nil {
		return false
	}
	var p problem
	if errors.As(err, &p) {
		c.fail(p.status, p.message)
	} else {
		c.fail(http.StatusInternalServerError, "Unexpected API Error. Please report this at http://bugs.launchpad.net/nova/ "+
			"and attach the Nova API log if possible.\n"+err.Error())
	}
	return true
}

// problem is an error of the client's.
type problem struct {
	status  int
	message string
}

func (p problem) Error() string { return p.message }

func badRequest(message string) error { return problem{http.StatusBadRequest, message} }

func invalidQuery(name, value, why string) error {
	return badRequest("Invalid input for query parameters " + name + ". Value: " + value + ". " + why)
}

// refusesQuery answers 400 for query parameters of other names than these, as Nova does since a microversion.
func (c *call) refusesQuery(since int, names ...string) bool {
	if !c.atLeast(since) {
		return false
	}
	var odd []string
	for name := range c.URL.Query() {
		if !slices.Contains(names, name) {
			odd = append(odd, pythonString(name))
		}
	}
	slices.Sort(odd)
	switch len(odd) {
	case 0:
		return false
	case 1:
		c.fail(http.StatusBadRequest, "Additional properties are not allowed ("+odd[0]+" was unexpected)")
	default:
		c.fail(http.StatusBadRequest, "Additional properties are not allowed ("+strings.Join(odd, ", ")+" were unexpected)")
	}
	return true
}

// span is a part of time; zero ends are open.
type span struct{ since, before time.Time }

func (s span) has(t time.Time) bool {
	return (s.since.IsZero() || !t.Before(s.since)) && (s.before.IsZero() || !t.After(s.before))
}

// changes are the queries changes-since and changes-before.
func changes(q url.Values) (s span, err error) {
	for name, at := range map[string]*time.Time{"changes-since": &s.since, "changes-before": &s.before} {
		if !q.Has(name) {
			continue
		}
		if *at, err = parseTime(q.Get(name)); err != nil {
			return s, invalidQuery(name, q.Get(name), pythonString(q.Get(name))+" is not a 'date-time'")
		}
	}
	if !s.since.IsZero() && !s.before.IsZero() && s.before.Before(s.since) {
		return s, badRequest("The value of changes-since must be less than or equal to changes-before.")
	}
	return s, nil
}

// act sends a request to the one action that its body names.
func (c *call) act(actions map[string]func(arguments []byte)) {
	var body map[string]rawJSON
	if err := service.ReadJSON(c.Request, &body); err != nil || len(body) != 1 {
		c.fail(http.StatusBadRequest, "Malformed request body")
		return
	}
	for name, arguments := range body {
		if do := actions[name]; do != nil {
			do(arguments)
			return
		}
		c.fail(http.StatusBadRequest, "There is no such action: "+name)
	}
}

// faultNames are wsgi.Fault's.
var faultNames = map[int]string{
	400: "badRequest", 401: "unauthorized", 403: "forbidden", 404: "itemNotFound", 405: "badMethod", 409: "conflictingRequest",
	413: "overLimit", 415: "badMediaType", 429: "overLimit", 501: "notImplemented", 503: "serviceUnavailable",
}

func writeFault(w http.ResponseWriter, status int, message string) {
	name, ok := faultNames[status]
	if !ok {
		name = "computeFault"
	}
	body := map[string]any{"code": status, "message": message}
	if after := w.Header().Get("Retry-After"); after != "" {
		body["retryAfter"] = after
	}
	service.WriteJSON(w, status, map[string]any{name: body})
}

// noRoute answers what there is no path or method for, which never gets to Nova's own form.
func (n *Nova) noRoute(w http.ResponseWriter, _ *http.Request, _ int, _ string) {
	service.WriteJSON(w, http.StatusNotFound, map[string]string{
		"message": "The resource could not be found.<br /><br />\n\n\n", "code": "404 Not Found", "title": "Not Found",
	})
}

// Fail answers in Nova's form.
func (n *Nova) Fail(w http.ResponseWriter, _ *http.Request, status int, message string) {
	writeFault(w, status, message)
}

// authorized lets valid tokens with a project in and finds the microversion; before 2.first and after 2.last there is no such thing.
func (n *Nova) authorized(first, last int, h func(*call)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id := "req-" + uuid.NewString()
		header := w.Header()
		header.Set("X-Compute-Request-Id", id)
		header.Set("X-Openstack-Request-Id", id)
		caller := n.config.Tokens.Caller(r.Header.Get("X-Auth-Token"))
		if caller == nil {
			service.Unauthorized(w, n.config.Identity)
			return
		}
		c := &call{w, r, caller, minVersion, id}
		switch asked := service.RequestedVersion(r.Header, "compute", olderVersionHeader); asked {
		case "":
		case "latest":
			c.version = n.maxVersion
		default:
			v, err := service.ParseVersion(asked)
			if err != nil {
				c.fail(http.StatusBadRequest, "API Version String "+asked+" is of invalid format. Must be of format MajorNum.MinorNum.")
				return
			}
			if !v.AtLeast(minVersion) || !n.maxVersion.AtLeast(v) {
				setVersion(header, asked) // the one that there is not
				c.fail(http.StatusNotAcceptable, "Version "+asked+" is not supported by the API. Minimum is "+minVersion.String()+
					" and maximum is "+n.maxVersion.String()+".")
				return
			}
			c.version = v
		}
		setVersion(header, c.version.String())
		if caller.ProjectID == "" && r.Method != http.MethodGet {
			c.forbidden("servers") // a token without scope sees what is of no project: nothing
			return
		}
		if !c.atLeast(first) || c.atLeast(last+1) {
			c.notFound()
			return
		}
		h(c)
	}
}

func setVersion(header http.Header, version string) {
	header[versionHeaderKey] = []string{"compute " + version}
	header[olderVersionHeaderKey] = []string{version}
	header["Vary"] = []string{versionHeader, olderVersionHeader}
}

// The keys of http.Header, canonical once and for all.
var (
	versionHeaderKey      = http.CanonicalHeaderKey(versionHeader)
	olderVersionHeaderKey = http.CanonicalHeaderKey(olderVersionHeader)
)

// maxPage is nova.conf's max_limit.
const maxPage = 1000

// page is the part of a list that a request asks for.
type page struct {
	limit  int
	marker string
}

func (c *call) page() (page, error) {
	p := page{limit: maxPage}
	q := c.URL.Query()
	if q.Has("limit") {
		limit, err := strconv.Atoi(q.Get("limit"))
		if err != nil || limit < 0 {
			return p, invalidQuery("limit", q.Get("limit"), pythonString(q.Get("limit"))+" does not match '^[0-9]*$'")
		}
		p.limit = min(limit, maxPage)
	}
	p.marker = q.Get("marker")
	return p, nil
}

// next is the links of a list that may go on after its last item.
func (n *Nova) next(c *call, p page, items int, path, lastID string) []link {
	if p.limit == 0 || items != p.limit {
		return nil
	}
	q := c.URL.Query()
	q.Set("marker", lastID)
	return []link{{Rel: "next", Href: n.config.URL + "/v2.1/" + path + "?" + q.Encode()}}
}

type link struct {
	Rel  string `json:"rel"`
	Href string `json:"href"`
}
