package sim_test

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/flavors"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/hypervisors"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/instanceactions"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/limits"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/remoteconsoles"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/services"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/tags"
	"github.com/gophercloud/gophercloud/v2/openstack/config"
	"github.com/gophercloud/gophercloud/v2/openstack/config/clouds"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/applicationcredentials"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/projects"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/agents"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"
	"github.com/gophercloud/gophercloud/v2/openstack/placement/v1/resourceproviders"
	"github.com/gophercloud/gophercloud/v2/openstack/utils"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/spice"
)

// patience bounds what a test waits for; it takes milliseconds.
const patience = 20 * time.Second

func startLab(t testing.TB, c sim.Config) *sim.Lab {
	t.Helper()
	if c.Boot == nil {
		c.Boot = instant
	}
	lab, err := sim.Start(t.Context(), c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, lab.Close()) })
	return lab
}

func provider(t testing.TB, o gophercloud.AuthOptions) *gophercloud.ProviderClient {
	t.Helper()
	p, err := openstack.AuthenticatedClient(t.Context(), o)
	require.NoError(t, err)
	return p
}

func compute(t testing.TB, o gophercloud.AuthOptions, version string) *gophercloud.ServiceClient {
	t.Helper()
	c, err := openstack.NewComputeV2(provider(t, o), gophercloud.EndpointOpts{Region: sim.Region})
	require.NoError(t, err)
	c.Microversion = version
	return c
}

func user(lab *sim.Lab, name, password string) gophercloud.AuthOptions {
	return gophercloud.AuthOptions{
		IdentityEndpoint: lab.AuthURL, Username: name, Password: password, DomainName: sim.UsersDomain, AllowReauth: true,
		Scope: &gophercloud.AuthScope{ProjectName: sim.Project, DomainName: "Default"},
	}
}

func create(t testing.TB, lab *sim.Lab, c *gophercloud.ServiceClient, o servers.CreateOpts) string {
	t.Helper()
	if o.Name == "" {
		o.Name = "desktop"
	}
	o.FlavorRef, o.ImageRef = lab.FlavorID("desktop.small"), lab.ImageID("desktop")
	if o.Networks == nil {
		o.Networks = "auto"
	}
	s, err := servers.Create(t.Context(), c, o, nil).Extract()
	require.NoError(t, err)
	return s.ID
}

// await polls until a server has a status.
func await(t testing.TB, c *gophercloud.ServiceClient, id, status string) *servers.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		s, err := servers.Get(ctx, c, id).Extract()
		require.NoError(t, err)
		if s.Status == status {
			return s
		}
		require.NotEqual(t, "ERROR", s.Status, s.Fault.Message)
		time.Sleep(2 * time.Millisecond)
	}
}

func gone(t testing.TB, c *gophercloud.ServiceClient, id string) {
	t.Helper()
	require.Eventually(t, func() bool {
		return gophercloud.ResponseCodeIs(servers.Get(t.Context(), c, id).Err, http.StatusNotFound)
	}, patience, 2*time.Millisecond)
}

