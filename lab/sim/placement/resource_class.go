package placement

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// standardClasses are those of os-resource-classes 1.1, which Zed has.
var standardClasses = []string{
	VCPU, MemoryMB, DiskGB, "PCI_DEVICE", "SRIOV_NET_VF", "NUMA_SOCKET", "NUMA_CORE", "NUMA_THREAD", "NUMA_MEMORY_MB", "IPV4_ADDRESS",
	"VGPU", "VGPU_DISPLAY_HEAD", "NET_BW_EGR_KILOBIT_PER_SEC", "NET_BW_IGR_KILOBIT_PER_SEC", "PCPU", "MEM_ENCRYPTION_CONTEXT", "FPGA",
	"PGPU", "NET_PACKET_RATE_KILOPACKET_PER_SEC", "NET_PACKET_RATE_EGR_KILOPACKET_PER_SEC", "NET_PACKET_RATE_IGR_KILOPACKET_PER_SEC",
}

func classView(name string) map[string]any {
	return map[string]any{"name": name, "links": []any{map[string]any{"rel": "self", "href": classURL(name)}}}
}

func classURL(name string) string { return "/placement/resource_classes/" + name }

func (p *Placement) listClasses(c *call) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	list := []any{}
	for _, name := range standardClasses {
		list = append(list, classView(name))
	}
	for _, name := range slices.Sorted(maps.Keys(p.classes)) {
		if strings.HasPrefix(name, customPrefix) {
			list = append(list, classView(name))
		}
	}
	c.answer(http.StatusOK, map[string]any{"resource_classes": list})
}

func (p *Placement) showClass(c *call) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	name := c.PathValue("name")
	if !p.classes[name] {
		c.fail(notFound("No such resource class %s.", name))
		return
	}
	c.answer(http.StatusOK, classView(name))
}

func (p *Placement) createClass(c *call) {
	var body struct {
		Name string `json:"name"`
	}
	r := c.decode(&body, "name")
	if r == nil {
		r = checkClass(body.Name)
	}
	if r != nil {
		c.fail(r)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.classes[body.Name] {
		c.fail(conflict(undefinedCode, "Conflicting resource class already exists: %s", body.Name))
		return
	}
	p.classes[body.Name] = true
	c.location(classURL(body.Name))
	c.empty(http.StatusCreated)
}

// putClass makes sure that there is a class (from microversion 1.7 on).
func (p *Placement) putClass(c *call) {
	name := c.PathValue("name")
	if r := checkClass(name); r != nil {
		c.fail(r)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	status := http.StatusNoContent
	if !p.classes[name] {
		status, p.classes[name] = http.StatusCreated, true
	}
	c.location(classURL(name))
	c.empty(status)
}

func checkClass(name string) *refusal {
	if !customName.MatchString(name) || len(name) > 255 {
		return badRequest("JSON does not validate: '%s' does not match '^CUSTOM\\\\_[A-Z0-9_]+$'", name)
	}
	return nil
}

func (p *Placement) deleteClass(c *call) {
	name := c.PathValue("name")
	p.mu.Lock()
	defer p.mu.Unlock()
	inUse := slices.ContainsFunc(p.providers, func(o *provider) bool { _, ok := o.inventories[name]; return ok })
	switch {
	case !p.classes[name]:
		c.fail(notFound("No such resource class %s.", name))
	case !strings.HasPrefix(name, customPrefix):
		c.fail(badRequest("Error in delete resource class: Cannot delete standard resource class %s.", name))
	case inUse:
		c.fail(conflict(undefinedCode, "Error in delete resource class: Cannot delete resource class %s. Class is in use in inventory.", name))
	default:
		delete(p.classes, name)
		c.empty(http.StatusNoContent)
	}
}
