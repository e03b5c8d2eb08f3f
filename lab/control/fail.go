package control

import (
	"fmt"
	"sync"

	"github.com/deskstorm/deskstorm/lab/sim"
)

// fail ends a host and its desktops, of which nobody gets a console until back has brought it up again. Where there is hardware, the host
// dies there, and after its restart Nova starts its servers again or stops them; else they boot again. back may be called again, where it
// has failed or by several.
func (a *attempt) fail(host string, servers []sim.Server) (back func() error, err error) {
	if a.Sim.Hardware != nil {
		if err := a.Sim.Hardware.Crash(host); err != nil {
			return nil, err
		}
		offer := a.refuseConsoles(servers)
		return untilDone(func() error {
			if err := a.Sim.Hardware.Restart(host); err != nil {
				return err
			}
			offer()
			return nil
		}), nil
	}
	if err := a.Sim.Nova.SetHostDown(host, true); err != nil {
		return nil, err
	}
	offer, revive := a.refuseConsoles(servers), a.kill(servers)
	return untilDone(func() error {
		if err := a.Sim.Nova.SetHostDown(host, false); err != nil {
			return fmt.Errorf("bringing the host %s back: %w", host, err)
		}
		offer()
		return revive()
	}), nil
}

// untilDone does something when it is called, until it has been done once without an error.
func untilDone(do func() error) func() error {
	var mu sync.Mutex
	done := false
	return func() error {
		mu.Lock()
		defer mu.Unlock()
		if done {
			return nil
		}
		err := do()
		done = err == nil
		return err
	}
}