func TestServersLife(t *testing.T) {
	lab := startLab(t, sim.Config{})
	c := compute(t, lab.Admin(), "2.93")
	ctx := t.Context()

	id := create(t, lab, c, servers.CreateOpts{
		Name: "seat-1", Metadata: map[string]string{"seat": "N2-117"}, Tags: []string{"owner=deskstorm", "run=1"},
	})
	s := await(t, c, id, "ACTIVE")
	require.Equal(t, "seat-1", s.Name)
	require.Equal(t, map[string]string{"seat": "N2-117"}, s.Metadata)
	require.Equal(t, []string{"owner=deskstorm", "run=1"}, *s.Tags)
	require.Equal(t, "desktop.small", s.Flavor["original_name"])
	require.Equal(t, lab.ImageID("desktop"), s.Image["id"])
	require.Equal(t, lab.Keystone.ProjectID(sim.Project), s.TenantID)
	require.NotEmpty(t, s.Host)
	require.Equal(t, s.Host, s.HypervisorHostname)
	require.Equal(t, "instance-00000001", s.InstanceName)
	require.EqualValues(t, servers.RUNNING, s.PowerState)
	require.False(t, s.LaunchedAt.IsZero())
	require.Contains(t, s.Addresses, "desktops")
	held := lab.Placement.Consumers()
	require.Equal(t, []string{id}, held)

	require.NoError(t, servers.Stop(ctx, c, id).ExtractErr())
	await(t, c, id, "SHUTOFF")
	require.Nil(t, lab.Screen(id))
	err := servers.Stop(ctx, c, id).ExtractErr()
	require.True(t, gophercloud.ResponseCodeIs(err, http.StatusConflict), err)
	require.ErrorContains(t, err, "Cannot 'stop' instance "+id+" while it is in vm_state stopped")
	require.NoError(t, servers.Start(ctx, c, id).ExtractErr())
	await(t, c, id, "ACTIVE")
	before := lab.Screen(id)
	require.NotNil(t, before)
	require.NoError(t, servers.Reboot(ctx, c, id, servers.RebootOpts{Type: servers.SoftReboot}).ExtractErr())
	await(t, c, id, "ACTIVE")
	require.Same(t, before, lab.Screen(id), "a soft reboot leaves the SPICE server")
	require.NoError(t, servers.Reboot(ctx, c, id, servers.RebootOpts{Type: servers.HardReboot}).ExtractErr())
	await(t, c, id, "ACTIVE")
	require.NotSame(t, before, lab.Screen(id))
	rebuilt, err := servers.Rebuild(ctx, c, id, servers.RebuildOpts{ImageRef: lab.ImageID("desktop"), Name: "seat-2"}).Extract()
	require.NoError(t, err)
	require.Equal(t, "seat-2", rebuilt.Name)
	await(t, c, id, "ACTIVE")

	updated, err := servers.Update(ctx, c, id, servers.UpdateOpts{Name: "seat-3"}).Extract()
	require.NoError(t, err)
	require.Equal(t, "seat-3", updated.Name)

	pages, err := instanceactions.List(c, id, nil).AllPages(ctx)
	require.NoError(t, err)
	actions, err := instanceactions.ExtractInstanceActions(pages)
	require.NoError(t, err)
	var names []string
	for _, a := range actions {
		names = append(names, a.Action)
	}
	require.Equal(t, []string{"rebuild", "reboot", "reboot", "start", "stop", "create"}, names)
	action, err := instanceactions.Get(ctx, c, id, actions[5].RequestID).Extract()
	require.NoError(t, err)
	require.Equal(t, "create", action.Action)
	require.Equal(t, "Success", (*action.Events)[0].Result)

	require.NoError(t, servers.Delete(ctx, c, id).ExtractErr())
	gone(t, c, id)
	require.Empty(t, lab.Placement.Consumers())
	require.Empty(t, lab.Servers())
	require.Nil(t, lab.Screen(id))
}

func TestMetadataAndTags(t *testing.T) {
	lab := startLab(t, sim.Config{})
	c := compute(t, lab.Admin(), "2.93")
	ctx := t.Context()
	id := create(t, lab, c, servers.CreateOpts{Metadata: map[string]string{"a": "1"}})
	await(t, c, id, "ACTIVE")

	m, err := servers.UpdateMetadata(ctx, c, id, servers.MetadataOpts{"b": "2"}).Extract()
	require.NoError(t, err)
	require.Equal(t, map[string]string{"a": "1", "b": "2"}, m)
	m, err = servers.ResetMetadata(ctx, c, id, servers.MetadataOpts{"c": "3"}).Extract()
	require.NoError(t, err)
	require.Equal(t, map[string]string{"c": "3"}, m)
	m, err = servers.CreateMetadatum(ctx, c, id, servers.MetadatumOpts{"seat": "N1-1"}).Extract()
	require.NoError(t, err)
	require.Equal(t, map[string]string{"seat": "N1-1"}, m)
	m, err = servers.Metadatum(ctx, c, id, "seat").Extract()
	require.NoError(t, err)
	require.Equal(t, map[string]string{"seat": "N1-1"}, m)
	require.NoError(t, servers.DeleteMetadatum(ctx, c, id, "c").ExtractErr())
	m, err = servers.Metadata(ctx, c, id).Extract()
	require.NoError(t, err)
	require.Equal(t, map[string]string{"seat": "N1-1"}, m)

	require.NoError(t, tags.Add(ctx, c, id, "b").ExtractErr())
	require.NoError(t, tags.Add(ctx, c, id, "a").ExtractErr())
	require.NoError(t, tags.Add(ctx, c, id, "a").ExtractErr(), "a second time is no error")
	all, err := tags.List(ctx, c, id).Extract()
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, all)
	has, err := tags.Check(ctx, c, id, "a").Extract()
	require.NoError(t, err)
	require.True(t, has)
	require.NoError(t, tags.Delete(ctx, c, id, "a").ExtractErr())
	has, err = tags.Check(ctx, c, id, "a").Extract()
	require.NoError(t, err)
	require.False(t, has)
	all, err = tags.ReplaceAll(ctx, c, id, tags.ReplaceAllOpts{Tags: []string{"y", "x", "x"}}).Extract()
	require.NoError(t, err)
	require.Equal(t, []string{"x", "y"}, all)
	require.NoError(t, tags.DeleteAll(ctx, c, id).ExtractErr())
	var many []string
	for i := range 50 {
		many = append(many, "t"+strconv.Itoa(i))
	}
	_, err = tags.ReplaceAll(ctx, c, id, tags.ReplaceAllOpts{Tags: many}).Extract()
	require.NoError(t, err)
	err = tags.Add(ctx, c, id, "one-more").ExtractErr()
	require.True(t, gophercloud.ResponseCodeIs(err, http.StatusBadRequest), err)
}

