package nova

import (
	"maps"
	"net/http"
	"unicode/utf8"
)

// maxMetadata is the quota metadata_items.
const maxMetadata = 128

func checkMetadata(metadata map[string]string) error {
	if len(metadata) > maxMetadata {
		return problem{http.StatusForbidden, "Maximum number of metadata items exceeds 128"}
	}
	for key, value := range metadata {
		if key == "" || utf8.RuneCountInString(key) > 255 {
			return badRequest("Invalid input for field/attribute metadata. A key has 1 to 255 characters.")
		}
		if utf8.RuneCountInString(value) > 255 {
			return invalidField(key, string(shorten([]byte(value))), "It is too long")
		}
	}
	return nil
}

func (n *Nova) metadata(c *call) (map[string]string, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	s := n.find(c)
	if s == nil {
		return nil, false
	}
	return s.metadata, true
}

func (n *Nova) listMetadata(c *call) {
	if m, ok := n.metadata(c); ok {
		c.answer(http.StatusOK, map[string]any{"metadata": m})
	}
}

func (n *Nova) showMetadata(c *call) {
	m, ok := n.metadata(c)
	if !ok {
		return
	}
	value, ok := m[c.PathValue("key")]
	if !ok {
		c.fail(http.StatusNotFound, "Metadata item was not found")
		return
	}
	c.answer(http.StatusOK, map[string]any{"meta": map[string]string{c.PathValue("key"): value}})
}

// setMetadata replaces or adds to a server's metadata, and returns what it is then; nil if it has answered already.
func (n *Nova) setMetadata(c *call, given map[string]string, replace bool) map[string]string {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.find(c)
	if s == nil {
		return nil
	}
	if s.task == deletingTask {
		s.conflict(c, "update metadata", "task_state "+s.task)
		return nil
	}
	m := map[string]string{}
	if !replace {
		m = maps.Clone(s.metadata)
	}
	maps.Copy(m, given)
	if c.failed(checkMetadata(m)) {
		return nil
	}
	s.metadata = m
	n.touch(s)
	return m
}

func (n *Nova) addMetadata(c *call)     { n.writeMetadata(c, false) }
func (n *Nova) replaceMetadata(c *call) { n.writeMetadata(c, true) }

func (n *Nova) writeMetadata(c *call, replace bool) {
	var body struct {
		Metadata map[string]string `json:"metadata"`
	}
	if !c.read(&body) {
		return
	}
	if body.Metadata == nil {
		c.fail(http.StatusBadRequest, "'metadata' is a required property")
		return
	}
	if m := n.setMetadata(c, body.Metadata, replace); m != nil {
		c.answer(http.StatusOK, map[string]any{"metadata": m})
	}
}

func (n *Nova) putMetadata(c *call) {
	var body struct {
		Meta map[string]string `json:"meta"`
	}
	if !c.read(&body) {
		return
	}
	key := c.PathValue("key")
	if _, ok := body.Meta[key]; !ok || len(body.Meta) != 1 {
		c.fail(http.StatusBadRequest, "Request body and URI mismatch")
		return
	}
	if n.setMetadata(c, body.Meta, false) != nil {
		c.answer(http.StatusOK, map[string]any{"meta": body.Meta})
	}
}

func (n *Nova) deleteMetadata(c *call) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.find(c)
	if s == nil {
		return
	}
	key := c.PathValue("key")
	if _, ok := s.metadata[key]; !ok {
		c.fail(http.StatusNotFound, "Metadata item was not found")
		return
	}
	m := maps.Clone(s.metadata)
	delete(m, key)
	s.metadata = m
	n.touch(s)
	c.w.WriteHeader(http.StatusNoContent)
}
