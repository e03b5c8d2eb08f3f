package neutron

import (
	"net/http"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

func (n *Neutron) availability(o *network) map[string]any {
	subnets := []any{}
	used, total := 0, 0
	for _, s := range o.subnets {
		subnets = append(subnets, map[string]any{
			"subnet_id": s.ID, "subnet_name": s.Name, "ip_version": 4, "cidr": s.CIDR,
			"used_ips": len(s.addresses.used), "total_ips": s.addresses.total(),
		})
		used, total = used+len(s.addresses.used), total+s.addresses.total()
	}
	return map[string]any{
		"network_id": o.ID, "network_name": o.Name, "tenant_id": o.Project, "project_id": o.Project,
		"subnet_ip_availability": subnets, "used_ips": used, "total_ips": total,
	}
}

// listAvailabilities shows others than administrators none, as by Neutron's policy.
func (n *Neutron) listAvailabilities(c *call) {
	q := service.Query{Values: c.URL.Query()}
	n.mu.RLock()
	defer n.mu.RUnlock()
	all := []any{}
	for _, o := range n.networks.order {
		if c.caller.Admin() && q.Allows("network_id", o.ID) && q.Allows("network_name", o.Name) {
			all = append(all, n.availability(o))
		}
	}
	c.answer(http.StatusOK, map[string]any{"network_ip_availabilities": all})
}

func (n *Neutron) showAvailability(c *call) {
	if !c.caller.Admin() {
		c.fail(notFound("Network", c.PathValue("id")))
		return
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	if o := n.network(c); o != nil {
		c.answer(http.StatusOK, map[string]any{"network_ip_availability": n.availability(o)})
	}
}
