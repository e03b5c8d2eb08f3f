package probes

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/deskstorm/deskstorm/probe/dhcp"
	"github.com/deskstorm/deskstorm/runner/native"
)

func (p *prober) dhcp() []native.Function {
	network := native.Parameter{Name: "network", Type: native.Text, Doc: "which of the configuration's; absent: the only one"}
	return []native.Function{{
		Name: "dhcp.renew", Kind: native.Probe,
		Doc:        "Takes a lease, renews it by unicast from several ports and rebinds it: ok, and the outcome of each.",
		Parameters: []native.Parameter{network}, Run: p.renew,
	}, {
		Name: "dhcp.audit", Kind: native.Probe,
		Doc:        "Looks at the sockets of a host's DHCP servers: shared is that several take each other's renewals.",
		Parameters: []native.Parameter{{Name: "host", Type: native.Text, Doc: "which of the configuration's; absent: the only one"}},
		Run:        p.audit,
	}, {
		Name: "leases", Kind: native.Probe,
		Doc:        "Reads dnsmasq's lease file: lowest is the least part that is left of any lease, 0 to 1; a healthy client renews at 0.5.",
		Parameters: []native.Parameter{network}, Run: p.leases,
	}}
}

// exchange is one exchange with a server.
type exchange struct {
	Outcome dhcp.Outcome `json:"outcome"`
	Took    float64      `json:"took_ms,omitempty"`
	Error   string       `json:"error,omitempty"`
}

func told(e dhcp.Exchange) exchange {
	x := exchange{Outcome: e.Outcome, Took: milliseconds(e.Latency), Error: e.Message}
	if e.Err != nil {
		x.Error = e.Err.Error()
	}
	return x
}

// renewal is what a probe of a network found.
type renewal struct {
	OK       bool         `json:"ok"` // each exchange was acknowledged, each renewal answered, and by no foreign server
	DORA     exchange     `json:"dora"`
	Renew    exchange     `json:"renew"`
	Rebind   exchange     `json:"rebind"`
	Sent     int          `json:"renewals_sent"`
	Answered int          `json:"renewals_answered"`
	Address  string       `json:"address,omitempty"`
	Lease    float64      `json:"lease_seconds,omitempty"`
	Servers  []netip.Addr `json:"servers"`
	Foreign  []netip.Addr `json:"foreign"`
}

func (p *prober) network(function string, a native.Arguments) (Network, error) {
	if len(p.Config.DHCP.Networks) == 0 {
		return Network{}, missing(function, dhcpSection+".networks")
	}
	return named("network", p.Config.DHCP.Networks, a.Text("network", ""), func(n Network) string { return n.Name })
}

func (p *prober) renew(ctx context.Context, a native.Arguments) (any, error) {
	n, err := p.network("dhcp.renew", a)
	if err != nil {
		return nil, err
	}
	if n.Target == nil {
		return nil, fmt.Errorf("the network %s has no interface and no relay to probe through", n.Name)
	}
	r, err := dhcp.Probe(ctx, *n.Target)
	if err != nil {
		return nil, fmt.Errorf("the network %s: %w", n.Name, err)
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("the network %s: %w", n.Name, context.Cause(ctx))
	}
	found := renewal{
		DORA: told(r.DORA), Renew: told(r.Renew), Rebind: told(r.Rebind), Sent: r.RenewalsSent, Answered: r.RenewalsAnswered,
		Lease: r.Lease.Duration.Seconds(), Servers: orEmpty(r.Servers), Foreign: orEmpty(r.Foreign),
	}
	if r.Lease.Address.IsValid() {
		found.Address = r.Lease.Address.String()
	}
	fine := func(o dhcp.Outcome) bool { return o == dhcp.Acknowledged }
	found.OK = fine(r.DORA.Outcome) && fine(r.Renew.Outcome) && r.RenewalsAnswered == r.RenewalsSent && len(r.Foreign) == 0 &&
		(fine(r.Rebind.Outcome) || r.Rebind.Outcome == dhcp.Skipped) // through a relay
	return found, nil
}

func orEmpty(all []netip.Addr) []netip.Addr {
	if all == nil {
		return []netip.Addr{}
	}
	return all
}

// sockets is what a host's DHCP servers have open.
type sockets struct {
	Shared    bool     `json:"shared"`
	Sockets   int      `json:"sockets"`
	Unbound   int      `json:"unbound"`
	Processes []string `json:"processes"` // with an unbound socket
}

func (p *prober) audit(_ context.Context, a native.Arguments) (any, error) {
	if len(p.Config.DHCP.Hosts) == 0 {
		return nil, missing("dhcp.audit", dhcpSection+".hosts")
	}
	h, err := named("host", p.Config.DHCP.Hosts, a.Text("host", ""), func(h Host) string { return h.Name })
	if err != nil {
		return nil, err
	}
	found, err := dhcp.AuditSockets(h.Namespace)
	if err != nil {
		return nil, fmt.Errorf("the host %s: %w", h.Name, err)
	}
	processes := found.Processes()
	if processes == nil {
		processes = []string{}
	}
	return sockets{Shared: found.Shared(), Sockets: len(found.Sockets), Unbound: len(found.Unbound()), Processes: processes}, nil
}

// leaseState is a lease file.
type leaseState struct {
	Leases    int     `json:"leases"`
	Lowest    float64 `json:"lowest"`            // 1 where there is none
	Address   string  `json:"address,omitempty"` // whose lease that is
	Below     int     `json:"below_0_45"`        // healthy ones never are
	Malformed int     `json:"malformed"`
}

// overdue is the part of a lease at which a client has not renewed that should have at a half, with some time to try.
const overdue = 0.45

func (p *prober) leases(_ context.Context, a native.Arguments) (any, error) {
	n, err := p.network("leases", a)
	if err != nil {
		return nil, err
	}
	if n.LeaseFile == "" {
		return nil, fmt.Errorf("the network %s has no lease_file", n.Name)
	}
	file, err := dhcp.ReadLeases(n.LeaseFile)
	if err != nil {
		return nil, fmt.Errorf("the network %s: %w", n.Name, err)
	}
	s := leaseState{Leases: len(file.Leases), Lowest: 1, Malformed: file.Malformed}
	now := time.Now()
	for _, l := range file.Leases {
		left := l.Remaining(now, n.LeaseTime)
		if left < overdue {
			s.Below++
		}
		if left < s.Lowest {
			s.Lowest, s.Address = left, l.Address.String()
		}
	}
	return s, nil
}
