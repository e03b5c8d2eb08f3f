package nova

import (
	"encoding/json"
	"net/http"
	"slices"
)

// maxTags a server can have (MAX_TAG_COUNT of nova/objects/instance.py).
const maxTags = 50

// tagText and tagList are parameter_types.tag and the schema of a list of them.
var (
	tagText = all(text(1, 60), matching(`^[^,/]*$`))
	tagList = array(tagText, maxTags)
)

// tagged finds the server whose tags are to be changed; it must be one that was built. It is called with the lock held.
func (n *Nova) tagged(c *call, action string) *server {
	s := n.find(c)
	if s != nil && !slices.Contains([]string{active, paused, suspended, stopped}, s.state) {
		s.conflict(c, action, "vm_state "+s.state)
		return nil
	}
	return s
}

// saveTags is called with the lock held.
func (n *Nova) saveTags(s *server, tags []string) {
	s.tags = tags
	n.sayUpdate(s, states{s.state, s.task}, fromTagsAPI)
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
	if s == nil {
		return
	}
	quoted, _ := json.Marshal(tag) // a text never fails
	if f := tagText(quoted); f != nil {
		c.fail(http.StatusBadRequest, "Tag '"+tag+"' is invalid. It must be a non empty string without characters '/' and ','. "+
			"Validation error message: "+f.message)
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
	n.saveTags(s, slices.Sorted(slices.Values(append(slices.Clone(s.tags), tag))))
	c.w.Header().Set("Location", n.config.URL+"/v2.1/servers/"+s.id+"/tags/"+tag)
	c.w.WriteHeader(http.StatusCreated)
}

func (n *Nova) replaceTags(c *call) {
	var body struct{ Tags []string }
	if !c.valid(object([]string{"tags"}, property{"tags", tagList}), &body) {
		return
	}
	n.mu.Lock()
	s := n.tagged(c, "update tags")
	if s == nil {
		n.mu.Unlock()
		return
	}
	tags := slices.Compact(slices.Sorted(slices.Values(body.Tags)))
	n.saveTags(s, tags)
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
	n.saveTags(s, slices.Delete(slices.Clone(s.tags), i, i+1))
	c.w.WriteHeader(http.StatusNoContent)
}

func (n *Nova) deleteTags(c *call) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s := n.tagged(c, "delete tags"); s != nil {
		n.saveTags(s, nil)
		c.w.WriteHeader(http.StatusNoContent)
	}
}
