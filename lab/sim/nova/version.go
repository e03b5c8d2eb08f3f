package nova

import (
	"net/http"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

func (n *Nova) versionDocument() map[string]any {
	return map[string]any{
		"id": "v2.1", "status": "CURRENT", "version": n.maxVersion.String(), "min_version": minVersion.String(),
		"updated": "2013-07-23T11:33:21Z",
	}
}

// listVersions says which there are. Nova also names v2.0, which is not simulated.
func (n *Nova) listVersions(w http.ResponseWriter, _ *http.Request) {
	v := n.versionDocument()
	v["links"] = []link{{"self", n.config.URL + "/v2.1/"}}
	service.WriteJSON(w, http.StatusOK, map[string]any{"versions": []any{v}})
}

func (n *Nova) showVersion(w http.ResponseWriter, _ *http.Request) {
	v := n.versionDocument()
	v["links"] = []any{
		link{"self", n.config.URL + "/v2.1/"},
		map[string]string{"rel": "describedby", "type": "text/html", "href": "http://docs.openstack.org/"},
	}
	v["media-types"] = []any{map[string]string{
		"base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1",
	}}
	service.WriteJSON(w, http.StatusOK, map[string]any{"version": v})
}
