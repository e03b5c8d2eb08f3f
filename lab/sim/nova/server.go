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
	building  = "building"
	active    = "active"
	stopped   = "stopped"
	paused    = "paused"
	suspended = "suspended"
	failed    = "error"
	deleted   = "deleted"

	scheduling         = "scheduling"
	networking         = "networking"
	blockDevices       = "block_device_mapping"
	spawning           = "spawning"
	poweringOff        = "powering-off"
	poweringOn         = "powering-on"
	rebooting          = "rebooting"
	rebootPending      = "reboot_pending"
	rebootStarted      = "reboot_started"
	hardReboot         = "rebooting_hard"
	hardRebootPending  = "reboot_pending_hard"
	hardRebootStarted  = "reboot_started_hard"
	rebuilding         = "rebuilding"
	rebuildingDevices  = "rebuild_block_device_mapping"
	rebuildingSpawning = "rebuild_spawning"
	migrating          = "migrating"
	pausing            = "pausing"
	unpausing          = "unpausing"
	suspending         = "suspending"
	resuming           = "resuming"
	deletingTask       = "deleting"
)

// The power states of nova/compute/power_state.py.
const (
	noState        = 0
	running        = 1
	pausedPower    = 3
	shutdown       = 4
	suspendedPower = 7
)

// server is a server's state. Nova.mu guards it; maps and slices in it are replaced, never changed, so that what was read
// under the lock can be written to a client without it.
type server struct {
	id, name, description string
	described             bool // else the description is null
	hostname              string
	project, user         string
	number                int // the order of creation
	reservation           string
	launchIndex           int
	flavor                *Flavor
	image                 string
	metadata              map[string]string
	tags                  []string // sorted
	networks              []string // ids
	wish                  wish
	lock                  *lock // nil: none

	state, task string
	fault       *fault
	host        *host  // nil: not scheduled
	zone        string // that was asked for, or that of its host
	ports       []neutron.Port
	console     *Console // nil: no desktop was started
	created     time.Time
	updated     time.Time
	launched    time.Time // zero: never
	terminated  time.Time // zero: it is there
	actions     []*instanceAction
	migrations  []*migration // oldest first

	sentTo  *host      // whose nova-compute was sent the message to build it, and has not taken it; nil: none
	doing   []*work    // in the background
	working sync.Mutex // held while something is done to it; never locked with Nova.mu held
}

// work is something that is being done to a server, or waits for its turn.
type work struct{ cancel context.CancelCauseFunc }

// abandon ends all that is being done to a server. It is called with the lock held.
func (s *server) abandon(why error) {
	for _, w := range s.doing {
		w.cancel(why)
	}
}

type fault struct {
	code    int
	message string
	details string // for administrators
	at      time.Time
}

// status is what clients see (_STATE_MAP of nova/api/openstack/common.py).
func (s *server) status() string {
	if tasks, ok := statusOfTask[s.state]; ok && tasks[s.task] != "" {
		return tasks[s.task]
	}
	return statusOfState[s.state]
}

var statusOfState = map[string]string{
	building: "BUILD", active: "ACTIVE", stopped: "SHUTOFF", paused: "PAUSED", suspended: "SUSPENDED", failed: "ERROR", deleted: "DELETED",
}

var rebuildStatuses = map[string]string{rebuilding: "REBUILD", rebuildingDevices: "REBUILD", rebuildingSpawning: "REBUILD"}

var rebuildTasks = []string{rebuilding, rebuildingDevices, rebuildingSpawning}

var statusOfTask = map[string]map[string]string{
	active: {
		rebooting: "REBOOT", rebootPending: "REBOOT", rebootStarted: "REBOOT",
		hardReboot: "HARD_REBOOT", hardRebootPending: "HARD_REBOOT", hardRebootStarted: "HARD_REBOOT",
		rebuilding: "REBUILD", rebuildingDevices: "REBUILD", rebuildingSpawning: "REBUILD", migrating: "MIGRATING",
	},
	stopped: rebuildStatuses, failed: rebuildStatuses, paused: {migrating: "MIGRATING"},
}

// statuses are all that status can be.
var statuses = []string{
	"BUILD", "ACTIVE", "SHUTOFF", "PAUSED", "SUSPENDED", "ERROR", "DELETED", "REBOOT", "HARD_REBOOT", "REBUILD", "MIGRATING",
}

// otherStatuses are Nova's further ones: no server here has them, but to ask for them is no mistake.
var otherStatuses = []string{
	"PASSWORD", "RESIZE", "VERIFY_RESIZE", "REVERT_RESIZE", "RESCUE", "SOFT_DELETED", "SHELVED", "SHELVED_OFFLOADED",
}

func (s *server) power() int {
	switch s.state {
	case active:
		return running
	case stopped:
		return shutdown
	case paused:
		return pausedPower
	case suspended:
		return suspendedPower
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
	n.graves.add(s, n.config.Now())
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

// enter says what a server is and what is being done to it from now on, unless it is being deleted: nothing stops that. It is
// called with the lock held.
func (n *Nova) enter(s *server, state, task string) {
	if s.task == deletingTask || s.state == deleted {
		return
	}
	n.become(s, state, task, s.fromHost())
}

func (n *Nova) become(s *server, state, task string, from source) {
	before := states{s.state, s.task}
	s.state, s.task = state, task
	n.touch(s)
	n.sayUpdate(s, before, from)
}

// states are a server's state and what is being done to it.
type states struct{ state, task string }

func (n *Nova) touch(s *server) { s.updated = n.config.Now() }
