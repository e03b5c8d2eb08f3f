package nova

import (
	"net/http"
	"slices"
)

// The zones of hosts in no other, and of the services that are not nova-compute's (default_availability_zone,
// internal_service_availability_zone).
const (
	defaultZone  = "nova"
	internalZone = "internal"
)

// zoneOf a host is what one of its aggregates says. It is called with the lock held.
func (n *Nova) zoneOf(h *host) string {
	for _, a := range n.aggregates {
		if zone := a.metadata[zoneKey]; zone != "" && slices.Contains(a.hosts, h.Name) {
			return zone
		}
	}
	return defaultZone
}

// zones are those with a host that is enabled, and those with disabled ones only, sorted. It is called with the lock held.
func (n *Nova) zones() (available, not []string) {
	for _, h := range n.hosts {
		if zone := n.zoneOf(h); !h.service.disabled {
			available = append(available, zone)
		} else {
			not = append(not, zone)
		}
	}
	slices.Sort(available)
	slices.Sort(not)
	available = slices.Compact(available)
	not = slices.DeleteFunc(slices.Compact(not), func(zone string) bool { return slices.Contains(available, zone) })
	return available, not
}

func zoneView(name string, available bool, hosts any) map[string]any {
	return map[string]any{"zoneName": name, "zoneState": map[string]bool{"available": available}, "hosts": hosts}
}

func (n *Nova) listZones(c *call) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	available, not := n.zones()
	list := []any{}
	for _, zone := range available {
		list = append(list, zoneView(zone, true, nil))
	}
	for _, zone := range not {
		list = append(list, zoneView(zone, false, nil))
	}
	c.answer(http.StatusOK, map[string]any{"availabilityZoneInfo": list})
}

func (n *Nova) detailZones(c *call) {
	if !c.adminOnly("os-availability-zone:detail") {
		return
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	available, not := n.zones()
	internal := map[string]any{}
	for _, binary := range controllers {
		internal[binary] = map[string]any{
			"available": true, "active": true, "updated_at": n.config.Now().UTC().Truncate(n.reportInterval()).Format(microTime),
		}
	}
	list := []any{zoneView(internalZone, true, map[string]any{controller: internal})}
	for _, zone := range available {
		hosts := map[string]any{}
		for _, h := range n.hosts {
			if n.zoneOf(h) == zone && !h.service.disabled {
				hosts[h.Name] = map[string]any{"nova-compute": map[string]any{
					"available": n.up(h), "active": true, "updated_at": n.lastReport(h).UTC().Format(microTime),
				}}
			}
		}
		list = append(list, zoneView(zone, true, hosts))
	}
	for _, zone := range not {
		list = append(list, zoneView(zone, false, nil))
	}
	c.answer(http.StatusOK, map[string]any{"availabilityZoneInfo": list})
}
