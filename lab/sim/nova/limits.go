package nova

import "net/http"

func (n *Nova) showLimits(c *call) {
	project := c.caller.ProjectID
	if other := c.URL.Query().Get("tenant_id"); other != "" && other != project {
		if !c.caller.Admin() {
			c.forbidden("limits:other_project")
			return
		}
		project = other
	}
	limit := func(n int) int {
		if n == 0 {
			return -1
		}
		return n
	}
	var used Quota
	n.mu.RLock()
	if p := n.projects[project]; p != nil {
		used = p.used
	}
	n.mu.RUnlock()
	q := n.config.Quota
	absolute := map[string]int{
		"maxTotalInstances": limit(q.Instances), "maxTotalCores": limit(q.Cores), "maxTotalRAMSize": limit(q.RAM),
		"totalInstancesUsed": used.Instances, "totalCoresUsed": used.Cores, "totalRAMUsed": used.RAM,
		"maxServerMeta": maxMetadata, "maxTotalKeypairs": 100, "maxServerGroups": 10, "maxServerGroupMembers": 10,
		"totalServerGroupsUsed": 0,
	}
	if !c.atLeast(39) {
		absolute["maxImageMeta"] = maxMetadata
	}
	c.answer(http.StatusOK, map[string]any{"limits": map[string]any{"rate": []any{}, "absolute": absolute}})
}
