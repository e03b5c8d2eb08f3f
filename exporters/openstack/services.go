package openstack

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/deskstorm/deskstorm/exporters/collector"
)

var (
	services = collector.Gauge("deskstorm_openstack_services",
		"Nova's services, by state: up, down, or disabled, whether up or not.", "binary", "zone", "state")
	agents = collector.Gauge("deskstorm_openstack_agents",
		"Neutron's agents, by state: up, down, or disabled, whether up or not.", "type", "state")
)

var states = []string{up, down, disabled}

// States of services and agents.
const (
	up       = "up"
	down     = "down"
	disabled = "disabled"
)

// binaries are Nova's that report.
var binaries = []string{"nova-compute", "nova-conductor", "nova-scheduler", "nova-consoleauth"}

// agentTypes are those in Neutron's own tree (neutron_lib/constants.py), and OVN's.
var agentTypes = []string{
	"DHCP agent", "L3 agent", "Linux bridge agent", "Loadbalancer agent", "Loadbalancerv2 agent", "Metadata agent", "Metering agent",
	"NIC Switch agent", "OVN Controller Gateway agent", "OVN Controller agent", "OVN Metadata agent", "Open vSwitch agent",
}

func stateOf(enabled, alive bool) string {
	switch {
	case !enabled:
		return disabled
	case alive:
		return up
	}
	return down
}

func (e *asker) updateServices(ctx context.Context, emit func(prometheus.Metric)) error {
	c, err := e.cloud.Cloud(ctx)
	if err != nil {
		return err
	}
	all, err := c.ComputeServices(ctx)
	if err != nil {
		return err
	}
	zones := labels{most: maxZones}
	for _, s := range all {
		zones.add(s.Zone)
	}
	type kind struct{ binary, zone string }
	count := map[kind]map[string]int{}
	for _, s := range all {
		k := kind{known(binaries, s.Binary), zones.label(s.Zone)}
		if count[k] == nil {
			count[k] = map[string]int{}
		}
		count[k][stateOf(s.Status == "enabled", s.State == "up")]++
	}
	for k, byState := range count {
		for _, state := range states {
			emit(services.Value(float64(byState[state]), k.binary, k.zone, state))
		}
	}
	return nil
}

func (e *asker) updateAgents(ctx context.Context, emit func(prometheus.Metric)) error {
	c, err := e.plain.Cloud(ctx)
	if err != nil {
		return err
	}
	all, err := c.Agents(ctx)
	if err != nil {
		return err
	}
	count := map[string]map[string]int{}
	for _, a := range all {
		kind := known(agentTypes, a.Type)
		if count[kind] == nil {
			count[kind] = map[string]int{}
		}
		count[kind][stateOf(a.AdminUp, a.Alive)]++
	}
	for kind, byState := range count {
		for _, state := range states {
			emit(agents.Value(float64(byState[state]), kind, state))
		}
	}
	return nil
}
