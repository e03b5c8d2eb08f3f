package nova_test

import (
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/sim/glance"
	"github.com/deskstorm/deskstorm/lab/sim/neutron"
	"github.com/deskstorm/deskstorm/lab/sim/nova"
	"github.com/deskstorm/deskstorm/lab/sim/placement"
	"github.com/deskstorm/deskstorm/lab/sim/service"
)

const (
	patience = 20 * time.Second
	flavor   = "small"
	image    = "5b0e1f2c-6a34-4c58-9f0b-0d3a7c1f2b10"
	network  = "5b0e1f2c-6a34-4c58-9f0b-0d3a7c1f2b20"
)

// people are tokens: "admin", and "ann" who is a member of project "p".
type people struct{}

func (people) Caller(token string) *service.Caller {
	switch token {
	case "admin":
		return &service.Caller{UserID: "admin", ProjectID: "p", Roles: []string{"admin", "member"}}
	case "ann":
		return &service.Caller{UserID: "ann", ProjectID: "p", Roles: []string{"member"}}
	case "bob":
		return &service.Caller{UserID: "bob", ProjectID: "q", Roles: []string{"member"}}
	}
	return nil
}

// desktops start at once, unless they are told to fail.
type desktops struct {
	mu     sync.Mutex
	failed error
	booted int
}

func (d *desktops) Boot(ctx context.Context, _ string) (nova.Console, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.failed; err != nil {
		return nova.Console{}, err
	}
	d.booted++
	return nova.Console{Host: "127.0.0.1", Port: 5900}, ctx.Err()
}

func (*desktops) Shutdown(string)  {}
func (*desktops) Kill(string) bool { return true }

func (d *desktops) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.booted
}

func (d *desktops) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failed = err
}

// clock goes on when it is told to.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// cloud is a Nova with hosts "a", "b" and "c", each with room for four servers.
type cloud struct {
	*nova.Nova
	placement *placement.Placement
	neutron   *neutron.Neutron
	desktops  *desktops
	clock     *clock
	url       string
}

func hostID(name string) string {
	return "5b0e1f2c-6a34-4c58-9f0b-0d3a7c1f2c0" + string('a'+name[0]-'a')
}

func newCloud(t *testing.T, c nova.Config) *cloud {
	t.Helper()
	made := &cloud{desktops: &desktops{}, clock: &clock{now: time.Unix(1_800_000_000, 0)}}
	var providers []placement.Provider
	for _, name := range []string{"a", "b", "c"} {
		providers = append(providers, placement.Provider{ID: hostID(name), Name: name, Inventories: map[string]placement.Inventory{
			placement.VCPU: {Total: 4, AllocationRatio: 4}, placement.MemoryMB: {Total: 4096}, placement.DiskGB: {Total: 1000},
		}})
		c.Hosts = append(c.Hosts, nova.Host{ID: hostID(name), Name: name})
	}
	var err error
	made.placement, err = placement.New(placement.Config{Tokens: people{}, Providers: providers})
	require.NoError(t, err)
	made.neutron, err = neutron.New(neutron.Config{Tokens: people{}, Owner: "p", Hosts: []string{"a", "b", "c"},
		Networks: []neutron.Network{{ID: network, Name: "desks", Subnet: netip.MustParsePrefix("10.1.0.0/24")}}})
	require.NoError(t, err)
	c.Glance, err = glance.New(glance.Config{Tokens: people{}, Images: []glance.Image{{ID: image, Name: "desktop", Size: 1 << 20}}})
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(nil)
	made.url = "http://" + server.Listener.Addr().String()
	c.URL, c.Tokens, c.Placement, c.Neutron, c.Desktops, c.Now = made.url, people{}, made.placement, made.neutron, made.desktops, made.clock.time
	c.Flavors = append(c.Flavors, nova.Flavor{ID: flavor, Name: flavor, VCPUs: 1, RAM: 1024, Disk: 10})
	made.Nova, err = nova.New(c)
	require.NoError(t, err)
	server.Config.Handler = made
	server.Start()
	t.Cleanup(func() {
		server.Close()
		made.Close()
	})
	return made
}

// client is gophercloud's, of somebody.
func (c *cloud) client(who, version string) *gophercloud.ServiceClient {
	return &gophercloud.ServiceClient{
		ProviderClient: &gophercloud.ProviderClient{TokenID: who}, Endpoint: c.url + "/v2.1/", Type: "compute", Microversion: version,
	}
}

// answer is what a raw request got.
type answer struct {
	status int
	header http.Header
	body   string
}

// into reads the JSON of an answer.
func (a answer) into(t *testing.T, v any) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(a.body), v), a.body)
}

// message of an error.
func (a answer) message(t *testing.T) string {
	t.Helper()
	var body map[string]struct{ Message string }
	a.into(t, &body)
	for _, fault := range body {
		return fault.Message
	}
	return ""
}

func (c *cloud) ask(t *testing.T, who, version, request, body string) answer {
	t.Helper()
	method, path, _ := strings.Cut(request, " ")
	r, err := http.NewRequestWithContext(t.Context(), method, c.url+"/v2.1"+path, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("X-Auth-Token", who)
	r.Header.Set("OpenStack-API-Version", "compute "+version)
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return answer{response.StatusCode, response.Header, string(text)}
}

// do asks as the administrator with the newest microversion, and wants a status.
func (c *cloud) do(t *testing.T, status int, request, body string) answer {
	t.Helper()
	a := c.ask(t, "admin", "2.93", request, body)
	require.Equal(t, status, a.status, "%s %s: %s", request, body, a.body)
	return a
}

// create makes a server and returns its id at once; more is JSON after a comma.
func (c *cloud) create(t *testing.T, more string) string {
	t.Helper()
	a := c.do(t, 202, "POST /servers",
		`{"server":{"name":"desk","flavorRef":"small","imageRef":"`+image+`","networks":[{"uuid":"`+network+`"}]`+more+`}}`)
	var made struct{ Server struct{ ID string } }
	a.into(t, &made)
	return made.Server.ID
}

// await waits until a server has a status and nothing is done to it.
func (c *cloud) await(t *testing.T, id, status string) nova.Server {
	t.Helper()
	var s nova.Server
	require.Eventually(t, func() bool {
		s, _ = c.Server(id)
		return s.Status == status && s.Task == ""
	}, patience, time.Millisecond, "%s", status)
	return s
}

func (c *cloud) act(t *testing.T, id, action string) {
	t.Helper()
	c.do(t, 202, "POST /servers/"+id+"/action", action)
}

// gate holds boots until it is opened.
type gate chan struct{}

func (g gate) boot(*rand.Rand) time.Duration {
	<-g
	return 0
}
