package nova

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxTags a server can have (MAX_TAG_COUNT of nova/objects/instance.py).
const maxTags = 50

func checkTags(tags []string) error {
	if len(tags) > maxTags {
		return badRequest(fmt.Sprintf("Invalid input for field/attribute tags. %d tags are too long", len(tags)))
	}
	for _, tag := range tags {
		if err := checkTag(tag); err != nil {
			return err
		}
	}
	return nil
}

func checkTag(tag string) error {
	if tag == "" || utf8.RuneCountInString(tag) > 60 || strings.ContainsAny(tag, "/,") {
		return badRequest("Tag '" + string(shorten([]byte(tag))) + "' is invalid. It must be a non empty string without characters '/' and ','. " +
			"Validation error message: it has 1 to 60 characters")
	}
	return nil
}

// tagged finds the server whose tags are to be changed; it must be one that was built. It is called with the lock held.
func (n *Nova) tagged(c *call, action string) *server {
	s := n.find(c)
	if s != nil && s.state != active && s.state != stopped {
		s.conflict(c, action, "vm_state "+s.state)
		return nil
	}
	return s
}

func (n *Nova) listTags(c *call) {
	n.mu.RLock()
	s := n.find(c)
	if s == nil {
		n.mu.RUnlock()
		return
	}
	tags := s.tags
	n.mu.RUnlock()
	writeTags(c, tags)
}

func writeTags(c *call, tags []string) {
	if tags == nil {
		tags = []string{}
	}
	c.answer(http.StatusOK, map[string]any{"tags": tags})
}

func (n *Nova) showTag(c *call) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	s := n.find(c)
	switch tag := c.PathValue("tag"); {
	case s == nil:
	case slices.Contains(s.tags, tag):
		c.w.WriteHeader(http.StatusNoContent)
	default:
		c.fail(http.StatusNotFound, "Server "+s.id+" has no tag '"+tag+"'")
	}
}

func (n *Nova) putTag(c *call) {
	tag := c.PathValue("tag")
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.tagged(c, "update tag")
	if s == nil || c.failed(checkTag(tag)) {
		return
	}
	if len(s.tags) >= maxTags {
		c.fail(http.StatusBadRequest, "The number of tags exceeded the per-server limit 50")
		return
	}
	if slices.Contains(s.tags, tag) {
		c.w.WriteHeader(http.StatusNoContent)
		return
	}
	s.tags = slices.Sorted(slices.Values(append(slices.Clone(s.tags), tag)))
	n.touch(s)
	c.w.Header().Set("Location", n.config.URL+"/v2.1/servers/"+s.id+"/tags/"+tag)
	c.w.WriteHeader(http.StatusCreated)
}

func (n *Nova) replaceTags(c *call) {
	var body struct {
		Tags []string `json:"tags"`
	}
	if !c.read(&body) {
		return
	}
	if body.Tags == nil {
		c.fail(http.StatusBadRequest, "'tags' is a required property")
		return
	}
	if c.failed(checkTags(body.Tags)) {
		return
	}
	n.mu.Lock()
	s := n.tagged(c, "update tags")
	if s == nil {
		n.mu.Unlock()
		return
	}
	s.tags = slices.Compact(slices.Sorted(slices.Values(body.Tags)))
	tags := s.tags
	n.touch(s)
	n.mu.Unlock()
	writeTags(c, tags)
}

func (n *Nova) deleteTag(c *call) {
	tag := c.PathValue("tag")
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.tagged(c, "delete tag")
	if s == nil {
		return
	}
	i := slices.Index(s.tags, tag)
	if i < 0 {
		c.fail(http.StatusNotFound, "Instance "+s.id+" has no tag '"+tag+"'")
		return
	}
	s.tags = slices.Delete(slices.Clone(s.tags), i, i+1)
	n.touch(s)
	c.w.WriteHeader(http.StatusNoContent)
}

func (n *Nova) deleteTags(c *call) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s := n.tagged(c, "delete tags"); s != nil {
		s.tags = nil
		n.touch(s)
		c.w.WriteHeader(http.StatusNoContent)
	}
}
