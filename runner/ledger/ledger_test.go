package ledger_test

import (
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/runner/ledger"
)

func TestLedger(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "run")
	none, err := ledger.Read(folder)
	require.NoError(t, err)
	require.Empty(t, none)

	l, err := ledger.Open(folder)
	require.NoError(t, err)
	a, b, c := ledger.Resource{"stack", "server", "a"}, ledger.Resource{"stack", "server", "b"}, ledger.Resource{"stack", "port", "a"}
	require.NoError(t, l.Will(a))
	require.NoError(t, l.Will(b))
	require.NoError(t, l.Made(b, "id-b"))
	require.NoError(t, l.Close())
	path := filepath.Join(folder, "resources.jsonl")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, append(text, `{"at":"20`...), 0o600)) // its writer died

	l, err = ledger.Open(folder)
	require.NoError(t, err)
	require.NoError(t, l.Will(c))
	require.NoError(t, l.Gone(b))
	require.NoError(t, l.Close())
	require.Error(t, l.Will(a), "it is closed")
	all, err := ledger.Read(folder)
	require.NoError(t, err)
	require.Len(t, all, 3)
	for i, want := range []struct {
		ledger.Resource
		id   string
		gone bool
	}{{a, "", false}, {b, "id-b", true}, {c, "", false}} {
		require.Equal(t, want.Resource, all[i].Resource)
		require.Equal(t, want.id, all[i].ID)
		require.Equal(t, want.gone, !all[i].Gone.IsZero())
		require.False(t, all[i].Will.IsZero())
	}
}

// What is made again under a name that was gone is there again.
func TestMadeAgain(t *testing.T) {
	folder := t.TempDir()
	l, err := ledger.Open(folder)
	require.NoError(t, err)
	a := ledger.Resource{Target: "stack", Kind: "server", Name: "a"}
	require.NoError(t, l.Will(a))
	require.NoError(t, l.Made(a, "first"))
	require.NoError(t, l.Gone(a))
	require.NoError(t, l.Will(a))
	require.NoError(t, l.Close())
	all, err := ledger.Read(folder)
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.True(t, all[0].Gone.IsZero())
	require.Empty(t, all[0].ID)
}

// stack is a simulated cloud with servers and ports of several runs and of nobody's.
type stack struct {
	*sim.Lab
	cloud *cloud.Cloud
}

func startStack(t *testing.T) *stack {
	lab, err := sim.Start(t.Context(), sim.Config{
		Boot: func(*rand.Rand) time.Duration { return 0 },
		Servers: []sim.ServerSeed{
			{Name: "desk-1", Tags: []string{"pool=a"}},
			{Name: "desk-2", Tags: []string{"deskstorm-owner=storm"}},
			{Name: "one-1", Tags: []string{"deskstorm-owner=storm", "deskstorm-run=one"}},
			{Name: "one-2", Tags: []string{"deskstorm-owner=storm", "deskstorm-run=one"}},
			{Name: "two-1", Tags: []string{"deskstorm-owner=storm", "deskstorm-run=two"}},
			{Name: "three-1", Tags: []string{"deskstorm-owner=other", "deskstorm-run=three"}},
		},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, lab.Close()) })
	file, err := lab.WriteCloudsYAML(t.TempDir())
	require.NoError(t, err)
	config, err := cloud.LoadFile(file, sim.AdminCloud)
	require.NoError(t, err)
	s := &stack{Lab: lab}
	s.cloud, err = cloud.Connect(t.Context(), config)
	require.NoError(t, err)
	provider, err := openstack.AuthenticatedClient(t.Context(), lab.Admin())
	require.NoError(t, err)
	network, err := openstack.NewNetworkV2(provider, gophercloud.EndpointOpts{Region: sim.Region})
	require.NoError(t, err)
	for _, o := range []ports.CreateOpts{
		{Name: "one-port", DeviceID: "deskstorm-run=one"},
		{Name: "two-port", Description: "deskstorm-run=two"},
		{Name: "probe", DeviceID: "storm", DeviceOwner: "deskstorm:dhcp-probe"},
	} {
		o.NetworkID = lab.NetworkID("desktops")
		require.NoError(t, ports.Create(t.Context(), network, o).Err)
	}
	return s
}

