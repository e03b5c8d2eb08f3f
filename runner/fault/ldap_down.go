package fault

import (
	"context"

	"github.com/deskstorm/deskstorm/runner/native"
)

// What how may be of a service that is down.
const (
	refused = "refused"
	silent  = "silent"
)

func ldapDown() kind {
	how := native.Parameter{Name: "how", Type: native.Text, OneOf: []string{refused, silent},
		Doc: "connections are refused, as by a host whose directory has ended, or packets are dropped; refused if absent; not of a lab"}
	return kind{
		name: "ldap.down", doc: "the directory cannot be reached, and has dropped those who were connected",
		parameters: append(directoryParameters(), how),
		host: func(ctx context.Context, r *request) error {
			t, err := r.traffic(ldapPort)
			if err != nil {
				return err
			}
			t.direction = to
			if r.Text("how", refused) == silent {
				r.whats("%s are dropped", t)
				return r.filters(ctx, t.everywhere("counter drop"))
			}
			r.whats("%s are answered with a reset", t)
			return r.filters(ctx, t.resets())
		},
		lab: func(_ context.Context, r *request) error {
			if err := r.without("a lab has one directory, which refuses", append(directoryParameters(), how)); err != nil {
				return err
			}
			r.whats("the lab's directory refuses connections, and drops those that there are")
			return r.switches("ldap.down", nil)
		},
	}
}

// resets is the body of a table that answers the packets with a reset, where the kernel can send one (nft(8), reject).
func (t traffic) resets() string {
	var body string
	for _, hook := range []string{"input", "forward", "output"} {
		body += "\tchain " + hook + " {\n\t\ttype filter hook " + hook + " priority -10; policy accept;\n"
		for _, match := range t.matches() {
			body += "\t\t" + match + "counter reject with tcp reset\n"
		}
		body += "\t}\n"
	}
	return body
}
