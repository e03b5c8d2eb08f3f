// Package fault is what breaks a desktop cloud on purpose, a small file each. A fault is data: what is done and what ends it are
// lists of steps (package target), decided before anything is touched. It does not know how steps are carried out, written down or
// undone: package undo does that, for all faults alike.
//
// Packets are dropped by the commands nft and tc and not through netlink, because an undo must be data that also runs over SSH, at
// hosts that have none of this project's programs. What a fault makes has the plan's ID in its name, and an undo ends just that: it
// may come twice, and it may come although the fault was never applied, when the journal is all that a dead runner has left.
//
// Planning looks at the target, with steps that change nothing: whether the kernel can, whether there is anything to break, how
// things stand that the undo restores. What is refused is refused there.
package fault

import (
	"time"

	"github.com/deskstorm/deskstorm/runner/target"
)

// Plan is a fault that is about to be injected.
type Plan struct {
	Fault   string         `json:"fault"` // its kind, such as "net.loss"
	ID      string         `json:"id"`    // unique; part of the names of all that Apply makes
	Touches Touches        `json:"touches"`
	For     time.Duration  `json:"for"` // its greatest duration in nanoseconds; the undo comes then at the latest
	Apply   []target.Step  `json:"apply"`
	Undo    []target.Step  `json:"undo"` // idempotent, in the order in which they are done
	Notes   map[string]any `json:"notes,omitempty"`
}

// Touches is what a fault hits, for the guard and for people.
type Touches struct {
	Targets  []string `json:"targets"`            // configured names
	Desktops []string `json:"desktops,omitempty"` // ids of servers
	// Chosen is how many desktops more the target itself chooses, as a lab does: their ids are not known before.
	Chosen int      `json:"chosen,omitempty"`
	Hosts  []string `json:"hosts,omitempty"`
	What   string   `json:"what"` // one sentence: "5 % of packets to 10.0.0.5:5672 are dropped"
}