// has are the names of what is there, but for the ports of servers.
func (s *stack) has(t *testing.T) []string {
	var names []string
	for _, server := range s.Servers() {
		names = append(names, server.Name)
	}
	marked, err := s.cloud.RunPorts(t.Context())
	require.NoError(t, err)
	for _, p := range marked {
		names = append(names, p.Name)
	}
	return names
}

func names(all []ledger.Found) (names []string) {
	for _, f := range all {
		names = append(names, f.Name)
	}
	slices.Sort(names)
	return names
}

func TestCleanup(t *testing.T) {
	s := startStack(t)
	everything := s.has(t)
	clean := func(o ledger.Options) ledger.Report {
		t.Helper()
		o.Settle = -1
		report, err := ledger.Cleanup(t.Context(), s.cloud, o)
		require.NoError(t, err)
		require.Empty(t, report.Left)
		return report
	}
	two := func(run string) bool { return run == "two" }
	report := clean(ledger.Options{DryRun: true, Living: two})
	require.Equal(t, []string{"one-1", "one-2", "one-port", "three-1"}, names(report.Removed))
	require.Equal(t, []string{"two"}, report.Living)
	require.Equal(t, everything, s.has(t), "a dry run removes nothing")
	require.Empty(t, clean(ledger.Options{MinAge: time.Hour}).Removed)
	require.Equal(t, []string{"one-1", "one-2"}, names(clean(ledger.Options{Run: "one", Owner: "storm"}).Removed), "the port does not say whose it is")
	require.Equal(t, []string{"one-port"}, names(clean(ledger.Options{Run: "one"}).Removed))
	require.Empty(t, clean(ledger.Options{Run: "one"}).Removed)
	require.Equal(t, []string{"desk-1", "desk-2", "two-1", "three-1", "two-port"}, s.has(t))
	require.Equal(t, []string{"three-1", "two-1", "two-port"}, names(clean(ledger.Options{}).Removed))
	require.Equal(t, []string{"desk-1", "desk-2"}, s.has(t))
}

// TestLateServer: a dead runner's request is only just being done.
func TestLateServer(t *testing.T) {
	s := startStack(t)
	late := make(chan error, 1)
	go func() {
		time.Sleep(400 * time.Millisecond)
		flavor, image := s.FlavorID("desktop.small"), s.ImageID("desktop")
		_, err := s.cloud.CreateServer(t.Context(), cloud.ServerSpec{
			Name: "late", FlavorID: flavor, ImageID: image, Tags: []string{"deskstorm-run=four"},
		})
		late <- err
	}()
	report, err := ledger.Cleanup(t.Context(), s.cloud, ledger.Options{Run: "four"})
	require.NoError(t, err)
	require.NoError(t, <-late)
	require.Equal(t, []string{"late"}, names(report.Removed))
}

func TestCleanupFails(t *testing.T) {
	s := startStack(t)
	undo, err := s.Inject(sim.Fault{Service: "nova", Method: http.MethodDelete, Status: http.StatusForbidden})
	require.NoError(t, err)
	report, err := ledger.Cleanup(t.Context(), s.cloud, ledger.Options{Run: "one", Settle: -1})
	require.ErrorIs(t, err, cloud.ErrForbidden)
	require.Equal(t, []string{"one-port"}, names(report.Removed))
	require.Equal(t, []string{"one-1", "one-2"}, names(report.Left))
	undo()
	_, err = ledger.Cleanup(t.Context(), s.cloud, ledger.Options{Run: "one", Settle: -1})
	require.NoError(t, err)

	undo, err = s.Inject(sim.Fault{Service: "keystone", Status: http.StatusUnauthorized})
	require.NoError(t, err)
	defer undo()
	s.ExpireTokens()
	_, err = ledger.Cleanup(t.Context(), s.cloud, ledger.Options{})
	require.ErrorContains(t, err, "looking for what runs left in the cloud")
}