func listNames(t testing.TB, c *gophercloud.ServiceClient, o servers.ListOptsBuilder) []string {
	t.Helper()
	pages, err := servers.List(c, o).AllPages(t.Context())
	require.NoError(t, err)
	all, err := servers.ExtractServers(pages)
	require.NoError(t, err)
	names := []string{}
	for _, s := range all {
		names = append(names, s.Name)
	}
	return names
}

func TestListsOfServers(t *testing.T) {
	seeds := []sim.ServerSeed{
		{Name: "n1-1", Metadata: map[string]string{"seat": "N1-1"}, Tags: []string{"site=N1", "idle"}},
		{Name: "n1-2", Tags: []string{"site=N1"}, Status: "SHUTOFF"},
		{Name: "n2-1", Tags: []string{"site=N2", "idle"}},
	}
	lab := startLab(t, sim.Config{Servers: seeds, Users: sim.StaticUsers{"ann": "secret"}})
	c := compute(t, lab.Admin(), "2.93")
	other := lab.Admin()
	other.Scope.ProjectName = sim.AdminProject
	elsewhere := compute(t, other, "2.93")
	create(t, lab, elsewhere, servers.CreateOpts{Name: "other"})

	for name, test := range map[string]struct {
		client *gophercloud.ServiceClient
		opts   servers.ListOpts
		want   []string
	}{
		"own project, newest first": {c, servers.ListOpts{}, []string{"n2-1", "n1-2", "n1-1"}},
		"all projects":              {c, servers.ListOpts{AllTenants: true}, []string{"other", "n2-1", "n1-2", "n1-1"}},
		"another project":           {elsewhere, servers.ListOpts{}, []string{"other"}},
		"of all, one project": {elsewhere, servers.ListOpts{AllTenants: true, TenantID: lab.Keystone.ProjectID(sim.Project)},
			[]string{"n2-1", "n1-2", "n1-1"}},
		"pages":         {c, servers.ListOpts{Limit: 1}, []string{"n2-1", "n1-2", "n1-1"}},
		"name":          {c, servers.ListOpts{Name: "^N1-"}, []string{"n1-2", "n1-1"}},
		"status":        {c, servers.ListOpts{Status: "shutoff"}, []string{"n1-2"}},
		"no such state": {c, servers.ListOpts{Status: "PAUSED"}, []string{}},
		"tags":          {c, servers.ListOpts{Tags: "site=N1,idle"}, []string{"n1-1"}},
		"tags-any":      {c, servers.ListOpts{TagsAny: "site=N2,idle"}, []string{"n2-1", "n1-1"}},
		"not-tags":      {c, servers.ListOpts{NotTags: "site=N1,idle"}, []string{"n2-1", "n1-2"}},
		"not-tags-any":  {c, servers.ListOpts{NotTagsAny: "site=N1,idle"}, []string{}},
		"flavor":        {c, servers.ListOpts{Flavor: lab.FlavorID("desktop.small"), Limit: 2}, []string{"n2-1", "n1-2", "n1-1"}},
		"no flavor":     {c, servers.ListOpts{Flavor: "x"}, []string{}},
		"image":         {c, servers.ListOpts{Image: lab.ImageID("desktop")}, []string{"n2-1", "n1-2", "n1-1"}},
		"future":        {c, servers.ListOpts{ChangesSince: time.Now().Add(time.Hour).UTC().Format(time.RFC3339)}, []string{}},
		"past":          {c, servers.ListOpts{ChangesSince: "2020-01-01T00:00:00Z"}, []string{"n2-1", "n1-2", "n1-1"}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, test.want, listNames(t, test.client, test.opts))
		})
	}

	t.Run("sorted, paged", func(t *testing.T) {
		require.Equal(t, []string{"n1-1", "n1-2", "n2-1"}, listNames(t, c, query("limit=1&sort_key=display_name&sort_dir=asc")))
	})
	t.Run("users", func(t *testing.T) {
		ann := compute(t, user(lab, "ann", "secret"), "2.93")
		require.Equal(t, []string{"n2-1", "n1-2", "n1-1"}, listNames(t, ann, servers.ListOpts{}))
		require.Equal(t, []string{"n2-1", "n1-2", "n1-1"}, listNames(t, ann, query("metadata=x")), "ignored for others")
		_, err := servers.List(ann, servers.ListOpts{AllTenants: true}).AllPages(t.Context())
		require.True(t, gophercloud.ResponseCodeIs(err, http.StatusForbidden), err)
		require.ErrorContains(t, err, "os_compute_api:servers:detail:get_all_tenants")
		for _, s := range lab.Servers() {
			err := servers.Get(t.Context(), ann, s.ID).Err
			if s.Name == "other" {
				require.True(t, gophercloud.ResponseCodeIs(err, http.StatusNotFound), err)
			} else {
				require.NoError(t, err)
			}
		}
	})
	t.Run("basic", func(t *testing.T) {
		pages, err := servers.ListSimple(c, servers.ListOpts{}).AllPages(t.Context())
		require.NoError(t, err)
		all, err := servers.ExtractServers(pages)
		require.NoError(t, err)
		require.Len(t, all, 3)
		require.Empty(t, all[0].Status)
	})
}

