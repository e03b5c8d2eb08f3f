package fault

import (
	"context"
	"slices"

	"github.com/deskstorm/deskstorm/runner/native"
)

func computeDown() kind {
	services := native.Parameter{Name: "services", Type: native.List,
		Doc: "what is stopped, in this order, and started in the other; nova-compute if absent; not of a lab"}
	inLab := []native.Parameter{
		{Name: "host", Type: native.Text, Doc: "of a lab: which; with how: lost all if absent"},
		{Name: "how", Type: native.Text, OneOf: []string{"dead", "lost"},
			Doc: "of a lab: the host is dead, with its desktops, or what is to be built there is lost; dead if absent"},
	}
	return kind{
		name: "compute.down", doc: "a compute host does not do what it is asked to",
		parameters: append([]native.Parameter{services}, inLab...),
		host: func(ctx context.Context, r *request) error {
			if err := r.without("it is a host", inLab); err != nil {
				return err
			}
			names := []string{"nova-compute"}
			if r.Has("services") {
				names = r.Texts("services")
			}
			if len(names) == 0 {
				return native.Wrong("services", "expected at least one")
			}
			if err := r.mustRun(ctx, names...); err != nil {
				return err
			}
			r.Touches.Hosts = []string{r.at}
			r.whats("%s of %s are stopped", named(names), r.at)
			for _, name := range names {
				r.applies(r.stop(name))
			}
			for _, name := range slices.Backward(names) {
				r.undoes(r.start(name))
			}
			return nil
		},
		lab: func(ctx context.Context, r *request) error {
			if err := r.without("a lab has no such services", []native.Parameter{services}); err != nil {
				return err
			}
			host := r.Text("host", "")
			if r.Text("how", "dead") == "dead" {
				desktops, err := r.labHost(ctx)
				if err != nil {
					return err
				}
				r.Touches.Chosen = desktops
				r.whats("the host %s of the lab is dead, and so are its %d desktops", host, desktops)
				return r.switches("host.down", map[string]any{"host": host})
			}
			if host != "" {
				if _, err := r.labHost(ctx); err != nil {
					return err
				}
				r.whats("what is to be built on the host %s of the lab is lost", host)
				return r.switches("compute.lost", map[string]any{"host": host})
			}
			state, err := r.labState(ctx)
			if err != nil {
				return err
			}
			for _, h := range state.Hosts {
				r.Touches.Hosts = append(r.Touches.Hosts, h.Name)
			}
			r.whats("what is to be built on any host of the lab is lost")
			return r.switches("compute.lost", nil)
		},
	}
}
