package glance

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

func (g *Glance) create(c *call) {
	var body map[string]json.RawMessage
	if service.ReadJSON(c.Request, &body) != nil || body == nil {
		c.fail(badRequest("Malformed JSON in request body."))
		return
	}
	i := newImage(uuid.NewString(), c.caller.ProjectID, g.config.Now())
	for _, field := range slices.Sorted(maps.Keys(body)) {
		if r := i.set(c, field, body[field]); r != nil {
			c.fail(r)
			return
		}
	}
	g.mu.Lock()
	exists := g.byID[i.id] != nil
	if !exists {
		g.byID[i.id] = i
	}
	g.mu.Unlock()
	if exists {
		c.fail(conflict("Image ID %s already exists!", i.id))
		return
	}
	g.tell("image.create", i)
	c.w.Header().Set("Location", g.config.URL+"/v2/images/"+i.id)
	service.WriteJSON(c.w, http.StatusCreated, i.view())
}

// image is the one of the path that the caller may see; without one it answers 404.
func (g *Glance) image(c *call) *image {
	id := c.PathValue("id")
	g.mu.RLock()
	i := g.byID[id]
	g.mu.RUnlock()
	if i == nil || !i.seenBy(c.caller) {
		c.fail(&refusal{status: http.StatusNotFound, message: "No image found with ID " + id})
		return nil
	}
	return i
}

func (g *Glance) show(c *call) {
	if i := g.image(c); i != nil {
		service.WriteJSON(c.w, http.StatusOK, i.view())
	}
}

// The words for who may not change an image, which Glance has for each way; the last two name it.
const (
	notOwner  = "You do not own this image"
	noTags    = "Not allowed to update tags for image %s."
	noUploads = "Not allowed to upload image data for image %s"
)

// change replaces an image by what do makes of it, if the caller may; no says that not.
func (g *Glance) change(c *call, no string, do func(*image) *refusal) *image {
	i := g.image(c)
	if i == nil {
		return nil
	}
	if !i.ownedBy(c.caller) {
		c.fail(&refusal{status: http.StatusForbidden, message: strings.Replace(no, "%s", i.id, 1)})
		return nil
	}
	g.mu.Lock()
	var r *refusal
	changed := g.byID[i.id]
	if changed == nil {
		r = &refusal{status: http.StatusNotFound, message: "No image found with ID " + i.id}
	} else {
		changed = changed.clone()
		changed.updated = g.config.Now().UTC().Truncate(time.Second)
		if r = do(changed); r == nil {
			g.byID[i.id] = changed
		}
	}
	g.mu.Unlock()
	if r != nil {
		c.fail(r)
		return nil
	}
	return changed
}

func (g *Glance) delete(c *call) {
	id := c.PathValue("id")
	g.mu.Lock()
	i := g.byID[id]
	var r *refusal
	switch {
	case i == nil || !i.seenBy(c.caller):
		r = &refusal{status: http.StatusNotFound, message: "Failed to find image " + id + " to delete"}
	case !i.ownedBy(c.caller):
		r = &refusal{status: http.StatusForbidden, message: notOwner}
	case i.protected:
		r = forbidden("Image %s is protected and cannot be deleted.", id)
	default:
		delete(g.byID, id)
	}
	g.mu.Unlock()
	if r != nil {
		c.fail(r)
		return
	}
	gone := i.clone()
	gone.status, gone.updated = deleted, g.config.Now().UTC().Truncate(time.Second)
	g.tell("image.delete", gone)
	c.w.WriteHeader(http.StatusNoContent)
}

func (g *Glance) addTag(c *call) {
	if g.change(c, noTags, func(i *image) *refusal { return i.addTag(c.PathValue("tag")) }) != nil {
		c.w.WriteHeader(http.StatusNoContent)
	}
}

func (g *Glance) removeTag(c *call) {
	changed := g.change(c, noTags, func(i *image) *refusal {
		at := slices.Index(i.tags, c.PathValue("tag"))
		if at < 0 {
			return &refusal{status: http.StatusNotFound, message: "The resource could not be found."}
		}
		i.tags = slices.Delete(i.tags, at, at+1)
		return nil
	})
	if changed != nil {
		c.w.WriteHeader(http.StatusNoContent)
	}
}

// tell sends a notification. Glance's publisher has this name unless it is given another (default_publisher_id).
func (g *Glance) tell(event string, i *image) {
	g.config.Notifier.Notify("image.localhost", "INFO", event, i.notification())
}
