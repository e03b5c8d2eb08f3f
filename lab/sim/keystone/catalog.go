package keystone

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// renderCatalog makes the catalog whenever it changes: it is the largest part of every token's answer. It is called with the lock
// held, or before the Keystone is used.
func (k *Keystone) renderCatalog() {
	type shown struct {
		ID        string  `json:"id"`
		Interface string  `json:"interface"`
		RegionID  *string `json:"region_id"`
		URL       string  `json:"url"`
		Region    *string `json:"region"`
	}
	type entry struct {
		ID        string  `json:"id"`
		Type      string  `json:"type"`
		Name      string  `json:"name"`
		Endpoints []shown `json:"endpoints"`
	}
	entries := []entry{}
	for _, s := range k.services {
		if !s.enabled {
			continue
		}
		one := entry{s.id, s.kind, s.name, []shown{}}
		for _, e := range k.endpoints {
			if e.Enabled && e.Service == s.id {
				one.Endpoints = append(one.Endpoints, shown{e.ID, e.Interface, e.RegionID, e.URL, e.Region})
			}
		}
		entries = append(entries, one)
	}
	raw, err := json.Marshal(entries)
	if err != nil {
		panic(fmt.Sprintf("writing the service catalog: %v", err)) // texts can be written
	}
	k.catalog = raw
}

// catalogOf is the catalog as a token's owner sees it: endpoints' URLs may hold the project's id. It is called with the lock held.
func (k *Keystone) catalogOf(t *token) json.RawMessage {
	if !bytes.Contains(k.catalog, []byte("_id)s")) {
		return k.catalog
	}
	project := ""
	if t.project != nil {
		project = t.project.ID
	}
	return json.RawMessage(strings.NewReplacer("%(tenant_id)s", project, "$(tenant_id)s", project,
		"%(project_id)s", project, "$(project_id)s", project, "%(user_id)s", t.user.id, "$(user_id)s", t.user.id).Replace(string(k.catalog)))
}

func (k *Keystone) showCatalog(w http.ResponseWriter, r *http.Request) {
	t := k.caller(w, r)
	if t == nil {
		return
	}
	if t.on.kind == "" {
		k.forbidden(w, r, "identity:get_auth_catalog") // an unscoped token has no catalog
		return
	}
	k.mu.RLock()
	catalog := k.catalogOf(t)
	k.mu.RUnlock()
	service.WriteJSON(w, http.StatusOK, map[string]any{"catalog": catalog, "links": k.selfLink("/auth/catalog")})
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
