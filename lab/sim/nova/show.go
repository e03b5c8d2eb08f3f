package nova

import "net/http"

func (n *Nova) showServer(c *call) {
	n.mu.RLock()
	s := n.find(c)
	if s == nil {
		n.mu.RUnlock()
		return
	}
	v := n.view(c, s)
	n.mu.RUnlock()
	c.answer(http.StatusOK, map[string]any{"server": v})
}

func (n *Nova) listAddresses(c *call) {
	n.mu.RLock()
	s := n.find(c)
	if s == nil {
		n.mu.RUnlock()
		return
	}
	v := s.addresses(false)
	n.mu.RUnlock()
	c.answer(http.StatusOK, map[string]any{"addresses": v})
}

func (n *Nova) updateServer(c *call) {
	var body struct {
		Server *struct {
			Name        *string `json:"name"`
			Description *string `json:"description"`
		} `json:"server"`
	}
	if !c.read(&body) {
		return
	}
	if body.Server == nil {
		c.fail(http.StatusBadRequest, "'server' is a required property")
		return
	}
	if body.Server.Name != nil {
		if c.failed(checkName(*body.Server.Name)) {
			return
		}
	}
	n.mu.Lock()
	s := n.find(c)
	if s == nil {
		n.mu.Unlock()
		return
	}
	if body.Server.Name != nil {
		s.name = *body.Server.Name
	}
	if body.Server.Description != nil && c.atLeast(19) {
		s.description, s.described = *body.Server.Description, true
	}
	n.touch(s)
	v := n.view(c, s)
	n.mu.Unlock()
	c.answer(http.StatusOK, map[string]any{"server": v})
}