// query is a list's options as they are.
type query string

func (q query) ToServerListQuery() (string, error) { return "?" + string(q), nil }

func TestMetadataFilterOfAPatchedNova(t *testing.T) {
	seeds := []sim.ServerSeed{{Name: "a", Metadata: map[string]string{"seat": "1"}}, {Name: "b", Metadata: map[string]string{"seat": "2"}}}
	q := query("metadata=" + url.QueryEscape(`{"seat":"2"}`))
	plain := startLab(t, sim.Config{Servers: seeds})
	_, err := servers.List(compute(t, plain.Admin(), "2.93"), q).AllPages(t.Context())
	require.True(t, gophercloud.ResponseCodeIs(err, http.StatusBadRequest), err)
	require.ErrorContains(t, err, "Invalid filter field: metadata.")
	patched := startLab(t, sim.Config{Servers: seeds, MetadataFilter: true})
	require.Equal(t, []string{"b"}, listNames(t, compute(t, patched.Admin(), "2.93"), q))
}

func TestConsoleReachesTheDesktop(t *testing.T) {
	lab := startLab(t, sim.Config{Servers: []sim.ServerSeed{{Name: "seat"}}, SpiceDirect: true, Users: sim.StaticUsers{"ann": "secret"}})
	c := compute(t, lab.Admin(), "2.99")
	ann := compute(t, user(lab, "ann", "secret"), "2.93")
	ctx := t.Context()
	for name, id := range map[string]string{"built": create(t, lab, c, servers.CreateOpts{}), "there from the start": lab.Servers()[0].ID} {
		t.Run(name, func(t *testing.T) {
			await(t, c, id, "ACTIVE")
			console, err := remoteconsoles.Create(ctx, ann, id, remoteconsoles.CreateOpts{
				Protocol: remoteconsoles.ConsoleProtocolSPICE, Type: remoteconsoles.ConsoleTypeSPICEHTML5,
			}).Extract()
			require.NoError(t, err)
			host, port := resolve(t, c, console.URL, id)
			session, err := spice.Dial(ctx, spice.Config{Host: host, Port: port})
			require.NoError(t, err)
			require.NoError(t, session.Close())
			require.EqualValues(t, 1, lab.Screen(id).Stats().Sessions)

			direct, err := remoteconsoles.Create(ctx, c, id, remoteconsoles.CreateOpts{Protocol: "spice", Type: "spice-direct"}).Extract()
			require.NoError(t, err)
			_, again := resolve(t, c, direct.URL, id)
			require.Equal(t, port, again)
			_, err = remoteconsoles.Create(ctx, ann, id, remoteconsoles.CreateOpts{Protocol: "spice", Type: "spice-direct"}).Extract()
			require.True(t, gophercloud.ResponseCodeIs(err, http.StatusBadRequest), "before 2.99: %v", err)
		})
	}
}

