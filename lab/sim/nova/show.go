package nova

import (
	"encoding/json"
	"net/http"
)

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

func (n *Nova) showAddresses(c *call) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	s := n.find(c)
	if s == nil {
		return
	}
	network := c.PathValue("network")
	list, ok := s.addresses(false)[network]
	if !ok {
		c.fail(http.StatusNotFound, "Instance is not a member of specified network")
		return
	}
	c.answer(http.StatusOK, addresses{network: list})
}

func (n *Nova) updateServer(c *call) {
	var body struct {
		Server struct{ Name, Hostname *string }
	}
	properties := []property{
		{"name", name}, {"OS-DCF:diskConfig", oneOf("AUTO", "MANUAL")}, {"accessIPv4", anyText}, {"accessIPv6", anyText},
	}
	if c.atLeast(19) {
		properties = append(properties, property{"description", orNull(text(0, 255), "string")})
	}
	if c.atLeast(90) {
		properties = append(properties, property{"hostname", serverHostname})
	}
	var fields struct{ Server map[string]rawJSON }
	var raw rawJSON
	if !c.valid(object([]string{"server"}, property{"server", object(nil, properties...)}), &raw) {
		return
	}
	if json.Unmarshal(raw, &body) != nil || json.Unmarshal(raw, &fields) != nil {
		c.fail(http.StatusBadRequest, "Malformed request body")
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.find(c)
	if s == nil {
		return
	}
	asked, oldName := body.Server, ""
	if asked.Name != nil && *asked.Name != s.name {
		oldName, s.name = s.name, *asked.Name
	}
	if description, ok := fields.Server["description"]; ok {
		s.described = kindOf(description) != "null"
		s.description = ""
		if s.described {
			s.description = stringOf(description)
		}
	}
	if asked.Hostname != nil {
		s.hostname = *asked.Hostname
	}
	n.touch(s)
	n.sayRenamed(s, states{s.state, s.task}, oldName, fromAPI)
	v := n.view(c, s)
	if !c.atLeast(75) {
		v.lessen(s)
	}
	c.answer(http.StatusOK, map[string]any{"server": v})
}
