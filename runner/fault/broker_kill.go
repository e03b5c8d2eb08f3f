package fault

import (
	"context"

	"github.com/deskstorm/deskstorm/runner/native"
)

func brokerKill() kind {
	return kind{
		name: "broker.kill", doc: "kills a broker, of desktops or of messages, as a crash would; it is started again",
		parameters: append([]native.Parameter{
			{Name: "service", Type: native.Text, Required: true,
				Doc: "what starts it again: one of the target's services in the configuration, or else a systemd unit"},
			{Name: "signal", Type: native.Text, OneOf: []string{"KILL", "TERM"}, Doc: "KILL if absent"},
		}, daemonParameters()...),
		host: func(ctx context.Context, r *request) error {
			service, signal := r.Text("service", ""), r.Text("signal", "KILL")
			kill, err := r.daemon(ctx, service, signal)
			if err != nil {
				return err
			}
			r.whats("the broker %s of %s gets SIG%s", service, r.at, signal)
			r.applies(kill)
			r.undoes(r.start(service))
			return nil
		},
	}
}
