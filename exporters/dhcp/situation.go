package dhcp

import (
	"slices"

	"github.com/deskstorm/deskstorm/probe/dhcp"
)

// Situation is what is the matter with a network, in a word.
type Situation string

// The situations. Several may be there at once, but for Healthy, which is none of the others.
const (
	Healthy            Situation = "healthy"
	NoServer           Situation = "no_server"            // nobody grants an address
	Nak                Situation = "nak"                  // a server refuses what it, or another, granted
	ForeignServer      Situation = "foreign_server"       // one answers that is not among those configured
	SeveralServers     Situation = "several_servers"      // more than one answers, and the configuration does not say which may
	RenewalsLost       Situation = "renewals_lost"        // no renewal is answered, though first requests are
	RenewalsPartlyLost Situation = "renewals_partly_lost" // some renewals are, depending on the client's address and port
	RebindsLost        Situation = "rebinds_lost"         // the last resort of a client, at 7/8 of its lease, is not answered
	SharedSocket       Situation = "shared_socket"        // several processes on the server's host have an unbound socket on port 67
	RenewalsOverdue    Situation = "renewals_overdue"     // a lease has less than 0.45 left
	Exhausted          Situation = "exhausted"            // all addresses are given away
	Unknown            Situation = "unknown"              // the exporter could not probe
)

// Situations are all of them.
func Situations() []Situation {
	return []Situation{Healthy, NoServer, Nak, ForeignServer, SeveralServers, RenewalsLost, RenewalsPartlyLost, RebindsLost,
		SharedSocket, RenewalsOverdue, Exhausted, Unknown}
}

// view is what is known of a network.
type view struct {
	result   *dhcp.Result // nil: not probed
	failed   bool         // the probe, or the reading of the lease file
	expected bool         // the configuration says which servers may answer
	shared   bool         // the server's socket
	overdue  bool
	full     bool // the range
}

// situations are what the view shows, in the order of the constants.
func (v view) situations() []Situation {
	found := map[Situation]bool{
		SharedSocket: v.shared, RenewalsOverdue: v.overdue, Exhausted: v.full, Unknown: v.failed,
	}
	if r := v.result; r != nil {
		exchanges := []dhcp.Exchange{r.DORA, r.Renew, r.Rebind}
		had := func(o dhcp.Outcome) bool {
			return slices.ContainsFunc(exchanges, func(e dhcp.Exchange) bool { return e.Outcome == o })
		}
		// A server with nothing to give is silent.
		found[NoServer] = r.DORA.Outcome == dhcp.NoAnswer && !v.full
		found[Nak] = had(dhcp.Refused)
		found[ForeignServer] = len(r.Foreign) > 0
		found[SeveralServers] = !v.expected && len(r.Servers) > 1
		found[RenewalsLost] = r.Renew.Outcome == dhcp.NoAnswer && r.RenewalsAnswered == 0
		found[RenewalsPartlyLost] = v.partlyLost()
		found[RebindsLost] = r.Rebind.Outcome == dhcp.NoAnswer
		found[Unknown] = v.failed || had(dhcp.Failed) || had(dhcp.CutShort)
	}
	var list []Situation
	for _, s := range Situations() {
		if found[s] {
			list = append(list, s)
		}
	}
	if len(list) == 0 {
		return []Situation{Healthy}
	}
	return list
}

// partlyLost: if the client's own renewal alone was answered, a filter between may want the client's port, which is no fault;
// but where processes share a socket it was luck.
func (v view) partlyLost() bool {
	r := v.result
	answered := r.RenewalsAnswered
	if answered == 0 || answered == r.RenewalsSent || r.Renew.Outcome == dhcp.CutShort || r.Renew.Outcome == dhcp.Failed {
		return false
	}
	return answered > 1 || r.Renew.Outcome == dhcp.NoAnswer || v.shared
}
