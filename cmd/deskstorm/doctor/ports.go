package doctor

import (
	"context"
	"fmt"
	"io/fs"
)

// Ports checks the range of local ports, read from proc (a file system like /proc), against the connections of the
// clients. The range counts anew for each pair of local address and remote address and port, so it only runs short where
// many clients go to one: a proxy, a gateway, the simulated lab.
func Ports(proc fs.FS, clients int) Check {
	return func(context.Context) Result {
		text, err := fs.ReadFile(proc, "sys/net/ipv4/ip_local_port_range")
		if err != nil {
			return unreadable("local ports", err)
		}
		var first, last int
		if _, err := fmt.Sscan(string(text), &first, &last); err != nil {
			return unreadable("local ports", fmt.Errorf("reading ip_local_port_range: %w", err))
		}
		have, need := last-first+1, clients*SocketsPerClient
		r := Result{
			Check: "local ports",
			Found: fmt.Sprintf("%d (%d-%d) to each remote address and port, %d clients make %d connections",
				have, first, last, clients, need),
		}
		if need > have {
			r.Level = Warn
			r.Advice = fmt.Sprintf("To a single remote address and port (a proxy, a gateway) only %d clients fit. Then\n"+
				"- widen the range: sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"\n"+
				"- or give k6 more local addresses: deskstorm k6 run --local-ips 10.0.0.10-10.0.0.13\n"+
				"Nothing to do where each desktop has an address or port of its own.", have/SocketsPerClient)
		}
		return r
	}
}
