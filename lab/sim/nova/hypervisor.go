package nova

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/deskstorm/deskstorm/lab/sim/placement"
)

func (n *Nova) listHypervisors(c *call)   { n.writeHypervisors(c, false) }
func (n *Nova) detailHypervisors(c *call) { n.writeHypervisors(c, true) }

func (n *Nova) writeHypervisors(c *call, detail bool) {
	if !c.caller.Admin() {
		c.forbidden("os-hypervisors:list")
		return
	}
	q := c.URL.Query()
	pattern := ""
	if c.atLeast(53) {
		pattern = q.Get("hypervisor_hostname_pattern")
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	list := []any{}
	for _, h := range n.hosts {
		if strings.Contains(h.Name, pattern) {
			list = append(list, n.hypervisorView(c, h, detail, q.Get("with_servers")))
		}
	}
	if pattern != "" && len(list) == 0 {
		c.fail(http.StatusNotFound, "No hypervisor matching '"+pattern+"' could be found.")
		return
	}
	c.answer(http.StatusOK, map[string]any{"hypervisors": list})
}

func (n *Nova) showHypervisor(c *call) {
	if !c.caller.Admin() {
		c.forbidden("os-hypervisors:show")
		return
	}
	id := c.PathValue("id")
	if _, err := uuid.Parse(id); err != nil && c.atLeast(53) {
		c.fail(http.StatusBadRequest, "Invalid uuid "+id)
		return
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	for _, h := range n.hosts {
		if n.hypervisorID(c, h) == id || strconv.Itoa(h.number) == id && !c.atLeast(53) {
			c.answer(http.StatusOK, map[string]any{"hypervisor": n.hypervisorView(c, h, true, c.URL.Query().Get("with_servers"))})
			return
		}
	}
	c.fail(http.StatusNotFound, "Hypervisor with ID '"+id+"' could not be found.")
}

// hypervisorID is a UUID from 2.53 on, a number before.
func (n *Nova) hypervisorID(c *call, h *host) any {
	if c.atLeast(53) {
		return h.ID
	}
	return h.number
}

func (n *Nova) hypervisorView(c *call, h *host, detail bool, withServers string) map[string]any {
	v := map[string]any{"id": n.hypervisorID(c, h), "hypervisor_hostname": h.Name, "state": h.state(), "status": "enabled"}
	if detail {
		v["hypervisor_type"], v["hypervisor_version"], v["host_ip"] = "QEMU", 7002000, "127.0.0.1"
		v["service"] = map[string]any{"id": n.serviceID(c, h), "host": h.Name, "disabled_reason": nil}
		if c.atLeast(88) {
			v["uptime"] = nil // a driver may not know it
		} else {
			n.addResources(c, v, h)
		}
	}
	if c.atLeast(53) && withServers != "" && truth(withServers) {
		list := []map[string]string{}
		for _, s := range h.servers {
			list = append(list, map[string]string{"name": "instance-" + hex8(s.number), "uuid": s.id})
		}
		slices.SortFunc(list, func(a, b map[string]string) int { return cmp.Compare(a["name"], b["name"]) })
		if len(list) > 0 || c.atLeast(75) {
			v["servers"] = list
		}
	}
	return v
}

// addResources adds what went from this API to Placement with 2.88.
func (n *Nova) addResources(c *call, v map[string]any, h *host) {
	has, used := n.config.Placement.Inventories(h.ID), n.config.Placement.Usage(h.ID)
	memory, disk := has[placement.MemoryMB], has[placement.DiskGB]
	// The compute node's own figures count what the host reserves as used.
	memoryUsed, diskUsed := used[placement.MemoryMB]+memory.Reserved, used[placement.DiskGB]+disk.Reserved
	v["vcpus"], v["vcpus_used"] = has[placement.VCPU].Total, used[placement.VCPU]
	v["memory_mb"], v["memory_mb_used"], v["free_ram_mb"] = memory.Total, memoryUsed, memory.Total-memoryUsed
	v["local_gb"], v["local_gb_used"], v["free_disk_gb"] = disk.Total, diskUsed, disk.Total-diskUsed
	v["disk_available_least"] = disk.Total - diskUsed
	v["running_vms"], v["current_workload"] = 0, 0
	for _, s := range h.servers {
		if s.state == active {
			v["running_vms"] = v["running_vms"].(int) + 1
		}
		if s.task != "" {
			v["current_workload"] = v["current_workload"].(int) + 1
		}
	}
	if c.atLeast(28) {
		v["cpu_info"] = map[string]any{}
	} else {
		v["cpu_info"] = ""
	}
}
