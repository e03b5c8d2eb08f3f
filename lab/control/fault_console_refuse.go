package control

import "net/http"

// consoleRefuse without desktops is for all, also those to come.
type consoleRefuse struct {
	desktops
	Status int `json:"status,omitempty"` // 400 to 599; 500 if 0
}

func (f *consoleRefuse) inject(a *attempt) error {
	if f.Status == 0 {
		f.Status = http.StatusInternalServerError
	}
	if f.Status < 400 || f.Status > 599 {
		return badRequest("status is from 400 to 599.")
	}
	if f.none() {
		a.undoes(a.Sim.RefuseConsoles("", f.Status))
		return nil
	}
	servers, err := a.choose(f.desktops, "console of desktop", "is ACTIVE", isActive)
	if err != nil {
		return err
	}
	for _, s := range servers {
		a.undoes(a.Sim.RefuseConsoles(s.ID, f.Status))
	}
	return nil
}
