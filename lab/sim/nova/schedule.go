package nova

import (
	"slices"

	"github.com/deskstorm/deskstorm/lab/sim/placement"
)

// wish is where a server is to run.
type wish struct {
	zone string // empty: any
	host string // its id; empty: any
	// forced hosts are not looked at by the scheduler's filters, as those of "zone:host" are.
	forced bool
	// missing is why there is no such host; empty: there is.
	missing string
}

// The ends of NoValidHost: Placement had no candidate, or all that it had were filtered out.
const (
	noValidHost     = "No valid host was found. "
	notEnoughHosts  = noValidHost + "There are not enough hosts available."
	maxBuildRetries = 3 // [scheduler] max_attempts
)

// exception is an error of Nova's own, by the name of its class and in its words.
type exception struct{ name, message string }

func (e exception) Error() string { return e.message }

func noHost(message string) error { return exception{"NoValidHost", message} }

// schedule claims room for a consumer at the best host that will do, none of those in except. Nova's scheduler asks Placement, whose
// capacity counts, for hosts that are enabled and in the zone, filters out those that are down, and weighs the rest by memory.
func (n *Nova) schedule(s *server, w wish, except ...*host) (*host, error) {
	if w.missing != "" {
		return nil, noHost(noValidHost + w.missing)
	}
	candidates := n.config.Placement.Candidates(resourcesOf(s.flavor))
	found := false
	for _, id := range candidates {
		n.mu.RLock()
		h := n.hostByID[id]
		suits := h != nil && !h.service.disabled && (w.host == "" || w.host == id) && (w.zone == "" || w.zone == n.zoneOf(h))
		passes := suits && (w.forced || n.up(h)) && !slices.Contains(except, h)
		n.mu.RUnlock()
		found = found || suits
		if !passes {
			continue
		}
		// Somebody else may have taken the room meanwhile.
		if _, ok := n.config.Placement.Claim(s.id, s.project, s.user, resourcesOf(s.flavor), id); ok {
			return h, nil
		}
	}
	if found {
		return nil, noHost(notEnoughHosts)
	}
	return nil, noHost(noValidHost)
}

func resourcesOf(f *Flavor) map[string]int {
	resources := map[string]int{placement.VCPU: f.VCPUs, placement.MemoryMB: f.RAM}
	if disk := f.Disk + f.Ephemeral + (f.Swap+1023)/1024; disk > 0 {
		resources[placement.DiskGB] = disk
	}
	return resources
}
