// Package fault is what breaks a desktop cloud on purpose, a small file each. A fault is data: what is done and what ends it are
// lists of steps (package target), decided before anything is touched. It does not know how steps are carried out, written down or
// undone: package undo does that, for all faults alike.
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
	Hosts    []string `json:"hosts,omitempty"`
	What     string   `json:"what"` // one sentence: "5 % of packets to 10.0.0.5:5672 are dropped"
}
