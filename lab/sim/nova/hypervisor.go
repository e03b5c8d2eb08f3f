package nova

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/deskstorm/deskstorm/lab/sim/placement"
)

func (n *Nova) listHypervisors(c *call)   { n.writeHypervisors(c, "os-hypervisors", false) }
func (n *Nova) detailHypervisors(c *call) { n.writeHypervisors(c, "os-hypervisors/detail", true) }

func (n *Nova) writeHypervisors(c *call, path string, detail bool) {
	q := c.URL.Query()
	p := page{limit: maxPage}
	if c.atLeast(53) && c.refusesQuery(53, "limit", "marker", "hypervisor_hostname_pattern", "with_servers") {
		return
	}
	withServers, err := c.withServers()
	if c.failed(err) {
		return
	}
	if c.atLeast(33) {
		if p, err = c.page(); c.failed(err) {
			return
		}
	}
	policy := "os-hypervisors:list"
	if detail {
		policy = "os-hypervisors:list-detail"
	}
	if !c.adminOnly(policy) {
		return
	}
	pattern := ""
	if c.atLeast(53) {
		pattern = q.Get("hypervisor_hostname_pattern")
	}
	if pattern != "" && (q.Has("limit") || p.marker != "") {
		c.fail(http.StatusBadRequest, "Paging over hypervisors with the hypervisor_hostname_pattern query parameter is not supported.")
		return
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	found := n.hostsMatching(pattern)
	if pattern != "" && len(found) == 0 {
		noHypervisors(c, pattern)
		return
	}
	if p.marker != "" {
		i := slices.IndexFunc(found, func(h *host) bool { return n.hypervisorIDText(c, h) == p.marker })
		if i < 0 {
			c.fail(http.StatusBadRequest, "marker ["+p.marker+"] not found")
			return
		}
		found = found[i+1:]
	}
	found = found[:min(len(found), p.limit)]
	list := []any{}
	for _, h := range found {
		list = append(list, n.hypervisorView(c, h, detail, withServers))
	}
	body := map[string]any{"hypervisors": list}
	if c.atLeast(33) && pattern == "" && len(found) > 0 {
		if links := n.next(c, p, len(found), path, n.hypervisorIDText(c, found[len(found)-1])); links != nil {
			body["hypervisors_links"] = links
		}
	}
	c.answer(http.StatusOK, body)
}

// withServers is the query of this name, which is there from 2.53 on.
func (c *call) withServers() (bool, error) {
	v := c.URL.Query().Get("with_servers")
	switch {
	case !c.atLeast(53) || !c.URL.Query().Has("with_servers"):
		return false, nil
	case slices.Contains(boolWords[:10], v):
		return true, nil
	case slices.Contains(boolWords[10:], v):
		return false, nil
	}
	return false, invalidQuery("with_servers", v, boolean(rawJSON(strconv.Quote(v))).message)
}

// hostsMatching have a pattern in their names. It is called with the lock held.
func (n *Nova) hostsMatching(pattern string) []*host {
	var found []*host
	for _, h := range n.hosts {
		if strings.Contains(h.Name, pattern) {
			found = append(found, h)
		}
	}
	return found
}

func noHypervisors(c *call, pattern string) {
	c.fail(http.StatusNotFound, "No hypervisor matching '"+pattern+"' could be found.")
}

// hypervisor is the one of the path, else nil and answered. It is called with the lock held.
func (n *Nova) hypervisor(c *call) *host {
	id := c.PathValue("id")
	if _, err := uuid.Parse(id); err != nil && c.atLeast(53) {
		c.fail(http.StatusBadRequest, "Invalid uuid "+id)
		return nil
	}
	for _, h := range n.hosts {
		if n.hypervisorIDText(c, h) == id {
			return h
		}
	}
	c.fail(http.StatusNotFound, "Hypervisor with ID '"+id+"' could not be found.")
	return nil
}

func (n *Nova) showHypervisor(c *call) {
	if c.atLeast(53) && c.refusesQuery(53, "with_servers") {
		return
	}
	withServers, err := c.withServers()
	if c.failed(err) || !c.adminOnly("os-hypervisors:show") {
		return
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	if h := n.hypervisor(c); h != nil {
		c.answer(http.StatusOK, map[string]any{"hypervisor": n.hypervisorView(c, h, true, withServers)})
	}
}

// showUptime went into the detailed views with 2.88.
func (n *Nova) showUptime(c *call) {
	if !c.adminOnly("os-hypervisors:uptime") {
		return
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	h := n.hypervisor(c)
	switch {
	case h == nil:
	case !n.up(h):
		c.fail(http.StatusBadRequest, "Compute service of "+h.Name+" is unavailable at this time.")
	default:
		v := n.hypervisorView(c, h, false, false)
		v["uptime"] = n.uptime()
		c.answer(http.StatusOK, map[string]any{"hypervisor": v})
	}
}

// uptime is what the program of this name says on a host that started with Nova.
func (n *Nova) uptime() string {
	now := n.config.Now().UTC()
	since := now.Sub(n.started)
	days, hours, minutes := int(since.Hours())/24, int(since.Hours())%24, int(since.Minutes())%60
	span := fmt.Sprintf("%2d:%02d", hours, minutes)
	if hours == 0 {
		span = fmt.Sprintf("%d min", minutes)
	}
	if days > 0 {
		span = fmt.Sprintf("%d days, %s", days, span)
	}
	return fmt.Sprintf(" %s up %s,  0 users,  load average: 0.00, 0.00, 0.00\n", now.Format("15:04:05"), span)
}

// searchHypervisors and hypervisorServers became queries with 2.53.
func (n *Nova) searchHypervisors(c *call) { n.writeMatching(c, "os-hypervisors:search", false) }
func (n *Nova) hypervisorServers(c *call) { n.writeMatching(c, "os-hypervisors:servers", true) }

func (n *Nova) writeMatching(c *call, policy string, withServers bool) {
	if !c.adminOnly(policy) {
		return
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	found := n.hostsMatching(c.PathValue("id"))
	if len(found) == 0 {
		noHypervisors(c, c.PathValue("id"))
		return
	}
	list := []any{}
	for _, h := range found {
		list = append(list, n.hypervisorView(c, h, false, withServers))
	}
	c.answer(http.StatusOK, map[string]any{"hypervisors": list})
}

// hypervisorID is a UUID from 2.53 on, a number before.
func (n *Nova) hypervisorID(c *call, h *host) any {
	if c.atLeast(53) {
		return h.ID
	}
	return h.number
}

func (n *Nova) hypervisorIDText(c *call, h *host) string { return fmt.Sprint(n.hypervisorID(c, h)) }

// hypervisorView is called with the lock held.
func (n *Nova) hypervisorView(c *call, h *host, detail, withServers bool) map[string]any {
	v := map[string]any{"id": n.hypervisorID(c, h), "hypervisor_hostname": h.Name, "state": "down", "status": h.status()}
	up := n.up(h)
	if up {
		v["state"] = "up"
	}
	if detail {
		v["hypervisor_type"], v["hypervisor_version"], v["host_ip"] = "QEMU", 7002000, "127.0.0.1"
		v["service"] = map[string]any{"id": n.serviceID(c, h), "host": h.Name, "disabled_reason": h.service.reason}
		switch {
		case !c.atLeast(88):
			n.addResources(c, v, h)
		case up:
			v["uptime"] = n.uptime()
		default:
			v["uptime"] = nil
		}
	}
	if withServers {
		list := []map[string]string{}
		for _, s := range h.servers {
			list = append(list, map[string]string{"name": s.instanceName(), "uuid": s.id})
		}
		slices.SortFunc(list, func(a, b map[string]string) int { return cmp.Compare(a["name"], b["name"]) })
		if len(list) > 0 || c.atLeast(75) {
			v["servers"] = list
		}
	}
	return v
}

// resources of a host, in the words of the API before 2.88. It is called with the lock held.
func (n *Nova) resources(h *host) map[string]int {
	has, used := n.config.Placement.Inventories(h.ID), n.config.Placement.Usage(h.ID)
	memory, disk := has[placement.MemoryMB], has[placement.DiskGB]
	// The compute node's own figures count what the host reserves as used.
	memoryUsed, diskUsed := used[placement.MemoryMB]+memory.Reserved, used[placement.DiskGB]+disk.Reserved
	v := map[string]int{
		"vcpus": has[placement.VCPU].Total, "vcpus_used": used[placement.VCPU],
		"memory_mb": memory.Total, "memory_mb_used": memoryUsed, "free_ram_mb": memory.Total - memoryUsed,
		"local_gb": disk.Total, "local_gb_used": diskUsed, "free_disk_gb": disk.Total - diskUsed,
		"disk_available_least": disk.Total - diskUsed, "running_vms": len(h.servers), "current_workload": 0,
	}
	for _, s := range h.servers {
		if s.task != "" {
			v["current_workload"]++
		}
	}
	return v
}

// addResources adds what went from this API to Placement with 2.88.
func (n *Nova) addResources(c *call, v map[string]any, h *host) {
	for name, amount := range n.resources(h) {
		v[name] = amount
	}
	if c.atLeast(28) {
		v["cpu_info"] = map[string]any{}
	} else {
		v["cpu_info"] = ""
	}
}

// showStatistics sums up the hosts that are enabled.
func (n *Nova) showStatistics(c *call) {
	if !c.adminOnly("os-hypervisors:statistics") {
		return
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	sums := map[string]int{
		"count": 0, "vcpus": 0, "vcpus_used": 0, "memory_mb": 0, "memory_mb_used": 0, "free_ram_mb": 0, "local_gb": 0, "local_gb_used": 0,
		"free_disk_gb": 0, "disk_available_least": 0, "running_vms": 0, "current_workload": 0,
	}
	for _, h := range n.hosts {
		if h.service.disabled {
			continue
		}
		sums["count"]++
		for name, amount := range n.resources(h) {
			sums[name] += amount
		}
	}
	c.answer(http.StatusOK, map[string]any{"hypervisor_statistics": sums})
}
