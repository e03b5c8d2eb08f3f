package neutron

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// resources are kept in the order in which they were made.
type resources[T comparable] struct {
	byID  map[string]T
	order []T
}

func newResources[T comparable]() resources[T] { return resources[T]{byID: map[string]T{}} }

func (r *resources[T]) add(id string, v T) error {
	if _, exists := r.byID[id]; exists {
		return fmt.Errorf("there are two with id %s", id)
	}
	r.byID[id] = v
	r.order = append(r.order, v)
	return nil
}

func (r *resources[T]) remove(id string) {
	v, ok := r.byID[id]
	if !ok {
		return
	}
	delete(r.byID, id)
	r.order = slices.DeleteFunc(r.order, func(o T) bool { return o == v })
}

// standard are the attributes that networks, subnets and ports have in common.
type standard struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Tenant      string   `json:"tenant_id"`
	Project     string   `json:"project_id"`
	Tags        []string `json:"tags"`
	Created     string   `json:"created_at"`
	Updated     string   `json:"updated_at"`
	Revision    int      `json:"revision_number"`
}

func (n *Neutron) newStandard(id, name, project string) standard {
	now := n.now()
	return standard{ID: id, Name: name, Tenant: project, Project: project, Tags: []string{}, Created: now, Updated: now}
}

func (n *Neutron) now() string { return n.config.Now().UTC().Format(time.RFC3339) }

func (n *Neutron) touch(s *standard) {
	s.Updated = n.now()
	s.Revision++
}

// forAdministrators are attributes that Neutron's policy shows to nobody else.
var forAdministrators = []string{
	"provider:network_type", "provider:physical_network", "provider:segmentation_id", "binding:host_id", "binding:vif_type", "binding:vif_details",
	"binding:profile",
}

// attribute is where a resource has a value.
type attribute struct {
	name  string
	index []int
}

// attributesOf are what the JSON of a resource has.
func attributesOf(kind reflect.Type) []attribute {
	var all []attribute
	for _, f := range reflect.VisibleFields(kind) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
			all = append(all, attribute{name, f.Index})
		}
	}
	return all
}

// view is a resource as a caller sees it; with fields, only those of it.
func (c *call) view(o any, fields ...string) map[string]any {
	v := reflect.ValueOf(o).Elem()
	shown := map[string]any{}
	for _, a := range attributesOf(v.Type()) {
		if (len(fields) == 0 || slices.Contains(fields, a.name)) && (c.caller.Admin() || !slices.Contains(forAdministrators, a.name)) {
			shown[a.name] = v.FieldByIndex(a.index).Interface()
		}
	}
	return shown
}
