package placement

import (
	"net/http"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// The error codes of placement/errors.py.
const (
	undefinedCode    = "placement.undefined_code"
	concurrentUpdate = "placement.concurrent_update"
	inventoryInUse   = "placement.inventory.inuse"
)

// call is a request of an administrator with the microversion it is answered in.
type call struct {
	w http.ResponseWriter
	*http.Request
	version service.Version
}

func (c *call) atLeast(minor int) bool { return c.version.Minor >= minor }

func (c *call) answer(status int, v any) { service.WriteJSON(c.w, status, v) }

func (c *call) fail(status int, code, detail string) {
	e := errorBody(c.w, status, detail)
	if c.atLeast(23) {
		e["code"] = code
	}
	writeError(c.w, status, e)
}

func errorBody(w http.ResponseWriter, status int, detail string) map[string]any {
	return map[string]any{
		"status": status, "title": http.StatusText(status), "detail": detail,
		"request_id": w.Header().Get("X-Openstack-Request-Id"),
	}
}

func writeError(w http.ResponseWriter, status int, e map[string]any) {
	service.WriteJSON(w, status, map[string]any{"errors": []any{e}})
}

// Fail answers in Placement's form.
func (p *Placement) Fail(w http.ResponseWriter, _ *http.Request, status int, message string) {
	writeError(w, status, errorBody(w, status, message))
}

// authorized lets administrators in, as Placement's default policy does, and finds the microversion.
func (p *Placement) authorized(h func(*call)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		caller := p.config.Tokens.Caller(r.Header.Get("X-Auth-Token"))
		if caller == nil {
			service.Unauthorized(w, p.config.Identity)
			return
		}
		c := &call{w, r, minVersion}
		switch asked := service.RequestedVersion(r.Header, "placement", ""); asked {
		case "":
		case "latest":
			c.version = maxVersion
		default:
			v, err := service.ParseVersion(asked)
			if err != nil || !v.AtLeast(minVersion) || !maxVersion.AtLeast(v) {
				status, detail := http.StatusNotAcceptable, "Unacceptable version header: "+asked
				if err != nil {
					status, detail = http.StatusBadRequest, "invalid version string: "+asked
				}
				e := errorBody(w, status, detail)
				e["min_version"], e["max_version"] = minVersion.String(), maxVersion.String()
				writeError(w, status, e)
				return
			}
			c.version = v
		}
		w.Header().Set("OpenStack-API-Version", "placement "+c.version.String())
		w.Header().Add("Vary", "openstack-api-version")
		if !caller.Admin() {
			c.fail(http.StatusForbidden, undefinedCode, "Access was denied to this resource.")
			return
		}
		h(c)
	}
}

func (p *Placement) root(w http.ResponseWriter, _ *http.Request) {
	service.WriteJSON(w, http.StatusOK, map[string]any{"versions": []any{map[string]any{
		"id": "v1.0", "max_version": maxVersion.String(), "min_version": minVersion.String(), "status": "CURRENT",
		"links": []any{map[string]any{"rel": "self", "href": ""}},
	}}})
}
