package nova

import (
	"net/http"
	"time"

	"github.com/google/uuid"
)

// reportInterval is how often a service says that it is alive ([DEFAULT] report_interval: 10 s of service_down_time's 60).
func (n *Nova) reportInterval() time.Duration { return n.config.ServiceDownTime / 6 }

// computeService is the nova-compute of a host. Nova.mu guards it.
type computeService struct {
	disabled   bool
	reason     *string
	forcedDown bool
	silent     chan struct{} // closed when it reports again; nil: it does
	silentAt   time.Time
}

func (n *Nova) hostNamed(name string) *host {
	for _, h := range n.hosts {
		if h.Name == name {
			return h
		}
	}
	return nil
}

// lastReport of a host's nova-compute. It is called with the lock held.
func (n *Nova) lastReport(h *host) time.Time {
	if h.service.silent != nil {
		return h.service.silentAt.Truncate(n.reportInterval())
	}
	return n.config.Now().Truncate(n.reportInterval())
}

// up is service_is_up. It is called with the lock held.
func (n *Nova) up(h *host) bool {
	return !h.service.forcedDown && n.config.Now().Sub(n.lastReport(h)) <= n.config.ServiceDownTime
}

func serviceUUID(binary, host string) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("service/"+binary+"/"+host)).String()
}

func (n *Nova) serviceID(c *call, h *host) any {
	if c.atLeast(53) {
		return serviceUUID("nova-compute", h.Name)
	}
	return h.number
}

// controllers are the services that are not nova-compute's, on the one host that has them.
var controllers = []string{"nova-conductor", "nova-scheduler"}

const controller = "controller"

// serviceView is called with the lock held.
func (n *Nova) serviceView(c *call, h *host) map[string]any {
	v := map[string]any{
		"id": n.serviceID(c, h), "binary": "nova-compute", "host": h.Name, "zone": n.zoneOf(h), "status": h.status(), "state": "down",
		"disabled_reason": h.service.reason, "updated_at": n.lastReport(h).UTC().Format(microTime),
	}
	if n.up(h) {
		v["state"] = "up"
	}
	if c.atLeast(11) {
		v["forced_down"] = h.service.forcedDown
	}
	return v
}

func (h *host) status() string {
	if h.service.disabled {
		return "disabled"
	}
	return "enabled"
}

