package debian_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/imagedata"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/broker/client/console"
	openstackdriver "github.com/deskstorm/deskstorm/broker/client/openstack"
	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/lab/contract"
	"github.com/deskstorm/deskstorm/lab/debian"
	"github.com/deskstorm/deskstorm/lab/folder"
	"github.com/deskstorm/deskstorm/lab/sim/directory"
	"github.com/deskstorm/deskstorm/lab/up"
	"github.com/deskstorm/deskstorm/spice"
)

// testDir is where this test's lab is. Its name is the same each time, so that one whose test was killed is ended by the next.
const testDir = "/var/lib/deskstorm/test"

// TestLab brings the real lab up once and does with it what it is for.
func TestLab(t *testing.T) {
	requireMachine(t)
	ctx := context.WithoutCancel(t.Context()) // of cleanups too
	if _, err := debian.Open(testDir); err == nil {
		require.NoError(t, debian.Wipe(ctx, testDir, tell(t)), "the lab of an earlier run")
	}
	before := machine(t)
	began := time.Now()
	l, err := debian.Up(ctx, options(testDir), tell(t))
	t.Cleanup(func() {
		if t.Failed() {
			keepLogs(t)
		}
		require.NoError(t, debian.Wipe(ctx, testDir, tell(t)))
		require.Equal(t, before, machine(t), "what the lab left on the machine")
	})
	require.NoError(t, err)
	t.Logf("up after %.0f s", time.Since(began).Seconds())
	require.NoError(t, up.AwaitPools(ctx, l.Broker(), l.Dir, func(ready, wanted int) { t.Logf("%d of %d desktops ready", ready, wanted) }))

	t.Run("everything is healthy", func(t *testing.T) { requireHealthy(t, l) })
	t.Run("up again", func(t *testing.T) { testUpAgain(t, l) })
	t.Run("both ways to a desktop", func(t *testing.T) { testBothWays(t, l) })
	t.Run("a Linux guest", func(t *testing.T) { testLinux(t, l) })
	t.Run("Prometheus", func(t *testing.T) { testPrometheus(t, l) })
	t.Run("contract", func(t *testing.T) { testContract(t, l) })
	t.Run("a service that died", func(t *testing.T) { testDead(t, l) })
	t.Run("down and up", func(t *testing.T) { testDownAndUp(t, l) })
}

// requireMachine skips the test where there can be no lab, but not where all programs are required.
func requireMachine(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("the real lab takes minutes")
	}
	missing := debian.Missing()
	if len(missing) == 0 {
		return
	}
	if os.Getenv("CI") == "true" || os.Getenv("DESKSTORM_REQUIRE_PROGRAMS") == "1" {
		t.Fatal(&debian.MissingError{Missing: missing})
	}
	t.Skip(&debian.MissingError{Missing: missing})
}

func tell(t *testing.T) func(string) { return func(step string) { t.Log(step) } }

// keepLogs moves the services' logs to where the next run does not remove them.
func keepLogs(t *testing.T) {
	kept, err := os.MkdirTemp("", "deskstorm-lab-log-")
	if err == nil {
		err = exec.Command("cp", "-a", filepath.Join(testDir, "log"), kept).Run()
	}
	t.Log("the services' logs are kept in", kept, err)
}

