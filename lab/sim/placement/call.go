package placement

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// The error codes of placement/errors.py.
const (
	undefinedCode    = "placement.undefined_code"
	concurrentUpdate = "placement.concurrent_update"
	inventoryInUse   = "placement.inventory.inuse"
	providerInUse    = "placement.resource_provider.inuse"
	duplicateName    = "placement.duplicate_name"
	missingValue     = "placement.query.missing_value"
)

// explanations are webob's, which Placement's details begin with.
var explanations = map[int]string{
	http.StatusBadRequest: "The server could not comply with the request since it is either malformed or otherwise incorrect.",
	http.StatusForbidden:  "Access was denied to this resource.",
	http.StatusNotFound:   "The resource could not be found.",
	http.StatusConflict:   "There was a conflict when trying to complete your request.",
}

// refusal is an answer that is an error.
type refusal struct {
	status       int
	code, detail string
}

func (r *refusal) Error() string { return r.detail }

func badRequest(format string, a ...any) *refusal {
	return &refusal{http.StatusBadRequest, undefinedCode, fmt.Sprintf(format, a...)}
}

func notFound(format string, a ...any) *refusal {
	return &refusal{http.StatusNotFound, undefinedCode, fmt.Sprintf(format, a...)}
}

func conflict(code, format string, a ...any) *refusal {
	return &refusal{http.StatusConflict, code, fmt.Sprintf(format, a...)}
}

// call is a request whose caller may make it, with the microversion it is answered in.
type call struct {
	w http.ResponseWriter
	*http.Request
	version service.Version
}

func (c *call) atLeast(minor int) bool { return c.version.Minor >= minor }

func (c *call) answer(status int, v any) {
	c.cacheHeaders()
	service.WriteJSON(c.w, status, v)
}

// empty answers without a body.
func (c *call) empty(status int) {
	c.cacheHeaders()
	c.w.WriteHeader(status)
}

func (c *call) cacheHeaders() {
	if c.atLeast(15) && c.Method != http.MethodDelete {
		c.w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		c.w.Header().Set("Cache-Control", "no-cache")
	}
}

func (c *call) location(path string) { c.w.Header().Set("Location", path) }

func (c *call) fail(r *refusal) {
	e := errorBody(c.w, r.status, r.detail)
	if c.atLeast(23) {
		e["code"] = r.code
	}
	writeError(c.w, r.status, e)
}

func errorBody(w http.ResponseWriter, status int, detail string) map[string]any {
	if explanation := explanations[status]; explanation != "" {
		detail = explanation + "\n\n " + detail + "  "
	}
	return map[string]any{
		"status": status, "title": http.StatusText(status), "detail": detail,
		"request_id": w.Header().Get("X-Openstack-Request-Id"),
	}
}

func writeError(w http.ResponseWriter, status int, e map[string]any) {
	service.WriteJSON(w, status, map[string]any{"errors": []any{e}})
}

// Fail answers in Placement's form.
func (p *Placement) Fail(w http.ResponseWriter, r *http.Request, status int, message string) {
	switch status {
	case http.StatusNotFound:
		message = " "
	case http.StatusMethodNotAllowed:
		message = "The method " + r.Method + " is not allowed for this resource. \n\n " + message
	}
	e := errorBody(w, status, message)
	if v, err := negotiate(r); err == nil && v.Minor >= 23 {
		e["code"] = undefinedCode
	}
	writeError(w, status, e)
}

// negotiate finds the microversion that a request wants; the error's text is Placement's.
func negotiate(r *http.Request) (service.Version, error) {
	switch asked := service.RequestedVersion(r.Header, "placement", ""); asked {
	case "":
		return minVersion, nil
	case "latest":
		return maxVersion, nil
	default:
		v, err := service.ParseVersion(asked)
		if err != nil {
			return v, fmt.Errorf("invalid version string: %s: %w", asked, err)
		}
		if !v.AtLeast(minVersion) || !maxVersion.AtLeast(v) {
			return v, unacceptable(asked)
		}
		return v, nil
	}
}

// unacceptable is a microversion that there is not.
type unacceptable string

func (u unacceptable) Error() string { return "Unacceptable version header: " + string(u) }

// authorized lets in whom Placement's default policy lets, and finds the microversion. Before the microversion since there is no
// such path.
func (p *Placement) authorized(since int, rule string, h func(*call)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		caller := p.config.Tokens.Caller(r.Header.Get("X-Auth-Token"))
		if caller == nil {
			service.Unauthorized(w, p.config.Identity)
			return
		}
		version, err := negotiate(r)
		if err != nil {
			status, detail := http.StatusBadRequest, "Invalid microversion: "+err.Error()
			var no unacceptable
			if errors.As(err, &no) {
				status = http.StatusNotAcceptable
				detail = "The resource could not be generated that was acceptable to your browser (content of type application/json. \n\n " + detail
			}
			e := errorBody(w, status, detail)
			e["min_version"], e["max_version"] = minVersion.String(), maxVersion.String()
			writeError(w, status, e)
			return
		}
		c := &call{w, r, version}
		w.Header().Set("OpenStack-API-Version", "placement "+version.String())
		w.Header().Add("Vary", "openstack-api-version")
		own := rule == usagesRule && caller.ProjectID != "" && caller.ProjectID == r.URL.Query().Get("project_id")
		switch {
		case !caller.Admin() && !own:
			c.fail(&refusal{http.StatusForbidden, undefinedCode, "Policy does not allow placement:" + rule + " to be performed."})
		case !c.atLeast(since):
			c.fail(notFound(" "))
		default:
			h(c)
		}
	}
}

// usagesRule lets a project's people see what the project uses.
const usagesRule = "usages"

// decode reads a body whose fields are all known, and the required ones there.
func (c *call) decode(v any, required ...string) *refusal {
	var raw json.RawMessage
	if err := service.ReadJSON(c.Request, &raw); err != nil {
		return badRequest("Malformed JSON: %v", err)
	}
	return validate(raw, v, required...)
}

func validate(raw json.RawMessage, v any, required ...string) *refusal {
	if len(required) > 0 {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(raw, &fields); err != nil || fields == nil {
			return badRequest("JSON does not validate: %s is not of type 'object'", raw)
		}
		for _, name := range required {
			if _, ok := fields[name]; !ok {
				return badRequest("JSON does not validate: '%s' is a required property", name)
			}
		}
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrong):
		return badRequest("JSON does not validate: a %s in '%s' is not of the type wanted, %s", wrong.Value, wrong.Field, wrong.Type)
	default:
		if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			return badRequest("JSON does not validate: Additional properties are not allowed ('%s' was unexpected)", strings.Trim(name, `"`))
		}
		return badRequest("JSON does not validate: %v", err)
	}
}

func (p *Placement) root(w http.ResponseWriter, _ *http.Request) {
	service.WriteJSON(w, http.StatusOK, map[string]any{"versions": []any{map[string]any{
		"id": "v1.0", "max_version": maxVersion.String(), "min_version": minVersion.String(), "status": "CURRENT",
		"links": []any{map[string]any{"rel": "self", "href": ""}},
	}}})
}
