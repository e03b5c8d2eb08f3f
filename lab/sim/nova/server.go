package nova

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/deskstorm/deskstorm/lab/sim/neutron"
)

// The states of a server (nova/compute/vm_states.py), and what is being done to it (task_states.py).
const (
	building = "building"
	active   = "active"
	stopped  = "stopped"
	failed   = "error"

	scheduling   = "scheduling"
	networking   = "networking"
	spawning     = "spawning"
	poweringOff  = "powering-off"
	poweringOn   = "powering-on"
	rebooting    = "rebooting"
	hardReboot   = "rebooting_hard"
	rebuilding   = "rebuilding"
	deletingTask = "deleting"
)

// The power states of nova/compute/power_state.py.
const (
	noState  = 0
	running  = 1
	shutdown = 4
)

// server is a server's state. Nova.mu guards it; maps and slices in it are replaced, never changed, so that what was read
// under the lock can be written to a client without it.
type server struct {
	id, name, description string
	described             bool // else the description is null
	project, user         string
	number                int // the order of creation
	flavor                *Flavor
	image                 string
	metadata              map[string]string
	tags                  []string // sorted
	networks              []string // ids
	wantedHost            string   // its id; empty: any

	state, task string
	fault       *fault
	host        *host // nil: not scheduled
	ports       []neutron.Port
	console     *Console // nil: no desktop was started
	created     time.Time
	updated     time.Time
	launched    time.Time // zero: never
	actions     []*instanceAction

	cancel  context.CancelFunc // of what is being done to it; may be nil
	working sync.Mutex         // held while it is done; never locked with Nova.mu held
}

type fault struct {
	code    int
	message string
	at      time.Time
}

// status is what clients see (_STATE_MAP of nova/api/openstack/common.py).
func (s *server) status() string {
	switch {
	case s.task == rebuilding:
		return "REBUILD"
	case s.state == active && s.task == rebooting:
		return "REBOOT"
	case s.state == active && s.task == hardReboot:
		return "HARD_REBOOT"
	}
	switch s.state {
	case building:
		return "BUILD"
	case active:
		return "ACTIVE"
	case stopped:
		return "SHUTOFF"
	}
	return "ERROR"
}

// statuses are all that status can be.
var statuses = []string{"BUILD", "ACTIVE", "SHUTOFF", "ERROR", "REBOOT", "HARD_REBOOT", "REBUILD"}

// otherStatuses are Nova's further ones: no server here has them, but to ask for them is no mistake.
var otherStatuses = []string{
	"PASSWORD", "MIGRATING", "RESIZE", "VERIFY_RESIZE", "REVERT_RESIZE", "PAUSED", "SUSPENDED", "RESCUE", "DELETED", "SOFT_DELETED",
	"SHELVED", "SHELVED_OFFLOADED",
}

func (s *server) power() int {
	switch s.state {
	case active:
		return running
	case stopped:
		return shutdown
	}
	return noState
}

// add is called with the lock held.
func (n *Nova) add(s *server) {
	n.sequence++
	s.number = n.sequence
	n.servers[s.id] = s
	n.order = append(n.order, s)
	p := n.project(s.project)
	p.servers = append(p.servers, s)
	p.used.Instances++
	p.used.Cores += s.flavor.VCPUs
	p.used.RAM += s.flavor.RAM
}

// remove is called with the lock held.
func (n *Nova) remove(s *server) {
	if n.servers[s.id] != s {
		return
	}
	delete(n.servers, s.id)
	p := n.project(s.project)
	n.order, p.servers = without(n.order, s), without(p.servers, s)
	p.used.Instances--
	p.used.Cores -= s.flavor.VCPUs
	p.used.RAM -= s.flavor.RAM
	if s.host != nil {
		delete(s.host.servers, s.id)
	}
}

// without drops a server from a list in the order of creation.
func without(list []*server, s *server) []*server {
	i, ok := slices.BinarySearchFunc(list, s.number, func(o *server, number int) int { return cmp.Compare(o.number, number) })
	if !ok {
		return list
	}
	return slices.Delete(list, i, i+1)
}

func (n *Nova) project(id string) *project {
	p := n.projects[id]
	if p == nil {
		p = &project{}
		n.projects[id] = p
	}
	return p
}

// find is the server of the path if the caller may see it, else nil and answered. It is called with the lock held.
func (n *Nova) find(c *call) *server {
	s := n.servers[c.PathValue("id")]
	if s == nil || s.project != c.caller.ProjectID && !c.caller.Admin() {
		c.fail(404, "Instance "+c.PathValue("id")+" could not be found.")
		return nil
	}
	return s
}

// setTask says what is being done to a server now, unless it is being deleted: nothing stops that.
func (s *server) setTask(task string) {
	if s.task != deletingTask {
		s.task = task
	}
}

func (n *Nova) touch(s *server) { s.updated = n.config.Now() }