// machine is what a lab might leave on the machine: network devices and namespaces, and processes of its address or folder.
func machine(t *testing.T) []string {
	t.Helper()
	var all []string
	links, err := os.ReadDir("/sys/class/net")
	require.NoError(t, err)
	for _, l := range links {
		all = append(all, "device "+l.Name())
	}
	spaces, err := os.ReadDir("/run/netns")
	if err == nil {
		for _, s := range spaces {
			all = append(all, "namespace "+s.Name())
		}
	}
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, file := range processes {
		text, err := os.ReadFile(file)
		if err != nil || filepath.Dir(file) == "/proc/self" {
			continue
		}
		if strings.Contains(string(text), testDir) || strings.Contains(string(text), options("").Address) {
			all = append(all, "process "+strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	return all
}

func requireHealthy(t *testing.T, l *debian.Lab) map[string]debian.ServiceStatus {
	t.Helper()
	byName := map[string]debian.ServiceStatus{}
	for _, s := range l.Status(t.Context()) {
		require.Equal(t, debian.Healthy, s.Health, s.Name)
		require.NotZero(t, s.PID, s.Name)
		require.Positive(t, s.Memory, s.Name)
		byName[s.Name] = s
	}
	require.Contains(t, byName, "nova-compute-fake02")
	require.True(t, l.Running())
	return byName
}

func testUpAgain(t *testing.T, l *debian.Lab) {
	before := requireHealthy(t, l)
	began := time.Now()
	_, err := debian.Up(t.Context(), options(testDir), func(step string) { t.Errorf("up again did something: %s", step) })
	require.NoError(t, err)
	t.Logf("up again in %.1f s", time.Since(began).Seconds())
	for name, s := range requireHealthy(t, l) {
		require.Equal(t, before[name].PID, s.PID, name)
	}
}

// drivers are both ways to a desktop.
func drivers(t *testing.T, l *debian.Lab) map[string]client.Driver {
	t.Helper()
	config, err := cloud.LoadFile(filepath.Join(l.Dir, folder.CloudsFile), debian.CloudName)
	require.NoError(t, err)
	direct, err := openstackdriver.New(t.Context(), openstackdriver.Config{Cloud: config, Domain: "users",
		Consoles: func(c *cloud.Cloud) console.Finder {
			return console.First(console.SpiceDirect(c), console.SpiceHTML5(c))
		}})
	require.NoError(t, err)
	return map[string]client.Driver{
		"broker": client.NewBroker(client.BrokerConfig{URL: l.Broker(), Timeout: 2 * time.Minute}),
		"cloud":  direct,
	}
}

// testBothWays logs two people in, each way, to desktops that Nova started, and types there.
func testBothWays(t *testing.T, l *debian.Lab) {
	for name, driver := range drivers(t, l) {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			seen := map[string]bool{}
			for _, u := range folder.Users(2) {
				s, err := driver.Login(ctx, client.Login{User: u.Name, Password: u.Password, Seat: u.Seat, Site: u.Site, ThinClient: "tc-" + u.Name})
				require.NoError(t, err)
				require.False(t, seen[s.Desktop.ID], "two people have one desktop")
				seen[s.Desktop.ID] = true
				for _, step := range s.Steps {
					t.Logf("%s: %s %v", u.Name, step.Step, step.Took.Round(time.Millisecond))
				}
				desktop, err := spice.Dial(ctx, spice.Config{Host: s.Console.Host, Port: s.Console.Port, Ticket: s.Console.Ticket})
				require.NoError(t, err)
				for _, trip := range []spice.Trip{spice.ServerTrip, spice.GuestTrip, spice.VisibleTrip} {
					took, err := desktop.RoundTrip(ctx, trip)
					require.NoError(t, err, trip)
					t.Logf("%s: %v round trip %v", u.Name, trip, took)
				}
				desktop.Close()
				defer func() { require.NoError(t, driver.Logout(ctx, s)) }()
			}
			_, err := driver.Login(ctx, client.Login{User: "agent0001", Password: "wrong"})
			var failed *client.Error
			require.ErrorAs(t, err, &failed)
			require.Equal(t, client.WrongPassword, failed.Class)
		})
	}
}

// testLinux boots the Linux guest with Nova; Neutron's dnsmasq gives it a lease, and it fills memory as its image says.
func testLinux(t *testing.T, l *debian.Lab) {
	provider, err := openstack.AuthenticatedClient(t.Context(), l.Admin())
	require.NoError(t, err)
	endpoint := gophercloud.EndpointOpts{Region: "RegionOne"}
	compute, err := openstack.NewComputeV2(provider, endpoint)
	require.NoError(t, err)
	network, err := openstack.NewNetworkV2(provider, endpoint)
	require.NoError(t, err)
	image, err := openstack.NewImageV2(provider, endpoint)
	require.NoError(t, err)
	pages, err := images.List(image, images.ListOpts{Name: debian.LinuxImage}).AllPages(t.Context())
	require.NoError(t, err)
	found, err := images.ExtractImages(pages)
	require.NoError(t, err)
	require.Len(t, found, 1)
	pages, err = networks.List(network, networks.ListOpts{Name: debian.NetworkName}).AllPages(t.Context())
	require.NoError(t, err)
	nets, err := networks.ExtractNetworks(pages)
	require.NoError(t, err)
	require.Len(t, nets, 1)

	full := imageLike(t, image, found[0], " deskstorm.memory=48 deskstorm.pages=same")
	s, err := servers.Create(t.Context(), compute, servers.CreateOpts{
		Name: "linux", FlavorRef: debian.LinuxFlavor, ImageRef: full, Networks: []servers.Network{{UUID: nets[0].ID}},
	}, nil).Extract()
	require.NoError(t, err)
	defer func() { require.NoError(t, servers.Delete(t.Context(), compute, s.ID).ExtractErr()) }()
	said := ""
	require.Eventually(t, func() bool {
		now, err := servers.Get(t.Context(), compute, s.ID).Extract()
		require.NoError(t, err)
		require.NotEqual(t, "ERROR", now.Status, now.Fault.Message)
		if now.Status != "ACTIVE" {
			return false
		}
		said, err = servers.ShowConsoleOutput(t.Context(), compute, s.ID, servers.ShowConsoleOutputOpts{}).Extract()
		return err == nil && strings.Contains(said, "deskstorm: bound 10.77.") && strings.Contains(said, "deskstorm: filled 48 MiB")
	}, 4*time.Minute, time.Second, "a lease and memory; the console says: %s", &said)
	for line := range strings.Lines(said) {
		if strings.HasPrefix(line, "deskstorm:") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

// imageLike makes an image with the same properties and more on the kernel's command line.
func imageLike(t *testing.T, c *gophercloud.ServiceClient, of images.Image, words string) (id string) {
	t.Helper()
	properties := map[string]string{}
	for _, name := range []string{"img_hv_type", "kernel_id", "ramdisk_id", "os_command_line"} {
		properties[name], _ = of.Properties[name].(string)
		require.NotEmpty(t, properties[name], name)
	}
	properties["os_command_line"] += words
	made, err := images.Create(t.Context(), c, images.CreateOpts{
		Name: of.Name + "-test", DiskFormat: "raw", ContainerFormat: "bare", Properties: properties,
	}).Extract()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, images.Delete(context.WithoutCancel(t.Context()), c, made.ID).ExtractErr()) })
	require.NoError(t, imagedata.Upload(t.Context(), c, made.ID, strings.NewReader(strings.Repeat("\x00", 1<<20))).ExtractErr())
	return made.ID
}

