package nova

import "net/http"

// listInterfaces shows a server's ports (os-interface).
func (n *Nova) listInterfaces(c *call) {
	n.mu.RLock()
	s := n.find(c)
	if s == nil {
		n.mu.RUnlock()
		return
	}
	list := []any{}
	for _, p := range s.ports {
		v := map[string]any{
			"net_id": p.NetworkID, "port_id": p.ID, "mac_addr": p.MAC, "port_state": "ACTIVE",
			"fixed_ips": []any{map[string]string{"subnet_id": p.SubnetID, "ip_address": p.Address}},
		}
		if c.atLeast(70) {
			v["tag"] = nil
		}
		list = append(list, v)
	}
	n.mu.RUnlock()
	c.answer(http.StatusOK, map[string]any{"interfaceAttachments": list})
}
