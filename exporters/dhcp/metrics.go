package dhcp

import "github.com/deskstorm/deskstorm/exporters/collector"

// The metrics. A network, and a host, is one of the configuration.
var (
	success = collector.Gauge("deskstorm_dhcp_probe_success",
		"1 if the last exchange of the kind (dora: a first lease by broadcast, renew: its renewal by unicast, rebind: by broadcast) "+
			"was acknowledged, 0 if not. One that could not be tried is not there.", "network", "exchange")
	probes = collector.Counter("deskstorm_dhcp_probes_total",
		"Exchanges by outcome: acknowledged, no_answer, nak, wrong_server, and on the exporter's side cut_short, failed and skipped.",
		"network", "exchange", "outcome")
	duration = collector.Histogram("deskstorm_dhcp_probe_duration_seconds",
		"From the first transmission to the acknowledgement.",
		[]float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5}, "network", "exchange")
	renewalsAnswered = collector.Gauge("deskstorm_dhcp_renewals_answered_ratio",
		"Part of the last probe's renewals that was answered. Each came from another port.", "network")
	servers = collector.Gauge("deskstorm_dhcp_servers",
		"DHCP servers that answered the last probe.", "network")
	foreignServers = collector.Gauge("deskstorm_dhcp_foreign_servers",
		"DHCP servers that answered the last probe and are not among those configured.", "network")
	grantedLease = collector.Gauge("deskstorm_dhcp_granted_lease_seconds",
		"How long the last lease granted to the probe is good for; +Inf: for ever.", "network")
	situation = collector.Gauge("deskstorm_dhcp_situation",
		"1 for what is the matter with the network, 0 for all else: healthy, no_server, nak, foreign_server, several_servers, "+
			"renewals_lost, renewals_partly_lost, rebinds_lost, shared_socket, renewals_overdue, exhausted, unknown.",
		"network", "situation")
	missingCapability = collector.Gauge("deskstorm_dhcp_missing_capability",
		"1 if the exporter lacks a capability that the network's probe needs.", "network", "capability")

	leases = collector.Gauge("deskstorm_dhcp_leases",
		"Leases in the server's file that have not run out, without the probe's.", "network")
	overdueLeases = collector.Gauge("deskstorm_dhcp_leases_overdue",
		"Leases of which less than 0.45 remains. A client renews at half; those of clients switched off are among them.", "network")
	remaining = collector.Gauge("deskstorm_dhcp_lease_remaining_ratio",
		"The smallest remaining part of a lease.", "network")
	rangeAddresses = collector.Gauge("deskstorm_dhcp_range_addresses",
		"Addresses that the server has to give, as configured.", "network")
	rangeLeases = collector.Gauge("deskstorm_dhcp_range_leases",
		"Leases of these addresses, the probe's among them.", "network")
	malformedLines = collector.Gauge("deskstorm_dhcp_lease_file_malformed_lines",
		"Lines of the server's file that are no lease.", "network")

	sockets = collector.Gauge("deskstorm_dhcp_server_sockets",
		"UDP sockets on port 67 by what they are bound to: device, address, none.", "host", "binding")
	unboundProcesses = collector.Gauge("deskstorm_dhcp_unbound_processes",
		"Processes with a socket on port 67 that is bound to nothing. Of several, renewals come to one.", "host")
)

// Families are all metrics of the exporter.
func Families() []*collector.Family {
	return []*collector.Family{
		success, probes, duration, renewalsAnswered, servers, foreignServers, grantedLease, situation, missingCapability,
		leases, overdueLeases, remaining, rangeAddresses, rangeLeases, malformedLines, sockets, unboundProcesses,
	}
}
