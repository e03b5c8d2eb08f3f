package cloud_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/lab/sim"
)

func TestHealthOfTheSimulatedCloud(t *testing.T) {
	lab, c := startSim(t, sim.Config{Hosts: []sim.Host{{Name: "a", VCPUs: 10, CPURatio: 2}, {Name: "b"}}, Servers: []sim.ServerSeed{{Name: "x"}}})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	services, err := c.ComputeServices(ctx)
	require.NoError(t, err)
	require.Contains(t, services, cloud.ComputeService{Binary: "nova-compute", Host: "a", Zone: "nova", Status: "enabled", State: "up"})
	agents, err := c.Agents(ctx)
	require.NoError(t, err)
	require.Contains(t, agents, cloud.Agent{Type: "DHCP agent", Host: "b", Alive: true, AdminUp: true})
	aggregates, err := c.Aggregates(ctx)
	require.NoError(t, err)
	require.Empty(t, aggregates)

	hypervisors, err := c.Hypervisors(ctx)
	require.NoError(t, err)
	require.Len(t, hypervisors, 2)
	providers, err := c.Providers(ctx)
	require.NoError(t, err)
	require.Len(t, providers, 2)
	used := 0
	for i, h := range lab.Hosts() {
		p := providers[i]
		require.Equal(t, h.Name, p.Name)
		require.Equal(t, cloud.Hypervisor{ID: p.ID, Host: h.Name, Type: "QEMU", Version: 7002000}, hypervisors[i])
		inventories, err := c.Inventories(ctx, p.ID)
		require.NoError(t, err)
		require.Equal(t, h.VCPUs.Capacity, inventories["VCPU"].Capacity())
		require.Equal(t, h.MemoryMB.Capacity, inventories["MEMORY_MB"].Capacity())
		usages, err := c.Usages(ctx, p.ID)
		require.NoError(t, err)
		require.Equal(t, h.VCPUs.Used, usages["VCPU"])
		used += usages["VCPU"]
	}
	require.Equal(t, 2, used)
	_, err = c.Usages(ctx, "..")
	require.Error(t, err)
}

func TestCanaries(t *testing.T) {
	lab, c := startSim(t, sim.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, service := range cloud.CanaryServices() {
		canaries, err := c.Canaries(service)
		require.NoError(t, err)
		require.Len(t, canaries, 2)
		for _, canary := range canaries {
			require.NoError(t, canary.Ask(ctx), "%s %s", service, canary.Operation)
		}
		undo, err := lab.Inject(sim.Fault{Service: service, Status: 500})
		require.NoError(t, err)
		for _, canary := range canaries {
			var failed *cloud.Error
			require.ErrorAs(t, canary.Ask(ctx), &failed, "%s %s", service, canary.Operation)
			require.Equal(t, 500, failed.Status)
		}
		undo()
	}
	_, err := c.Canaries("cinder")
	require.ErrorIs(t, err, cloud.ErrNotOffered)
}
