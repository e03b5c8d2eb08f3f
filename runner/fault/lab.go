package fault

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"

	"github.com/deskstorm/deskstorm/runner/native"
	"github.com/deskstorm/deskstorm/runner/target"
)

// switches flips one of a lab's switches, and back. The lab ends it by itself too when the fault's time is over: nothing else would,
// if the runner's machine were gone. The lab is asked for the fault under the plan's ID, so that the undo is known before it is.
func (r *request) switches(kind string, parameters map[string]any) error {
	body := map[string]any{"type": kind, "id": r.ID, "duration": r.For.String()}
	for name, value := range parameters {
		body[name] = value
	}
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("writing the fault for the lab: %w", err)
	}
	r.applies(target.Step{HTTP: &target.HTTP{Method: http.MethodPost, Path: "/v1/faults", Body: string(text)}})
	r.undoes(target.Step{HTTP: &target.HTTP{Method: http.MethodDelete, Path: "/v1/faults/" + r.ID, Fine: []int{http.StatusNotFound}}})
	return nil
}

// passed are arguments that the lab takes under the same names.
func (r *request) passed(parameters []native.Parameter) map[string]any {
	given := map[string]any{}
	for _, p := range parameters {
		switch {
		case !r.Has(p.Name):
		case p.Type == native.Duration:
			given[p.Name] = r.Duration(p.Name, 0).String()
		default:
			given[p.Name] = r.Arguments[p.Name]
		}
	}
	return given
}

// without refuses arguments that this target has no use for, so that nobody believes they do something.
func (r *request) without(why string, parameters []native.Parameter) error {
	for _, p := range parameters {
		if r.Has(p.Name) {
			return native.Wrong(p.Name, "is not for this target: %s", why)
		}
	}
	return nil
}

// labState is what of a lab's state is needed.
type labState struct {
	Hosts []struct {
		Name    string         `json:"name"`
		Servers map[string]int `json:"servers"` // by status
	} `json:"hosts"`
	Desktops struct {
		Total    int            `json:"total"`
		ByStatus map[string]int `json:"by_status"`
	} `json:"desktops"`
}

func (r *request) labState(ctx context.Context) (state labState, err error) {
	text, err := r.look(ctx, target.Step{HTTP: &target.HTTP{Method: http.MethodGet, Path: "/v1/state"}})
	if err != nil {
		return state, fmt.Errorf("asking the lab for its state: %w", err)
	}
	if err := json.Unmarshal([]byte(text), &state); err != nil {
		return state, fmt.Errorf("reading the lab's state: %w", err)
	}
	return state, nil
}

// labHost reads the argument host, which must be one of the lab's, and says that it is hit. It returns how many desktops run there.
func (r *request) labHost(ctx context.Context) (desktops int, err error) {
	state, err := r.labState(ctx)
	if err != nil {
		return 0, err
	}
	var names []string
	host := r.Text("host", "")
	for _, h := range state.Hosts {
		if h.Name == host {
			r.Touches.Hosts = []string{host}
			return h.Servers[active], nil
		}
		names = append(names, h.Name)
	}
	return 0, native.Wrong("host", "expected a host of the lab: %s", named(names))
}

func leaseParameters() []native.Parameter {
	return []native.Parameter{
		{Name: "host", Type: native.Text, Doc: "of a lab: the desktops of this host; of all hosts if absent"},
		{Name: "count", Type: native.Integer, Doc: "of a lab: so many of the desktops, by the lab's seed; all if absent"},
		{Name: "fraction", Type: native.Number, Doc: "of a lab: such a part of the desktops, above 0 to 1"},
	}
}

// lateLeases are what is seen of a renewal by unicast that is not answered: the lease is late, and a broadcast renews it.
func lateLeases(ctx context.Context, r *request) error {
	parameters := r.passed(leaseParameters())
	if len(parameters) == 0 {
		parameters["fraction"] = 1
	}
	if r.Has("count") && (r.Has("fraction") || r.Integer("count", 0) < 1) {
		return native.Wrong("count", "expected 1 or more, and no fraction with it")
	}
	among, where := 0, r.Text("host", "the lab")
	if r.Has("host") {
		desktops, err := r.labHost(ctx)
		if err != nil {
			return err
		}
		among = desktops
	} else {
		state, err := r.labState(ctx)
		if err != nil {
			return err
		}
		among = state.Desktops.ByStatus[active]
	}
	fraction := r.Number("fraction", 1)
	if !(fraction > 0 && fraction <= 1) {
		return native.Wrong("fraction", "expected above 0 to 1")
	}
	r.Touches.Hosts = nil // it is its desktops that are hit
	r.Touches.Chosen = r.Integer("count", int(math.Ceil(fraction*float64(among))))
	r.whats("the DHCP leases of %d of %d desktops of %s are renewed late: by broadcasts only", r.Touches.Chosen, among, where)
	parameters["rebinds"] = true
	return r.switches("desktop.lease_stuck", parameters)
}