func resolve(t testing.TB, c *gophercloud.ServiceClient, address, serverID string) (host string, port int) {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	var body struct {
		Console struct {
			Server string `json:"instance_uuid"`
			Host   string `json:"host"`
			Port   int    `json:"port"`
		} `json:"console"`
	}
	_, err = c.Get(t.Context(), c.ServiceURL("os-console-auth-tokens", u.Query().Get("token")), &body, nil)
	require.NoError(t, err)
	require.Equal(t, serverID, body.Console.Server)
	return body.Console.Host, body.Console.Port
}

func TestCapacityLimitsBuilds(t *testing.T) {
	lab := startLab(t, sim.Config{Hosts: []sim.Host{{Name: "only", MemoryMB: 4096 + 512, RAMRatio: 1}}})
	c := compute(t, lab.Admin(), "2.93")
	ctx := t.Context()
	placement, err := openstack.NewPlacementV1(c.ProviderClient, gophercloud.EndpointOpts{})
	require.NoError(t, err)
	placement.Microversion = "1.39"
	first := create(t, lab, c, servers.CreateOpts{})
	await(t, c, first, "ACTIVE")
	second := create(t, lab, c, servers.CreateOpts{})
	var failed *servers.Server
	require.Eventually(t, func() bool {
		failed, err = servers.Get(ctx, c, second).Extract()
		require.NoError(t, err)
		return failed.Status == "ERROR"
	}, patience, 2*time.Millisecond)
	require.Equal(t, "No valid host was found. ", failed.Fault.Message)
	require.Equal(t, 500, failed.Fault.Code)
	require.Empty(t, failed.Host)

	pages, err := resourceproviders.List(placement, resourceproviders.ListOpts{Name: "only"}).AllPages(ctx)
	require.NoError(t, err)
	all, err := resourceproviders.ExtractResourceProviders(pages)
	require.NoError(t, err)
	require.Len(t, all, 1)
	id := all[0].UUID
	usages, err := resourceproviders.GetUsages(ctx, placement, id).Extract()
	require.NoError(t, err)
	require.Equal(t, map[string]int{"VCPU": 2, "MEMORY_MB": 4096, "DISK_GB": 40}, usages.Usages)
	allocations, err := resourceproviders.GetAllocations(ctx, placement, id).Extract()
	require.NoError(t, err)
	require.Contains(t, allocations.Allocations, first)
	inventories, err := resourceproviders.GetInventories(ctx, placement, id).Extract()
	require.NoError(t, err)
	memory := inventories.Inventories["MEMORY_MB"]
	require.Equal(t, float32(1), memory.AllocationRatio)

	memory.AllocationRatio = 2
	_, err = resourceproviders.UpdateInventory(ctx, placement, id, "MEMORY_MB", resourceproviders.UpdateInventoryOpts{
		ResourceProviderGeneration: inventories.ResourceProviderGeneration - 1, Inventory: memory,
	}).Extract()
	require.True(t, gophercloud.ResponseCodeIs(err, http.StatusConflict), err)
	require.ErrorContains(t, err, "placement.concurrent_update")
	_, err = resourceproviders.UpdateInventory(ctx, placement, id, "MEMORY_MB", resourceproviders.UpdateInventoryOpts{
		ResourceProviderGeneration: inventories.ResourceProviderGeneration, Inventory: memory,
	}).Extract()
	require.NoError(t, err)
	await(t, c, create(t, lab, c, servers.CreateOpts{}), "ACTIVE")
}

