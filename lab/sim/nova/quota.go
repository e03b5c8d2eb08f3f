package nova

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Quota is how much each project may have at once; 0 is no limit.
type Quota struct{ Instances, Cores, RAM int } // RAM in MB

// quotaResource is a thing that there is a quota for, as long as the API knows it.
type quotaResource struct {
	name   string
	usual  int // [quota] of nova.conf; -1: no limit
	before int // the first microversion without it; 0: there is none
}

// quotaResources but for those that Config.Quota has. The first four were nova-network's.
var quotaResources = []quotaResource{
	{"fixed_ips", -1, 36}, {"floating_ips", -1, 36}, {"security_groups", -1, 36}, {"security_group_rules", -1, 36},
	{"injected_files", 5, 57}, {"injected_file_content_bytes", 10240, 57}, {"injected_file_path_bytes", 255, 57},
	{"metadata_items", maxMetadata, 0}, {"key_pairs", 100, 0}, {"server_groups", 10, 0}, {"server_group_members", 10, 0},
}

func (c *call) quotaNames() []string {
	names := []string{"instances", "cores", "ram"}
	for _, r := range quotaResources {
		if r.before == 0 || !c.atLeast(r.before) {
			names = append(names, r.name)
		}
	}
	return names
}

// defaultQuotas of a project. -1 is no limit.
func (n *Nova) defaultQuotas() map[string]int {
	limit := func(n int) int { return cmp.Or(n, -1) }
	q := n.config.Quota
	limits := map[string]int{"instances": limit(q.Instances), "cores": limit(q.Cores), "ram": limit(q.RAM)}
	for _, r := range quotaResources {
		limits[r.name] = r.usual
	}
	return limits
}

// quotas of a project. It is called with the lock held.
func (n *Nova) quotas(project string) map[string]int {
	limits := n.defaultQuotas()
	if p := n.projects[project]; p != nil {
		maps.Copy(limits, p.quotas)
	}
	return limits
}

// usages of a project. It is called with the lock held.
func (n *Nova) usages(project string) map[string]int {
	p := n.projects[project]
	if p == nil {
		return map[string]int{}
	}
	return map[string]int{"instances": p.used.Instances, "cores": p.used.Cores, "ram": p.used.RAM}
}

// mayUseQuotas tells whether the caller may see a project's quotas; else it answers 403.
func (c *call) mayUseQuotas(policy, project string) bool {
	if project != c.caller.ProjectID && !c.caller.Admin() {
		c.forbidden("os-quota-sets:" + policy)
		return false
	}
	return true
}

func (c *call) answerQuotas(project string, limits map[string]int) {
	v := map[string]any{}
	if project != "" {
		v["id"] = project
	}
	for _, name := range c.quotaNames() {
		v[name] = limits[name]
	}
	c.answer(http.StatusOK, map[string]any{"quota_set": v})
}

func (n *Nova) showQuotas(c *call) {
	project := c.PathValue("id")
	if c.refusesQuery(75, "user_id") || !c.mayUseQuotas("show", project) {
		return
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	c.answerQuotas(project, n.quotas(project))
}

// showDefaultQuotas: everybody may see them.
func (n *Nova) showDefaultQuotas(c *call) { c.answerQuotas(c.PathValue("id"), n.defaultQuotas()) }

func (n *Nova) detailQuotas(c *call) {
	project := c.PathValue("id")
	if c.refusesQuery(75, "user_id") || !c.mayUseQuotas("detail", project) {
		return
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	limits, used := n.quotas(project), n.usages(project)
	v := map[string]any{"id": project}
	for _, name := range c.quotaNames() {
		v[name] = map[string]int{"limit": limits[name], "in_use": used[name], "reserved": 0}
	}
	c.answer(http.StatusOK, map[string]any{"quota_set": v})
}

func (n *Nova) updateQuotas(c *call) {
	var body struct {
		Set map[string]rawJSON `json:"quota_set"`
	}
	properties := []property{{"force", boolean}}
	for _, name := range c.quotaNames() {
		properties = append(properties, property{name, integer(-1, maxInt)})
	}
	if !c.atLeast(36) {
		properties = append(properties, property{"networks", integer(-1, maxInt)})
	}
	if !c.valid(object([]string{"quota_set"}, property{"quota_set", object(nil, properties...)}), &body) ||
		c.refusesQuery(75, "user_id") || !c.adminOnly("os-quota-sets:update") {
		return
	}
	if _, ok := body.Set["networks"]; ok {
		c.fail(http.StatusBadRequest, "The networks quota has been removed")
		return
	}
	var force flag
	if raw, ok := body.Set["force"]; ok {
		_ = force.UnmarshalJSON(raw)
		delete(body.Set, "force")
	}
	project := c.PathValue("id")
	n.mu.Lock()
	defer n.mu.Unlock()
	used := n.usages(project)
	set := map[string]int{}
	for _, name := range slices.Sorted(maps.Keys(body.Set)) {
		limit, err := strconv.Atoi(stringOf(body.Set[name]))
		if err != nil {
			continue // an empty text
		}
		if !bool(force) && limit != -1 && limit < used[name] {
			c.fail(http.StatusBadRequest, fmt.Sprintf("Quota limit %d for %s must be greater than or equal to already used and reserved %d.",
				limit, name, used[name]))
			return
		}
		set[name] = limit
	}
	p := n.project(project)
	p.quotas = maps.Clone(p.quotas)
	if p.quotas == nil {
		p.quotas = map[string]int{}
	}
	maps.Copy(p.quotas, set)
	c.answerQuotas("", n.quotas(project))
}

func (n *Nova) deleteQuotas(c *call) {
	if c.refusesQuery(75, "user_id") || !c.adminOnly("os-quota-sets:delete") {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.projects[c.PathValue("id")]; p != nil {
		p.quotas = nil
	}
	c.w.WriteHeader(http.StatusAccepted)
}

// room is how many servers of a flavor, from least to most, a project has quota for (check_num_instances_quota of
// nova/compute/utils.py). It is called with the lock held.
func (n *Nova) room(project string, f *Flavor, least, most int) (int, error) {
	limits, used := n.quotas(project), n.usages(project)
	each := map[string]int{"instances": 1, "cores": f.VCPUs, "ram": f.RAM}
	var overs, asked, had, allowed []string
	fit := math.MaxInt
	for _, name := range []string{"cores", "instances", "ram"} {
		limit := limits[name]
		if limit < 0 || each[name] == 0 {
			continue
		}
		fit = min(fit, (limit-used[name])/each[name])
		if used[name]+most*each[name] <= limit {
			continue
		}
		wants := strconv.Itoa(most * each[name])
		if name == "instances" && least != most {
			wants = fmt.Sprintf("%d-%d", least, most)
		}
		overs, asked = append(overs, name), append(asked, wants)
		had, allowed = append(had, strconv.Itoa(used[name])), append(allowed, strconv.Itoa(limit))
	}
	if len(overs) == 0 {
		return most, nil
	}
	if least <= fit && fit <= most {
		return fit, nil
	}
	list := func(v []string) string { return strings.Join(v, ", ") }
	return 0, problem{http.StatusForbidden, fmt.Sprintf("Quota exceeded for %s: Requested %s, but already used %s of %s %s",
		list(overs), list(asked), list(had), list(allowed), list(overs))}
}
