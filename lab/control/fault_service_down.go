package control

import (
	"net/http"

	"github.com/deskstorm/deskstorm/lab/sim"
)

// serviceDown is for those who speak to a service; the simulated services still reach each other.
type serviceDown struct {
	Service service `json:"service"`
	// How is "cut", as where no process answers any more, or "503", as a proxy before it says; "cut" if empty.
	How string `json:"how,omitempty"`
}

func (f *serviceDown) inject(a *attempt) error {
	rule := sim.Fault{Service: string(f.Service)}
	switch f.How {
	case "", "cut":
		f.How, rule.Cut = "cut", true
	case "503":
		rule.Status = http.StatusServiceUnavailable
	default:
		return badRequest(`how is "cut" or "503".`)
	}
	if f.Service == "" {
		return badRequest("Say which service: " + serviceNames() + ".")
	}
	undo, err := a.Sim.Inject(rule)
	if err != nil {
		return err
	}
	a.undoes(undo)
	a.hits(string(f.Service))
	return nil
}