func TestReadingTheRest(t *testing.T) {
	lab := startLab(t, sim.Config{Servers: []sim.ServerSeed{{Name: "a"}}, Quota: sim.Quota{Instances: 2}})
	c := compute(t, lab.Admin(), "2.79")
	ctx := t.Context()

	pages, err := flavors.ListDetail(c, flavors.ListOpts{}).AllPages(ctx)
	require.NoError(t, err)
	sizes, err := flavors.ExtractFlavors(pages)
	require.NoError(t, err)
	require.Equal(t, "desktop.small", sizes[0].Name)
	require.Equal(t, 4096, sizes[0].RAM)
	size, err := flavors.Get(ctx, c, sizes[0].ID).Extract()
	require.NoError(t, err)
	require.Equal(t, sizes[0], *size)

	nodes, err := hypervisors.List(c, nil).AllPages(ctx)
	require.NoError(t, err)
	hosts, err := hypervisors.ExtractHypervisors(nodes)
	require.NoError(t, err)
	require.Len(t, hosts, 4)
	used := 0
	for _, h := range hosts {
		require.Equal(t, "up", h.State)
		require.Equal(t, 64, h.VCPUs)
		used += h.MemoryMBUsed - 512
	}
	require.Equal(t, 4096, used)
	pages, err = services.List(c, services.ListOpts{Binary: "nova-compute"}).AllPages(ctx)
	require.NoError(t, err)
	running, err := services.ExtractServices(pages)
	require.NoError(t, err)
	require.Len(t, running, 4)
	l, err := limits.Get(ctx, c, nil).Extract()
	require.NoError(t, err)
	require.Equal(t, 1, l.Absolute.TotalInstancesUsed)
	require.Equal(t, 2, l.Absolute.MaxTotalInstances)
	create(t, lab, c, servers.CreateOpts{})
	_, err = servers.Create(ctx, c, servers.CreateOpts{
		Name: "x", FlavorRef: sizes[0].ID, ImageRef: lab.ImageID("desktop"), Networks: "none",
	}, nil).Extract()
	require.True(t, gophercloud.ResponseCodeIs(err, http.StatusForbidden), err)
	require.ErrorContains(t, err, "Quota exceeded for instances: Requested 1, but already used 2 of 2 instances")

	supported, err := utils.GetSupportedMicroversions(ctx, c)
	require.NoError(t, err)
	require.Equal(t, utils.SupportedMicroversions{MaxMajor: 2, MaxMinor: 93, MinMajor: 2, MinMinor: 1}, supported)

	glance, err := openstack.NewImageV2(c.ProviderClient, gophercloud.EndpointOpts{})
	require.NoError(t, err)
	pages, err = images.List(glance, images.ListOpts{Name: "desktop"}).AllPages(ctx)
	require.NoError(t, err)
	found, err := images.ExtractImages(pages)
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, images.ImageStatusActive, found[0].Status)
	err = images.Get(ctx, glance, "nope").Err
	require.True(t, gophercloud.ResponseCodeIs(err, http.StatusNotFound), err)

	neutron, err := openstack.NewNetworkV2(c.ProviderClient, gophercloud.EndpointOpts{})
	require.NoError(t, err)
	pages, err = networks.List(neutron, networks.ListOpts{Name: "desktops"}).AllPages(ctx)
	require.NoError(t, err)
	nets, err := networks.ExtractNetworks(pages)
	require.NoError(t, err)
	require.Len(t, nets, 1)
	require.Equal(t, lab.NetworkID("desktops"), nets[0].ID)
	subnet, err := subnets.Get(ctx, neutron, nets[0].Subnets[0]).Extract()
	require.NoError(t, err)
	require.Equal(t, "10.20.0.0/16", subnet.CIDR)
	pages, err = ports.List(neutron, ports.ListOpts{DeviceID: lab.Servers()[0].ID}).AllPages(ctx)
	require.NoError(t, err)
	attached, err := ports.ExtractPorts(pages)
	require.NoError(t, err)
	require.Len(t, attached, 1)
	require.Equal(t, lab.Servers()[0].Addresses[0], attached[0].FixedIPs[0].IPAddress)
	pages, err = agents.List(neutron, agents.ListOpts{AgentType: "DHCP agent"}).AllPages(ctx)
	require.NoError(t, err)
	alive, err := agents.ExtractAgents(pages)
	require.NoError(t, err)
	require.Len(t, alive, 4)
	added, err := networks.Create(ctx, neutron, networks.CreateOpts{Name: "more"}).Extract()
	require.NoError(t, err)
	_, err = subnets.Create(ctx, neutron, subnets.CreateOpts{NetworkID: added.ID, CIDR: "10.99.0.0/29", IPVersion: 4}).Extract()
	require.NoError(t, err)
	port, err := ports.Create(ctx, neutron, ports.CreateOpts{NetworkID: added.ID, Name: "probe"}).Extract()
	require.NoError(t, err)
	require.Equal(t, "10.99.0.2", port.FixedIPs[0].IPAddress)
	err = networks.Delete(ctx, neutron, added.ID).ExtractErr()
	require.True(t, gophercloud.ResponseCodeIs(err, http.StatusConflict), err)
	require.NoError(t, ports.Delete(ctx, neutron, port.ID).ExtractErr())
	require.NoError(t, networks.Delete(ctx, neutron, added.ID).ExtractErr())
}

