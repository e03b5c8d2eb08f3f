package fault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/deskstorm/deskstorm/runner/native"
	"github.com/deskstorm/deskstorm/runner/target"
)

// thief is the user under whom the second server runs: sockets of one user share port 67's packets (SO_REUSEPORT), those of two do not,
// and the later one has them all. It is nobody's, as relayGroup is no group's.
const thief = 0x7d000001

// dhcpSharedSocket is production's: several dnsmasq on one host whose sockets are not bound to their networks' interfaces. Broadcasts
// reach all of them; what is sent by unicast reaches the one started last, which has another network and drops it without a word.
func dhcpSharedSocket() kind {
	steals := native.Parameter{Name: "steals", Type: native.Text, OneOf: []string{"all", "some"},
		Doc: "which renewals: all, as with users of their own or an old dnsmasq, or by a hash of address and port; all if absent; not of a lab"}
	return kind{
		name: "dhcp.shared_socket", doc: "a second DHCP server on the host gets the renewals that are for the first, and drops them",
		parameters: append(leaseParameters(), steals),
		host: func(ctx context.Context, r *request) error {
			if err := r.without("on a host the DHCP server's clients are hit", leaseParameters()); err != nil {
				return err
			}
			sockets, err := r.canSteal(ctx)
			if err != nil {
				return err
			}
			program, pidFile := "dnsmasq", r.machine.RunDir+"/"+r.tableName()+".pid"
			// It serves the loopback interface, where no client is, a network that is nobody's (TEST-NET-2, RFC 5737); but its socket is the
			// wildcard's, because it is told an address and not an interface.
			argv := []string{program, "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--no-ping", "--user=root", "--pid-file=",
				"--log-facility=-", "--bind-interfaces", "--listen-address=127.0.0.1", "--leasefile-ro",
				"--dhcp-range=198.51.100.10,198.51.100.20,1h"}
			what := "DHCP renewals that clients send by unicast"
			if r.Text("steals", "all") == "all" {
				const needs = "+net_admin,+net_raw,+net_bind_service"
				if err := r.needs(ctx, "setpriv", "util-linux"); err != nil {
					return err
				}
				argv = append([]string{"setpriv", fmt.Sprintf("--reuid=%d", thief), "--clear-groups", "--inh-caps=" + needs,
					"--ambient-caps=" + needs}, argv...)
			} else {
				what = "a part of the " + what
			}
			r.whats("%s go to a second dnsmasq, which drops them", what)
			r.applies(target.Step{Start: &target.Start{Argv: argv, PidFile: pidFile}}, r.listens("u", 67, sockets+1))
			r.undoes(target.Step{Signal: &target.Signal{PidFile: pidFile, Program: program, Signal: "KILL"}})
			return nil
		},
		lab: func(ctx context.Context, r *request) error {
			if err := r.without("a lab's leases are late, all that are chosen", []native.Parameter{steals}); err != nil {
				return err
			}
			return lateLeases(ctx, r)
		},
	}
}

// canSteal refuses where there is no socket at port 67 that is bound to no interface: one that is bound keeps its packets. It returns how
// many sockets there are.
func (r *request) canSteal(ctx context.Context) (sockets int, err error) {
	for program, install := range map[string]string{"ss": "iproute2", "dnsmasq": "dnsmasq-base"} {
		if err := r.needs(ctx, program, install); err != nil {
			return 0, err
		}
	}
	said, err := r.look(ctx, command("ss", "-Hlnu", "sport = :67"))
	if err != nil {
		return 0, fmt.Errorf("looking at the sockets of DHCP servers: %w", err)
	}
	atRisk := false
	for line := range strings.Lines(said) {
		sockets++
		atRisk = atRisk || slices.Contains(strings.Fields(line), "0.0.0.0:67")
	}
	switch {
	case sockets == 0:
		return 0, errors.New("no DHCP server is on the host")
	case !atRisk:
		return 0, errors.New("the host's DHCP servers have bound their sockets to interfaces, so that nobody else gets their packets: the host " +
			"is not at risk of this fault; dhcp.drop_renewals has the same effect")
	}
	return sockets, nil
}
