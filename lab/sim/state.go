package sim

import (
	"time"

	"github.com/deskstorm/deskstorm/lab/sim/placement"
)

// HostState is how a host stands.
type HostState struct {
	Name     string
	Down     bool // its nova-compute does not report
	VCPUs    Amount
	MemoryMB Amount
}

// Amount is how much there is of a resource, and how much of it is allocated: at most the capacity, which is what is not
// reserved, times the allocation ratio.
type Amount struct{ Used, Capacity, Total int }

// Now is the lab's time, by Config.Now.
func (l *Lab) Now() time.Time { return l.config.Now() }

// Hosts are all hosts as Nova and Placement have them now, in the order of Config.
func (l *Lab) Hosts() []HostState {
	all := make([]HostState, 0, len(l.config.Hosts))
	for _, h := range l.config.Hosts {
		id := h.provider().ID
		has, used := l.Placement.Inventories(id), l.Placement.Usage(id)
		of := func(class string) Amount { return Amount{used[class], has[class].Capacity(), has[class].Total} }
		all = append(all, HostState{
			Name: h.Name, Down: l.Nova.HostDown(h.Name), VCPUs: of(placement.VCPU), MemoryMB: of(placement.MemoryMB),
		})
	}
	return all
}