func TestIdentity(t *testing.T) {
	lab := startLab(t, sim.Config{Users: sim.StaticUsers{"ann": "secret"}})
	ctx := t.Context()
	admin := provider(t, lab.Admin())
	identity, err := openstack.NewIdentityV3(admin, gophercloud.EndpointOpts{})
	require.NoError(t, err)
	annClient := provider(t, user(lab, "ann", "secret"))
	token := annClient.Token()

	shown := tokens.Get(ctx, identity, token)
	roles, err := shown.ExtractRoles()
	require.NoError(t, err)
	require.Equal(t, "member", roles[0].Name)
	project, err := shown.ExtractProject()
	require.NoError(t, err)
	require.Equal(t, sim.Project, project.Name)
	who, err := shown.ExtractUser()
	require.NoError(t, err)
	require.Equal(t, "ann", who.Name)
	require.Equal(t, sim.UsersDomain, who.Domain.Name)
	pages, err := projects.ListAvailable(identity).AllPages(ctx)
	require.NoError(t, err)
	available, err := projects.ExtractProjects(pages)
	require.NoError(t, err)
	require.Len(t, available, 2)

	ok, err := tokens.Validate(ctx, identity, token)
	require.NoError(t, err)
	require.True(t, ok)
	require.NoError(t, tokens.Revoke(ctx, identity, token).Err)
	ok, err = tokens.Validate(ctx, identity, token)
	require.NoError(t, err)
	require.False(t, ok)

	credential, err := applicationcredentials.Create(ctx, identity, adminID(t, admin), applicationcredentials.CreateOpts{Name: "broker"}).Extract()
	require.NoError(t, err)
	p := provider(t, gophercloud.AuthOptions{
		IdentityEndpoint: lab.AuthURL, ApplicationCredentialID: credential.ID, ApplicationCredentialSecret: credential.Secret,
	})
	require.NotEmpty(t, p.Token())
	_, err = openstack.AuthenticatedClient(ctx, gophercloud.AuthOptions{
		IdentityEndpoint: lab.AuthURL, ApplicationCredentialID: credential.ID, ApplicationCredentialSecret: "wrong",
	})
	require.True(t, gophercloud.ResponseCodeIs(err, http.StatusUnauthorized), err)
	require.NotContains(t, err.Error(), credential.Secret)
}

func adminID(t *testing.T, p *gophercloud.ProviderClient) string {
	result, ok := p.GetAuthResult().(tokens.CreateResult)
	require.True(t, ok)
	who, err := result.ExtractUser()
	require.NoError(t, err)
	return who.ID
}

