package glance

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

const patchType = "application/openstack-images-v2.1-json-patch"

type operation struct {
	Op    string          `json:"op"`
	Path  string          `json:"path"`
	Value json.RawMessage `json:"value"`
}

// patch changes an image by a JSON patch (RFC 6902) of the operations add, remove and replace.
func (g *Glance) patch(c *call) {
	if kind := c.Header.Get("Content-Type"); kind != patchType {
		c.fail(&refusal{http.StatusUnsupportedMediaType, "The request media type " + kind + " is not supported by this server.", ""})
		return
	}
	var raw json.RawMessage
	if service.ReadJSON(c.Request, &raw) != nil {
		c.fail(badRequest("Malformed JSON in request body."))
		return
	}
	var operations []operation
	if json.Unmarshal(raw, &operations) != nil {
		c.fail(badRequest("Request body must be a JSON array of operation objects."))
		return
	}
	changed := g.change(c, notOwner, func(i *image) *refusal {
		for _, o := range operations {
			if r := i.apply(c, o); r != nil {
				return r
			}
		}
		return nil
	})
	if changed != nil {
		g.tell("image.update", changed)
		service.WriteJSON(c.w, http.StatusOK, changed.view())
	}
}

func (i *image) apply(c *call, o operation) *refusal {
	field, ok := strings.CutPrefix(o.Path, "/")
	field = strings.NewReplacer("~1", "/", "~0", "~").Replace(field)
	_, exists := i.view()[field]
	_, own := i.properties[field]
	switch {
	case !slices.Contains([]string{"add", "remove", "replace"}, o.Op):
		return badRequest("Invalid operation: `%s`. It must be one of the following: add, remove, replace.", o.Op)
	case !ok || field == "":
		return badRequest("Unable to find '/' in JSON Schema change: the pointer %q does not start with it.", o.Path)
	case o.Op != "add" && !exists:
		return &refusal{http.StatusConflict, "There was a conflict when trying to complete your request.", "Property " + field + " does not exist."}
	case field == "id":
		return forbidden("Attribute 'id' is read-only.")
	case o.Op == "remove" && !own:
		if slices.Contains(readOnly, field) {
			return forbidden("Attribute '%s' is read-only.", field)
		}
		return &refusal{http.StatusForbidden, "Access was denied to this resource.", "Property " + field + " may not be removed."}
	case o.Op == "remove":
		delete(i.properties, field)
		return nil
	case len(o.Value) == 0:
		return badRequest(`Operation "%s" requires a member named "value".`, o.Op)
	}
	return i.set(c, field, o.Value)
}