// testPrometheus: it scrapes everything that it was told to.
func testPrometheus(t *testing.T, l *debian.Lab) {
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  []any
			}
		}
	}
	require.Eventually(t, func() bool {
		response, err := http.Get(l.Prometheus() + "/api/v1/query?query=" + url.QueryEscape("up == 1"))
		require.NoError(t, err)
		defer response.Body.Close()
		require.NoError(t, json.NewDecoder(response.Body).Decode(&answer))
		return len(answer.Data.Result) == 5
	}, 2*time.Minute, time.Second, "prometheus, node, libvirt, rabbitmq and the broker: %+v", &answer)
}

func testContract(t *testing.T, l *debian.Lab) {
	person := func(name string) gophercloud.AuthOptions {
		return gophercloud.AuthOptions{
			IdentityEndpoint: l.AuthURL(), Username: name, Password: directory.Password(name), DomainName: "users",
			Scope: &gophercloud.AuthScope{ProjectName: "desktops", DomainName: "Default"},
		}
	}
	people := l.People()
	contract.Run(t, contract.Cloud{
		Admin: l.Admin(), User: person("agent0001"), Region: "RegionOne",
		Flavor: debian.FlavorName, Image: debian.AnyImage, Network: debian.NetworkName, Hosts: []string{"fake01", "fake02"},
		BuildTimeout: 3 * time.Minute,
		Can: contract.Abilities{
			ConsoleHost: "kvm01", RestartCompute: l.RestartCompute, NotificationURL: l.AMQP(),
			Directory: &contract.Directory{
				URL: l.LDAP(), BaseDN: people.BaseDN, ServiceDN: people.ServiceDN, ServicePassword: people.ServicePassword,
				Lock:     func(locked bool) error { return l.Lock(context.WithoutCancel(t.Context()), "agent0002", locked) },
				LockUser: person("agent0002"),
			},
		},
	})
}

// testDead: status tells of a service that died, and up starts that one alone.
func testDead(t *testing.T, l *debian.Lab) {
	before := requireHealthy(t, l)
	const name = "nova-scheduler"
	require.NoError(t, syscall.Kill(before[name].PID, syscall.SIGKILL))
	require.Eventually(t, func() bool {
		for _, s := range l.Status(t.Context()) {
			if s.Name == name {
				return s.Health == debian.Stopped
			}
		}
		return false
	}, time.Minute, 100*time.Millisecond)
	var steps []string
	_, err := debian.Up(t.Context(), options(testDir), func(step string) { steps = append(steps, step) })
	require.NoError(t, err)
	require.Len(t, steps, 1)
	require.Contains(t, steps[0], name+" answers")
	for other, s := range requireHealthy(t, l) {
		require.Equal(t, other != name, before[other].PID == s.PID, other)
	}
}

// testDownAndUp: the desktops are there again after the lab was down.
func testDownAndUp(t *testing.T, l *debian.Lab) {
	require.NoError(t, debian.Down(t.Context(), testDir, tell(t)))
	require.False(t, l.Running())
	began := time.Now()
	l, err := debian.Up(t.Context(), options(testDir), func(string) {})
	require.NoError(t, err)
	t.Logf("up from its data in %.0f s", time.Since(began).Seconds())
	testBothWays(t, l)
}
