package fault

import (
	"context"
	"fmt"

	"github.com/deskstorm/deskstorm/runner/native"
)

// dhcpDropRenewals drops what a DHCP server gets by unicast from clients: renewals at T1 and releases. What clients broadcast, first
// requests and rebindings at T2, passes, and so does what relay agents send (from port 67, RFC 1542, section 4.1.1).
func dhcpDropRenewals() kind {
	return kind{
		name: "dhcp.drop_renewals", doc: "DHCP leases are not renewed: what clients send by unicast is dropped, broadcasts pass",
		parameters: append(leaseParameters(), deviceParameter("of the clients' network; all if absent")),
		host: func(ctx context.Context, r *request) error {
			if err := r.without("on a host the DHCP server's clients are hit", leaseParameters()); err != nil {
				return err
			}
			device := r.Text("device", "")
			match, where := "", "all networks"
			if device != "" {
				if !isDevice(device) {
					return native.Wrong("device", "expected the name of a network interface, found %q", device)
				}
				match, where = fmt.Sprintf("iifname %q ", device), "the network of "+device
			}
			r.whats("DHCP renewals that clients of %s send by unicast are dropped", where)
			return r.filters(ctx, "\tchain renewals {\n\t\ttype filter hook input priority -290; policy accept;\n"+
				"\t\t"+match+"udp dport 67 udp sport != 67 fib daddr type local counter drop\n\t}\n")
		},
		lab: lateLeases,
	}
}
