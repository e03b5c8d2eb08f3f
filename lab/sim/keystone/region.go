package keystone

import (
	"maps"
	"net/http"
	"slices"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// region is as the API shows it. It does not change.
type region struct {
	ID          string            `json:"id"`
	Description string            `json:"description"`
	Parent      *string           `json:"parent_region_id"`
	Links       map[string]string `json:"links"`
}

func (k *Keystone) newRegion(id string) *region {
	return &region{ID: id, Links: map[string]string{"self": k.URL() + "/regions/" + id}}
}

// listRegions is for everybody, as are all that read regions.
func (k *Keystone) listRegions(w http.ResponseWriter, r *http.Request) {
	if k.caller(w, r) == nil {
		return
	}
	list := []*region{}
	k.mu.RLock()
	for _, id := range slices.Sorted(maps.Keys(k.regions)) {
		list = append(list, k.regions[id])
	}
	k.mu.RUnlock()
	service.WriteJSON(w, http.StatusOK, map[string]any{"regions": list, "links": k.selfLink("/regions")})
}

func (k *Keystone) findRegion(w http.ResponseWriter, r *http.Request) *region {
	k.mu.RLock()
	o := k.regions[r.PathValue("id")]
	k.mu.RUnlock()
	if o == nil {
		k.notFound(w, r, "region", r.PathValue("id"))
	}
	return o
}

func (k *Keystone) showRegion(w http.ResponseWriter, r *http.Request) {
	if k.caller(w, r) == nil {
		return
	}
	if o := k.findRegion(w, r); o != nil {
		service.WriteJSON(w, http.StatusOK, map[string]any{"region": o})
	}
}

func (k *Keystone) createRegion(w http.ResponseWriter, r *http.Request) {
	if k.admin(w, r, "identity:create_region") == nil {
		return
	}
	var body struct {
		Region struct {
			ID          *string `json:"id"`
			Description *string `json:"description"`
			Parent      *string `json:"parent_region_id"`
		} `json:"region"`
	}
	if !k.read(w, r, &body) {
		return
	}
	id := newID()
	set(&id, body.Region.ID)
	o := k.newRegion(id)
	set(&o.Description, body.Region.Description)
	o.Parent = body.Region.Parent
	k.mu.Lock()
	exists := k.regions[id] != nil
	orphan := o.Parent != nil && k.regions[*o.Parent] == nil
	if !exists && !orphan {
		k.regions[id] = o
	}
	k.mu.Unlock()
	switch {
	case exists:
		k.conflict(w, r, "region - Duplicate ID, "+id+"..")
	case orphan:
		k.notFound(w, r, "region", *o.Parent)
	default:
		k.tell("created", "region", id)
		service.WriteJSON(w, http.StatusCreated, map[string]any{"region": o})
	}
}

func (k *Keystone) deleteRegion(w http.ResponseWriter, r *http.Request) {
	if k.admin(w, r, "identity:delete_region") == nil {
		return
	}
	o := k.findRegion(w, r)
	if o == nil {
		return
	}
	k.mu.Lock()
	used := slices.ContainsFunc(k.endpoints, func(e *endpoint) bool { return e.RegionID != nil && *e.RegionID == o.ID })
	if !used {
		delete(k.regions, o.ID)
	}
	k.mu.Unlock()
	if used {
		k.Fail(w, r, http.StatusForbidden, "Unable to delete region "+o.ID+" because it or its child regions have associated endpoints.")
		return
	}
	k.tell("deleted", "region", o.ID)
	w.WriteHeader(http.StatusNoContent)
}
