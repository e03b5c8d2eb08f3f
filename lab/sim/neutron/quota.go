package neutron

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
)

// usualQuota is Neutron's ([quotas] quota_network and so on), but that ports have no limit.
var usualQuota = map[string]int{
	"network": 100, "subnet": 100, "subnetpool": -1, "port": -1, "router": 10, "floatingip": 50, "rbac_policy": 10, "security_group": 10,
	"security_group_rule": 100,
}

// quotaOf is a project's quota; -1 is no limit.
func (n *Neutron) quotaOf(project string) map[string]int {
	q := maps.Clone(usualQuota)
	maps.Copy(q, n.config.Quota)
	maps.Copy(q, n.quotas[project])
	return q
}

// countPort keeps the number of a project's ports: there may be too many to count anew each time.
func (n *Neutron) countPort(project string, change int) {
	if n.portsOf[project] += change; n.portsOf[project] == 0 {
		delete(n.portsOf, project)
	}
}

func (n *Neutron) usage(kind, project string) int {
	count := 0
	switch kind {
	case "port":
		return n.portsOf[project]
	case "network":
		for _, o := range n.networks.order {
			if o.Project == project {
				count++
			}
		}
	case "subnet":
		for _, s := range n.subnets.order {
			if s.Project == project {
				count++
			}
		}
	}
	return count
}

// checkQuota tells whether a project may have one more.
func (n *Neutron) checkQuota(kind, project string) *refusal {
	if limit := n.quotaOf(project)[kind]; limit >= 0 && n.usage(kind, project) >= limit {
		return conflict("OverQuota", "Quota exceeded for resources: ['%s'].", kind)
	}
	return nil
}

// listQuotas are of the projects that were given one of their own.
func (n *Neutron) listQuotas(c *call) {
	if !c.caller.Admin() {
		c.fail(notAuthorized("rule:get_quota"))
		return
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	all := []any{}
	for _, project := range slices.Sorted(maps.Keys(n.quotas)) {
		v := map[string]any{"tenant_id": project, "project_id": project}
		for kind, limit := range n.quotaOf(project) {
			v[kind] = limit
		}
		all = append(all, v)
	}
	c.answer(http.StatusOK, map[string]any{"quotas": all})
}

func (n *Neutron) seesQuota(c *call) bool {
	if !c.sees(c.PathValue("project"), false) {
		c.fail(notAuthorized("rule:get_quota"))
		return false
	}
	return true
}

func (n *Neutron) showQuota(c *call) {
	if n.seesQuota(c) {
		n.mu.RLock()
		defer n.mu.RUnlock()
		c.answer(http.StatusOK, map[string]any{"quota": n.quotaOf(c.PathValue("project"))})
	}
}

func (n *Neutron) showDefaultQuota(c *call) {
	if n.seesQuota(c) {
		n.mu.RLock()
		defer n.mu.RUnlock()
		c.answer(http.StatusOK, map[string]any{"quota": n.quotaOf("")}) // nobody's
	}
}

func (n *Neutron) showQuotaDetails(c *call) {
	if !n.seesQuota(c) {
		return
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	project := c.PathValue("project")
	details := map[string]any{}
	for kind, limit := range n.quotaOf(project) {
		details[kind] = map[string]int{"limit": limit, "used": n.usage(kind, project), "reserved": 0}
	}
	c.answer(http.StatusOK, map[string]any{"quota": details})
}

func (n *Neutron) updateQuota(c *call) {
	if !c.caller.Admin() {
		c.fail(notAuthorized("rule:update_quota"))
		return
	}
	b := c.read("quota")
	if b == nil {
		return
	}
	own := map[string]int{}
	setters := map[string]setter{}
	for kind := range usualQuota {
		setters[kind] = func(raw json.RawMessage) *refusal {
			var limit int
			if json.Unmarshal(raw, &limit) != nil || limit < -1 {
				return badRequest("HTTPBadRequest", "Invalid input for %s. Reason: '%s' is not an integer of -1 or more.", kind, raw)
			}
			own[kind] = limit
			return nil
		}
	}
	if r := b.apply(false, setters, nil); r != nil {
		c.fail(r)
		return
	}
	project := c.PathValue("project")
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.quotas[project] == nil {
		n.quotas[project] = map[string]int{}
	}
	maps.Copy(n.quotas[project], own)
	c.answer(http.StatusOK, map[string]any{"quota": n.quotaOf(project)})
}

func (n *Neutron) deleteQuota(c *call) {
	if !c.caller.Admin() {
		c.fail(notAuthorized("rule:delete_quota"))
		return
	}
	project := c.PathValue("project")
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.quotas[project] == nil {
		c.fail(&refusal{http.StatusNotFound, "TenantQuotaNotFound", "Quota for tenant " + project + " could not be found."})
		return
	}
	delete(n.quotas, project)
	c.w.WriteHeader(http.StatusNoContent)
}