// TestTokenExpiresMidWay: a client that may log in again does not notice.
func TestTokenExpiresMidWay(t *testing.T) {
	lab := startLab(t, sim.Config{})
	c := compute(t, lab.Admin(), "2.93")
	require.Empty(t, listNames(t, c, servers.ListOpts{}))
	lab.ExpireTokens()
	require.Empty(t, listNames(t, c, servers.ListOpts{}))
	require.Equal(t, 1, lab.Requests()[sim.Request{Service: "nova", Method: "GET", Route: "/v2.1/servers/detail", Status: 401}])
	require.Equal(t, 2, lab.Requests()[sim.Request{Service: "nova", Method: "GET", Route: "/v2.1/servers/detail", Status: 200}])
	require.Equal(t, 2, lab.Requests()[sim.Request{Service: "keystone", Method: "POST", Route: "/v3/auth/tokens", Status: 201}])

	undo := lab.SetTokenLifetime(0)
	lab.ExpireTokens()
	_, err := servers.List(c, nil).AllPages(t.Context())
	require.Error(t, err)
	undo()
	require.Empty(t, listNames(t, c, servers.ListOpts{}))
}

func TestCloudsYAML(t *testing.T) {
	lab := startLab(t, sim.Config{AdminPassword: `p: "#%`})
	file, err := lab.WriteCloudsYAML(t.TempDir())
	require.NoError(t, err)
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	auth, endpoint, tls, err := clouds.Parse(clouds.WithLocations(file), clouds.WithCloudName(sim.AdminCloud))
	require.NoError(t, err)
	p, err := config.NewProviderClient(t.Context(), auth, config.WithTLSConfig(tls))
	require.NoError(t, err)
	_, err = openstack.NewComputeV2(p, endpoint)
	require.NoError(t, err)
	auth, _, _, err = clouds.Parse(clouds.WithLocations(file), clouds.WithCloudName(sim.UserCloud))
	require.NoError(t, err)
	require.Equal(t, "USER", auth.Username)
}

// TestCloseLeavesNothing: no goroutine of ours, no port.
func TestCloseLeavesNothing(t *testing.T) {
	lab, err := sim.Start(t.Context(), sim.Config{Boot: func(r *randSource) time.Duration {
		if r.IntN(2) == 0 {
			return time.Hour
		}
		return 0
	}})
	require.NoError(t, err)
	defer lab.Close()
	c := compute(t, lab.Admin(), "2.93")
	create(t, lab, c, servers.CreateOpts{Min: 20})
	require.Eventually(t, func() bool {
		for _, s := range lab.Servers() {
			if s.Status == "ACTIVE" {
				return true
			}
		}
		return false
	}, patience, time.Millisecond)
	_, err = lab.Inject(sim.Fault{Service: "nova", Path: "/v2.1/limits", Hang: true})
	require.NoError(t, err)
	hung := make(chan error, 1)
	go func() {
		_, err := limits.Get(context.Background(), c, nil).Extract()
		hung <- err
	}()
	require.Eventually(t, func() bool { return strings.Contains(stacks(), "sim.(*faults).wait") }, patience, time.Millisecond)
	var addresses []string
	for _, s := range lab.Servers() {
		if s.Console != nil {
			addresses = append(addresses, net.JoinHostPort(s.Console.Host, strconv.Itoa(s.Console.Port)))
		}
	}
	u, err := url.Parse(lab.AuthURL)
	require.NoError(t, err)
	addresses = append(addresses, u.Host)

	began := time.Now()
	require.NoError(t, lab.Close())
	require.Less(t, time.Since(began), 10*time.Second)
	require.Error(t, <-hung)
	require.NoError(t, lab.Close(), "a second time")
	for _, a := range addresses {
		_, err := net.DialTimeout("tcp", a, time.Second)
		require.Error(t, err, a)
	}
	for _, ours := range []string{"lab/sim.", "lab/sim/nova", "spice/screen"} {
		require.Eventually(t, func() bool { return !strings.Contains(withoutTests(stacks()), ours) }, patience, 10*time.Millisecond, ours)
	}
}

func stacks() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}

// withoutTests drops the goroutines of tests, this one and others that wait.
func withoutTests(all string) string {
	var rest []string
	for g := range strings.SplitSeq(all, "\n\n") {
		if !strings.Contains(g, "testing.tRunner") && !strings.Contains(g, "testing.(*T)") {
			rest = append(rest, g)
		}
	}
	return strings.Join(rest, "\n\n")
}
