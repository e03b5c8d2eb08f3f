package nova

import (
	"net/http"
	"time"

	"github.com/google/uuid"
)

// reportInterval is how often nova-compute says that it is alive ([DEFAULT] report_interval).
const reportInterval = 10 * time.Second

func serviceUUID(binary, host string) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("service/"+binary+"/"+host)).String()
}

func (n *Nova) serviceID(c *call, h *host) any {
	if c.atLeast(53) {
		return serviceUUID("nova-compute", h.Name)
	}
	return h.number
}

func (n *Nova) listServices(c *call) {
	if !c.caller.Admin() {
		c.forbidden("os-services:list")
		return
	}
	q := c.URL.Query()
	list := []any{}
	add := func(id any, binary, host, zone, state string, reported time.Time) {
		if q.Has("host") && q.Get("host") != host || q.Has("binary") && q.Get("binary") != binary {
			return
		}
		v := map[string]any{
			"id": id, "binary": binary, "host": host, "zone": zone, "status": "enabled", "state": state, "disabled_reason": nil,
			"updated_at": reported.UTC().Truncate(reportInterval).Format(actionTime),
		}
		if c.atLeast(11) {
			v["forced_down"] = false
		}
		list = append(list, v)
	}
	now := n.config.Now()
	for i, binary := range []string{"nova-conductor", "nova-scheduler"} {
		var id any = len(n.hosts) + 1 + i
		if c.atLeast(53) {
			id = serviceUUID(binary, "controller")
		}
		add(id, binary, "controller", "internal", "up", now)
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	for _, h := range n.hosts {
		reported := now
		if h.down() {
			reported = h.downSince
		}
		add(n.serviceID(c, h), "nova-compute", h.Name, "nova", h.state(), reported)
	}
	c.answer(http.StatusOK, map[string]any{"services": list})
}
