package nova

import (
	"maps"
	"net/http"
	"slices"
)

// maxMetadata is the quota metadata_items.
const maxMetadata = 128

func checkMetadata(metadata map[string]string) error {
	if len(metadata) > maxMetadata {
		return problem{http.StatusForbidden, "Maximum number of metadata items exceeds 128"}
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

// settled tells whether a server was built and nothing is done to it; else it answers 409. It is called with the lock held.
func (s *server) settled(c *call, action string) bool {
	switch {
	case !slices.Contains([]string{active, paused, suspended, stopped}, s.state):
		s.conflict(c, action, "vm_state "+s.state)
	case s.task != "":
		s.conflict(c, action, "task_state "+s.task)
	default:
		return true
	}
	return false
}

// saveMetadata is called with the lock held.
func (n *Nova) saveMetadata(s *server, m map[string]string) {
	s.metadata = m
	n.touch(s)
	n.sayUpdate(s, states{s.state, s.task}, fromAPI)
}

// setMetadata replaces or adds to a server's metadata, and returns what it is then; nil if it has answered already.
func (n *Nova) setMetadata(c *call, given map[string]string, replace bool) map[string]string {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.find(c)
	if s == nil {
		return nil
	}
	if s.refusesLocked(c) || !s.settled(c, "update metadata") {
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
	n.saveMetadata(s, m)
	return m
}

func (n *Nova) addMetadata(c *call)     { n.writeMetadata(c, false) }
func (n *Nova) replaceMetadata(c *call) { n.writeMetadata(c, true) }

func (n *Nova) writeMetadata(c *call, replace bool) {
	var body struct{ Metadata map[string]string }
	if !c.valid(object([]string{"metadata"}, property{"metadata", metadataItems}), &body) {
		return
	}
	if m := n.setMetadata(c, body.Metadata, replace); m != nil {
		c.answer(http.StatusOK, map[string]any{"metadata": m})
	}
}

func (n *Nova) putMetadata(c *call) {
	var body struct{ Meta map[string]string }
	if !c.valid(object([]string{"meta"}, property{"meta", mapping(text(0, 255), oneItem)}), &body) {
		return
	}
	if _, ok := body.Meta[c.PathValue("key")]; !ok {
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
	if s.refusesLocked(c) || !s.settled(c, "delete metadata") {
		return
	}
	m := maps.Clone(s.metadata)
	delete(m, key)
	n.saveMetadata(s, m)
	c.w.WriteHeader(http.StatusNoContent)
}
