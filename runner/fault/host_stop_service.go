package fault

import (
	"context"

	"github.com/deskstorm/deskstorm/runner/native"
)

func hostStopService() kind {
	return kind{
		name: "host.stop_service", doc: "stops a service of a host, and starts it again",
		parameters: []native.Parameter{{Name: "service", Type: native.Text, Required: true,
			Doc: "one of the target's services in the configuration, or else a systemd unit"}},
		host: func(ctx context.Context, r *request) error {
			service := r.Text("service", "")
			if err := r.mustRun(ctx, service); err != nil {
				return err
			}
			r.Touches.Hosts = []string{r.at}
			r.whats("the service %s of %s is stopped", service, r.at)
			r.applies(r.stop(service))
			r.undoes(r.start(service))
			return nil
		},
	}
}
