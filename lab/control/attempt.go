package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/deskstorm/deskstorm/lab/sim"
)

// fault is what can be injected; its fields are the parameters.
type fault interface {
	// inject begins the fault. What it has told the attempt to undo is undone if it fails.
	inject(a *attempt) error
}

// attempt is what a fault has while it is injected: the cloud, and a place to say what it holds, hits and how it is undone.
type attempt struct {
	Config
	control *Control
	fault   *active
}

// hold keeps other faults from a thing, until the end of this one; the error says who holds it.
func (a *attempt) hold(kind, id string) error {
	a.control.mu.Lock()
	defer a.control.mu.Unlock()
	key := kind + " " + id
	if by := a.control.held[key]; by != "" && by != a.fault.id {
		return &refusal{http.StatusConflict, "conflict", fmt.Sprintf("The fault %s holds the %s %s: undo it first.", by, kind, id)}
	}
	a.control.held[key] = a.fault.id
	return nil
}

// free tells whether no other fault holds a thing.
func (a *attempt) free(kind, id string) bool {
	a.control.mu.Lock()
	defer a.control.mu.Unlock()
	by := a.control.held[kind+" "+id]
	return by == "" || by == a.fault.id
}

// hits says what the fault hits, as its targets are shown.
func (a *attempt) hits(target string) { a.fault.targets = append(a.fault.targets, target) }

// undo says how something is undone. It is called until it returns no error.
func (a *attempt) undo(undo func() error) { a.fault.undo = append(a.fault.undo, undo) }

// undoes is undo for what cannot fail.
func (a *attempt) undoes(undo func()) {
	a.undo(func() error {
		undo()
		return nil
	})
}

// The kinds of things that faults hold.
const (
	wholeHost = "host"
	guest     = "desktop" // a guest, with its SPICE server
	itsLease  = "lease of desktop"
	itsPort   = "port of desktop"
	wholeLDAP = "directory's"
)

// kill ends desktops, and boots them again, side by side, when that is undone: the error is of those that have not booted within
// Config.Patience, for which it can be called again, or could not. Desktops that were there from the start and have none yet end only
// as far as others see them: by their leases.
func (a *attempt) kill(servers []sim.Server) (revive func() error) {
	var revivals []func(context.Context) error
	for _, s := range servers {
		if s.Console == nil {
			a.Sim.DHCP.Stopped(s.ID)
			revivals = append(revivals, func(context.Context) error {
				a.Sim.DHCP.Started(s.ID)
				return nil
			})
			continue
		}
		// One whose desktop has ended meanwhile is as it should be.
		if undo, err := a.Sim.KillDesktop(s.ID); err == nil {
			revivals = append(revivals, undo)
		}
	}
	return func() error {
		ctx, cancel := context.WithTimeoutCause(a.control.ctx, a.Patience, fmt.Errorf("after %s", a.Patience))
		defer cancel()
		failed := make([]error, len(revivals))
		var booting sync.WaitGroup
		for i, revive := range revivals {
			booting.Go(func() { failed[i] = revive(ctx) })
		}
		booting.Wait()
		var left []func(context.Context) error
		for i, revive := range revivals {
			if ctx.Err() != nil && errors.Is(failed[i], context.Cause(ctx)) { // one that could not boot never will
				left = append(left, revive)
			}
		}
		all := len(revivals)
		revivals = left
		return notBooted(all, failed)
	}
}

// notBooted says how many of the desktops that were to boot have not, and why; nil: all have.
func notBooted(all int, failed []error) error {
	failed = slices.DeleteFunc(failed, func(err error) bool { return err == nil })
	if len(failed) == 0 {
		return nil
	}
	const shown = 5
	more := ""
	if len(failed) > shown {
		more = fmt.Sprintf(", and %d more", len(failed)-shown)
	}
	var why []string
	for _, err := range failed[:min(shown, len(failed))] {
		why = append(why, err.Error())
	}
	return fmt.Errorf("%d of %d desktops have not booted again: %s%s", len(failed), all, strings.Join(why, "; "), more)
}

// cut cuts the ports of desktops from the network until it is undone.
func (a *attempt) cut(servers []sim.Server) error {
	for _, s := range servers {
		if err := a.Sim.Neutron.SetDead(s.ID, true); err != nil {
			return &refusal{http.StatusUnprocessableEntity, "target", err.Error()}
		}
		a.Sim.DHCP.SetCut(s.ID, true)
		a.undoes(func() {
			_ = a.Sim.Neutron.SetDead(s.ID, false) // fails if the server is gone with its ports
			a.Sim.DHCP.SetCut(s.ID, false)
		})
	}
	return nil
}
