package keystone

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// renderCatalog makes the catalog once: it is the largest part of every token's answer.
func (k *Keystone) renderCatalog() (json.RawMessage, error) {
	type endpoint struct {
		ID        string `json:"id"`
		Interface string `json:"interface"`
		RegionID  string `json:"region_id"`
		Region    string `json:"region"`
		URL       string `json:"url"`
	}
	type entry struct {
		ID        string     `json:"id"`
		Type      string     `json:"type"`
		Name      string     `json:"name"`
		Endpoints []endpoint `json:"endpoints"`
	}
	var entries []entry
	for _, e := range append([]Endpoint{{"identity", "keystone", k.config.URL}}, k.config.Catalog...) {
		new := entry{ID: stableID("service", e.Name), Type: e.Type, Name: e.Name}
		for _, i := range []string{"public", "internal", "admin"} {
			new.Endpoints = append(new.Endpoints, endpoint{stableID("endpoint", e.Name+" "+i), i, k.config.Region, k.config.Region, e.URL})
		}
		entries = append(entries, new)
	}
	raw, err := json.Marshal(entries)
	if err != nil {
		return nil, fmt.Errorf("writing the service catalog: %w", err)
	}
	return raw, nil
}

func (k *Keystone) showCatalog(w http.ResponseWriter, r *http.Request) {
	t := k.caller(w, r)
	if t == nil {
		return
	}
	if t.project == nil {
		k.forbidden(w, r, "identity:get_auth_catalog") // an unscoped token has no catalog
		return
	}
	service.WriteJSON(w, http.StatusOK, map[string]any{"catalog": k.catalog, "links": k.selfLink("/auth/catalog")})
}

func (k *Keystone) selfLink(path string) map[string]any {
	return map[string]any{"self": k.URL() + path, "next": nil, "previous": nil}
}

func (k *Keystone) versionDocument() map[string]any {
	return map[string]any{
		"id": "v3.14", "status": "stable", "updated": "2020-04-07T00:00:00Z", // Zed's
		"links": []any{map[string]any{"rel": "self", "href": k.URL() + "/"}},
		"media-types": []any{map[string]any{
			"base": "application/json", "type": "application/vnd.openstack.identity-v3+json",
		}},
	}
}

func (k *Keystone) versions(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Location", k.URL()+"/")
	service.WriteJSON(w, http.StatusMultipleChoices, map[string]any{
		"versions": map[string]any{"values": []any{k.versionDocument()}},
	})
}

func (k *Keystone) version(w http.ResponseWriter, _ *http.Request) {
	service.WriteJSON(w, http.StatusOK, map[string]any{"version": k.versionDocument()})
}