func (n *Nova) listServices(c *call) {
	if !c.adminOnly("os-services:list") {
		return
	}
	q := c.URL.Query()
	if c.refusesQuery(75, "host", "binary") {
		return
	}
	list := []any{}
	wants := func(binary, host string) bool {
		return (q.Get("host") == "" || q.Get("host") == host) && (q.Get("binary") == "" || q.Get("binary") == binary)
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	for i, binary := range controllers {
		if !wants(binary, controller) {
			continue
		}
		v := map[string]any{
			"id": len(n.hosts) + 1 + i, "binary": binary, "host": controller, "zone": internalZone, "status": "enabled", "state": "up",
			"disabled_reason": nil, "updated_at": n.config.Now().UTC().Truncate(n.reportInterval()).Format(microTime),
		}
		if c.atLeast(53) {
			v["id"] = serviceUUID(binary, controller)
		}
		if c.atLeast(11) {
			v["forced_down"] = false
		}
		list = append(list, v)
	}
	for _, h := range n.hosts {
		if wants("nova-compute", h.Name) {
			list = append(list, n.serviceView(c, h))
		}
	}
	c.answer(http.StatusOK, map[string]any{"services": list})
}

// updateService is PUT /os-services/{id}: an action with the service in its body until 2.52, then a service with what is new.
func (n *Nova) updateService(c *call) {
	if c.atLeast(53) {
		n.updateServiceByID(c)
	} else {
		n.actOnService(c)
	}
}

func (n *Nova) actOnService(c *call) {
	var asked struct {
		Host, Binary string
		Reason       *string `json:"disabled_reason"`
		Down         *flag   `json:"forced_down"`
	}
	properties := []property{{"host", hostName}, {"binary", text(1, 255)}, {"disabled_reason", text(1, 255)}}
	if c.atLeast(11) {
		properties = append(properties, property{"forced_down", boolean})
	}
	if !c.valid(object([]string{"host", "binary"}, properties...), &asked) {
		return
	}
	if !c.adminOnly("os-services:update") {
		return
	}
	action := c.PathValue("id")
	n.mu.Lock()
	defer n.mu.Unlock()
	answer := map[string]any{"host": asked.Host, "binary": asked.Binary}
	var do func(*computeService)
	switch {
	case action == "enable":
		answer["status"] = "enabled"
		do = func(s *computeService) { s.disabled, s.reason = false, nil }
	case action == "disable-log-reason" && asked.Reason == nil:
		c.fail(http.StatusBadRequest, "Missing disabled reason field")
		return
	case action == "disable-log-reason":
		answer["status"], answer["disabled_reason"] = "disabled", *asked.Reason
		do = func(s *computeService) { s.disabled, s.reason = true, asked.Reason }
	case action == "disable":
		answer["status"] = "disabled"
		do = func(s *computeService) { s.disabled, s.reason = true, nil }
	case action == "force-down" && c.atLeast(11) && asked.Down == nil:
		c.fail(http.StatusBadRequest, "Missing forced_down field")
		return
	case action == "force-down" && c.atLeast(11):
		if !bool(*asked.Down) && asked.Binary == "nova-compute" && n.refusesUp(c, asked.Host) {
			return
		}
		answer["forced_down"] = *asked.Down
		do = func(s *computeService) { s.forcedDown = bool(*asked.Down) }
	default:
		c.fail(http.StatusNotFound, "Unknown action")
		return
	}
	if asked.Binary != "nova-compute" {
		c.fail(http.StatusBadRequest, notCompute(asked.Binary))
		return
	}
	h := n.hostNamed(asked.Host)
	if h == nil {
		c.fail(http.StatusNotFound, "Host '"+asked.Host+"' is not mapped to any cell")
		return
	}
	do(&h.service)
	n.serviceChanged(h)
	c.answer(http.StatusOK, map[string]any{"service": answer})
}

func notCompute(binary string) string {
	return "Updating a " + binary + " service is not supported. Only nova-compute services can be updated."
}

func (n *Nova) updateServiceByID(c *call) {
	var asked struct {
		Status string
		Reason *string `json:"disabled_reason"`
		Down   *flag   `json:"forced_down"`
	}
	if !c.valid(object(nil, property{"status", oneOf("enabled", "disabled")}, property{"disabled_reason", text(1, 255)},
		property{"forced_down", boolean}), &asked) {
		return
	}
	id := c.PathValue("id")
	if _, err := uuid.Parse(id); err != nil {
		c.fail(http.StatusBadRequest, "Invalid uuid "+id)
		return
	}
	if !c.adminOnly("os-services:update") {
		return
	}
	for _, binary := range controllers {
		if serviceUUID(binary, controller) == id {
			c.fail(http.StatusBadRequest, notCompute(binary))
			return
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	var h *host
	for _, o := range n.hosts {
		if serviceUUID("nova-compute", o.Name) == id {
			h = o
		}
	}
	switch {
	case h == nil:
		c.fail(http.StatusNotFound, "Service "+id+" could not be found.")
		return
	case asked.Status == "enabled" && asked.Reason != nil:
		c.fail(http.StatusBadRequest, "Specifying 'disabled_reason' with status 'enabled' is invalid.")
		return
	case asked.Status == "" && asked.Down == nil:
		c.fail(http.StatusBadRequest, "No updates were requested. Fields 'status' or 'forced_down' should be specified.")
		return
	case asked.Down != nil && !bool(*asked.Down) && n.refusesUp(c, h.Name):
		return
	}
	switch asked.Status {
	case "enabled":
		h.service.disabled, h.service.reason = false, nil
	case "disabled":
		h.service.disabled, h.service.reason = true, asked.Reason
	}
	if asked.Down != nil {
		h.service.forcedDown = bool(*asked.Down)
	}
	n.serviceChanged(h)
	c.answer(http.StatusOK, map[string]any{"service": n.serviceView(c, h)})
}

// refusesUp answers 400 for a host from which servers were evacuated that its nova-compute does not know of yet.
func (n *Nova) refusesUp(c *call, host string) bool {
	for _, m := range n.migrations {
		if m.source == host && m.kind == evacuation && m.status == "done" {
			c.fail(http.StatusBadRequest, "Unable to force up host "+host+" as `done` evacuation migration records remain associated "+
				"with the host. Ensure the compute service has been restarted, allowing these records to move to `completed` before "+
				"retrying this request.")
			return true
		}
	}
	return false
}

// serviceChanged tells who schedules and who listens what an administrator did to a service.
func (n *Nova) serviceChanged(h *host) {
	n.config.Placement.SetTrait(h.ID, "COMPUTE_STATUS_DISABLED", h.service.disabled)
	n.sayService(h)
}
