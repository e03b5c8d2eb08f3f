package control

import (
	"time"

	"github.com/deskstorm/deskstorm/lab/sim"
)

// apiFault is sim.Fault.
type apiFault struct {
	Service     service  `json:"service,omitempty"`
	Method      string   `json:"method,omitempty"`
	Path        string   `json:"path,omitempty"` // within the service, "*" for what is between slashes
	Status      int      `json:"status,omitempty"`
	RetryAfter  duration `json:"retry_after,omitempty"`
	Delay       duration `json:"delay,omitempty"`
	Hang        bool     `json:"hang,omitempty"`
	Cut         bool     `json:"cut,omitempty"`
	Skip        int      `json:"skip,omitempty"`
	Times       int      `json:"times,omitempty"`
	Probability float64  `json:"probability,omitempty"`
}

func (f *apiFault) inject(a *attempt) error {
	undo, err := a.Sim.Inject(sim.Fault{
		Service: string(f.Service), Method: f.Method, Path: f.Path, Status: f.Status, RetryAfter: time.Duration(f.RetryAfter),
		Delay: time.Duration(f.Delay), Hang: f.Hang, Cut: f.Cut, Skip: f.Skip, Times: f.Times, Probability: f.Probability,
	})
	if err != nil {
		return badRequest(err.Error())
	}
	a.undoes(undo)
	return nil
}
