package nova

import "net/http"

// limitNames are those of limits in the API, by quota; usedNames those of what is used.
var (
	limitNames = map[string][]string{
		"ram": {"maxTotalRAMSize"}, "instances": {"maxTotalInstances"}, "cores": {"maxTotalCores"}, "key_pairs": {"maxTotalKeypairs"},
		"floating_ips": {"maxTotalFloatingIps"}, "metadata_items": {"maxServerMeta", "maxImageMeta"}, "injected_files": {"maxPersonality"},
		"injected_file_content_bytes": {"maxPersonalitySize"}, "security_groups": {"maxSecurityGroups"},
		"security_group_rules": {"maxSecurityGroupRules"}, "server_groups": {"maxServerGroups"},
		"server_group_members": {"maxServerGroupMembers"},
	}
	usedNames = map[string]string{
		"ram": "totalRAMUsed", "cores": "totalCoresUsed", "instances": "totalInstancesUsed", "floating_ips": "totalFloatingIpsUsed",
		"security_groups": "totalSecurityGroupsUsed", "server_groups": "totalServerGroupsUsed",
	}
)

func (n *Nova) showLimits(c *call) {
	if c.refusesQuery(75, "tenant_id") {
		return
	}
	project := c.caller.ProjectID
	if q := c.URL.Query(); q.Has("tenant_id") {
		project = q.Get("tenant_id")
		if project != c.caller.ProjectID && !c.adminOnly("limits:other_project") {
			return
		}
	}
	n.mu.RLock()
	limits, used := n.quotas(project), n.usages(project)
	n.mu.RUnlock()
	absolute := map[string]int{}
	for _, quota := range c.quotaNames() {
		for _, name := range limitNames[quota] {
			if name != "maxImageMeta" || !c.atLeast(39) {
				absolute[name] = limits[quota]
			}
		}
		if name := usedNames[quota]; name != "" {
			absolute[name] = used[quota]
		}
	}
	c.answer(http.StatusOK, map[string]any{"limits": map[string]any{"rate": []any{}, "absolute": absolute}})
}
