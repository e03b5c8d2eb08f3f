package fault

import (
	"context"

	"github.com/deskstorm/deskstorm/runner/native"
)

// ldapPort is LDAP's, with StartTLS or without TLS (RFC 4513); that of LDAP over TLS from the beginning is 636.
const ldapPort = 389

// directoryParameters say where a directory is.
func directoryParameters() []native.Parameter {
	return []native.Parameter{
		{Name: "address", Type: native.Text, Doc: "the directory's IP address; not of a lab"},
		{Name: "port", Type: native.Integer, Doc: "the directory's port; 389 if absent; not of a lab"},
	}
}

func ldapSlow() kind {
	return kind{
		name: "ldap.slow", doc: "the directory answers later",
		parameters: append(directoryParameters(), delayParameters()...),
		host: func(ctx context.Context, r *request) error {
			delay, jitter, err := r.delays()
			if err != nil {
				return err
			}
			t, err := r.traffic(ldapPort)
			if err != nil {
				return err
			}
			// Who asks a directory keeps connections open for hours.
			return r.relays(ctx, t, delay, jitter, true)
		},
		lab: func(_ context.Context, r *request) error {
			if err := r.without("a lab has one directory", directoryParameters()); err != nil {
				return err
			}
			delay, jitter, err := r.delays()
			if err != nil {
				return err
			}
			if jitter != 0 {
				return native.Wrong("jitter", "the lab's directory has none")
			}
			r.whats("each request to the lab's directory takes %s longer", delay)
			return r.switches("ldap.slow", map[string]any{"delay": delay.String()})
		},
	}
}
