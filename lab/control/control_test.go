package control_test

import (
	"bytes"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/remoteconsoles"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/control"
	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/lab/sim/directory"
	"github.com/deskstorm/deskstorm/lab/sim/physics"
)

// patience bounds what a test waits for; it takes milliseconds.
const patience = 20 * time.Second

// lab is a cloud with its control.
type lab struct {
	*sim.Lab
	directory *directory.Server
	url       string
}

func start(t *testing.T, c sim.Config) *lab {
	t.Helper()
	return startPatient(t, c, 0)
}

// startPatient is start of a lab whose undos wait so long for desktops.
func startPatient(t *testing.T, c sim.Config, wait time.Duration) *lab {
	t.Helper()
	if c.Boot == nil {
		c.Boot = func(*rand.Rand) time.Duration { return 0 }
	}
	l := &lab{}
	var err error
	l.directory, err = directory.Start(directory.Callcenter(6))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.directory.Close()) })
	c.Users = sim.DirectoryUsers(l.directory)
	l.Lab, err = sim.Start(t.Context(), c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	switches := control.New(control.Config{Sim: l.Lab, Directory: l.directory, Seed: 1, Patience: wait,
		Site: func(s sim.Server) string { return s.Metadata["site"] }})
	server := httptest.NewServer(switches)
	t.Cleanup(switches.Close)
	t.Cleanup(server.Close)
	l.url = server.URL
	return l
}

// seeds are n servers at two sites.
func seeds(n int) []sim.ServerSeed {
	var all []sim.ServerSeed
	for i := range n {
		all = append(all, sim.ServerSeed{Name: "desktop-" + strconv.Itoa(i+1), Metadata: map[string]string{"site": "N" + strconv.Itoa(i%2+1)}})
	}
	return all
}

// answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) detail(t *testing.T) string {
	t.Helper()
	require.Equal(t, "application/problem+json", a.header.Get("Content-Type"))
	var p struct {
		Type, Title, Detail string
		Status              int
	}
	require.NoError(t, json.Unmarshal(a.body, &p))
	require.Equal(t, a.status, p.Status)
	require.Contains(t, p.Type, "urn:deskstorm:lab:")
	require.NotEmpty(t, p.Title)
	return p.Detail
}

func (l *lab) do(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, l.url+path, bytes.NewReader([]byte(body)))
	require.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return answer{response.StatusCode, response.Header, text}
}

func (l *lab) inject(t *testing.T, body string) control.Fault {
	t.Helper()
	a := l.do(t, "POST", "/v1/faults", body)
	require.Equal(t, 201, a.status, string(a.body))
	var f control.Fault
	require.NoError(t, json.Unmarshal(a.body, &f))
	require.Equal(t, "/v1/faults/"+f.ID, a.header.Get("Location"))
	return f
}

func (l *lab) undo(t *testing.T, f control.Fault) {
	t.Helper()
	a := l.do(t, "DELETE", "/v1/faults/"+f.ID, "")
	require.Equal(t, 204, a.status, string(a.body))
}

func (l *lab) show(t *testing.T, id string) (f control.Fault) {
	t.Helper()
	a := l.do(t, "GET", "/v1/faults/"+id, "")
	require.Equal(t, 200, a.status)
	require.NoError(t, json.Unmarshal(a.body, &f))
	return f
}

func (l *lab) state(t *testing.T) (s control.State) {
	t.Helper()
	a := l.do(t, "GET", "/v1/state", "")
	require.Equal(t, 200, a.status)
	require.NoError(t, json.Unmarshal(a.body, &s))
	return s
}

func (l *lab) service(t *testing.T, of func(*gophercloud.ProviderClient, gophercloud.EndpointOpts) (*gophercloud.ServiceClient, error)) *gophercloud.ServiceClient {
	t.Helper()
	p, err := openstack.AuthenticatedClient(t.Context(), l.Admin())
	require.NoError(t, err)
	c, err := of(p, gophercloud.EndpointOpts{Region: sim.Region})
	require.NoError(t, err)
	return c
}

func (l *lab) nova(t *testing.T) *gophercloud.ServiceClient {
	c := l.service(t, openstack.NewComputeV2)
	c.Microversion = "2.93"
	return c
}

// open asks for a desktop's console, which boots it if it has not been, and connects to it.
func (l *lab) open(t *testing.T, id string) error {
	t.Helper()
	err := remoteconsoles.Create(t.Context(), l.nova(t), id, remoteconsoles.CreateOpts{
		Protocol: remoteconsoles.ConsoleProtocolSPICE, Type: remoteconsoles.ConsoleTypeSPICEHTML5}).Err
	if err != nil {
		return err
	}
	s, _ := l.Server(id)
	conn, err := net.Dial("tcp", net.JoinHostPort(s.Console.Host, strconv.Itoa(s.Console.Port)))
	if err != nil {
		return err
	}
	return conn.Close()
}

func (l *lab) portStatus(t *testing.T, server string) string {
	t.Helper()
	pages, err := ports.List(l.service(t, openstack.NewNetworkV2), ports.ListOpts{DeviceID: server}).AllPages(t.Context())
	require.NoError(t, err)
	list, err := ports.ExtractPorts(pages)
	require.NoError(t, err)
	require.Len(t, list, 1)
	return list[0].Status
}

// hostState is of a host's nova-compute. Nova itself believes for a minute that it is up.
func (l *lab) hostState(t *testing.T, host string) string {
	t.Helper()
	for _, h := range l.state(t).Hosts {
		if h.Name == host {
			return h.State
		}
	}
	t.Fatalf("there is no host %s", host)
	return ""
}

// leased tells whether a server has a lease.
func (l *lab) leased(server string) bool {
	leases, _ := l.Leases()
	for _, of := range leases {
		if of.Server == server {
			return true
		}
	}
	return false
}

func TestFaultsAreResources(t *testing.T) {
	l := start(t, sim.Config{})
	f := l.inject(t, `{"type": "api", "service": "nova", "status": 503, "delay": "10ms", "id": "mine-1"}`)
	require.Equal(t, "mine-1", f.ID)
	require.JSONEq(t, `{"service": "nova", "status": 503, "delay": "10ms"}`, string(f.Parameters))
	require.Equal(t, []string{}, f.Targets)
	require.Nil(t, f.Until)
	require.Equal(t, f, l.show(t, f.ID))
	other := l.inject(t, `{"type": "ldap.down", "duration": "1h"}`)
	require.Len(t, other.ID, 10)
	require.Equal(t, time.Hour, other.Until.Sub(other.Began))
	var list struct{ Faults []control.Fault }
	require.NoError(t, json.Unmarshal(l.do(t, "GET", "/v1/faults", "").body, &list))
	require.Equal(t, []control.Fault{f, other}, list.Faults)
	require.Equal(t, list.Faults, l.state(t).Faults)

	require.Contains(t, l.do(t, "POST", "/v1/faults", `{"type": "api", "hang": true, "id": "mine-1"}`).detail(t), `is, or was, a fault "mine-1"`)
	l.undo(t, f)
	l.undo(t, f)
	require.NotNil(t, l.show(t, f.ID).Ended)
	require.Equal(t, []control.Fault{other}, l.state(t).Faults)
	require.Equal(t, 409, l.do(t, "POST", "/v1/faults", `{"type": "api", "hang": true, "id": "mine-1"}`).status, "an id is used once")
	require.Equal(t, 204, l.do(t, "DELETE", "/v1/faults", "").status)
	require.Empty(t, l.state(t).Faults)
	require.NoError(t, l.directory.Check(t.Context(), "agent0001", "pass-agent0001"))
}

func TestRefuses(t *testing.T) {
	l := start(t, sim.Config{Servers: seeds(4)})
	server := l.Servers()[0].ID
	l.inject(t, `{"type": "desktop.dead_port", "id": "first", "server": "`+server+`"}`)
	l.inject(t, `{"type": "ldap.slow", "id": "slow", "delay": "1ms"}`)
	for body, want := range map[string]struct {
		status int
		says   string
	}{
		``:                                     {400, "one JSON object"},
		`[]`:                                   {400, "one JSON object"},
		`{}`:                                   {400, "api, service.down, host.down"},
		`{"type": "disk.full"}`:                {400, `no type "disk.full"`},
		`{"type": 1}`:                          {400, "type: "},
		`{"type": "api", "sevice": "nova"}`:    {400, `"sevice" is no field of a fault of type api: these are type, id, duration, service,`},
		`{"type": "api", "Status": 500}`:       {400, `"Status" is no field`},
		`{"type": "api", "service": "cinder"}`: {400, "keystone, nova, placement, glance, neutron"},
		`{"type": "api"}`:                      {400, "no status, no delay"},
		`{"type": "api", "status": 200}`:       {400, "no error"},
		`{"type": "api", "delay": "soon"}`:     {400, "no duration"},
		`{"type": "api", "delay": 5}`:          {400, "no duration"},
		`{"type": "ldap.down", "duration": "-1s"}`:                  {400, "no duration"},
		`{"type": "ldap.down", "id": "a/b"}`:                        {400, "An id is of"},
		`{"type": "service.down"}`:                                  {400, "Say which service"},
		`{"type": "service.down", "service": "nova", "how": "x"}`:   {400, `"cut" or "503"`},
		`{"type": "host.down"}`:                                     {400, "Say which host"},
		`{"type": "host.down", "host": "x"}`:                        {422, `no host "x"`},
		`{"type": "compute.lost", "host": "x"}`:                     {422, `no host "x"`},
		`{"type": "desktop.kill"}`:                                  {400, "Say which desktops"},
		`{"type": "desktop.kill", "server": "x", "count": 1}`:       {400, "Say which desktops"},
		`{"type": "desktop.kill", "count": -1}`:                     {400, "not negative"},
		`{"type": "desktop.kill", "fraction": 1.5}`:                 {400, "from 0 to 1"},
		`{"type": "desktop.kill", "count": 1, "fraction": 1}`:       {400, "not both"},
		`{"type": "desktop.kill", "count": 1}`:                      {422, "No such desktop has booted"},
		`{"type": "desktop.no_lease", "server": "x"}`:               {422, `no server "x"`},
		`{"type": "desktop.no_lease", "host": "x"}`:                 {422, `no host "x"`},
		`{"type": "desktop.dead_port", "count": 4}`:                 {422, "only 3"},
		`{"type": "desktop.dead_port", "server": "` + server + `"}`: {409, "The fault first holds"},
		`{"type": "ldap.slow", "delay": "1s"}`:                      {409, "The fault slow holds"},
		`{"type": "ldap.slow"}`:                                     {400, "Say a delay"},
		`{"type": "console.refuse", "status": 302}`:                 {400, "400 to 599"},
	} {
		a := l.do(t, "POST", "/v1/faults", body)
		require.Equal(t, want.status, a.status, "%s: %s", body, a.body)
		require.Contains(t, a.detail(t), want.says, body)
	}
	require.Equal(t, 404, l.do(t, "GET", "/v1/faults/x", "").status)
	require.Equal(t, 404, l.do(t, "DELETE", "/v1/faults/x", "").status)
	require.Contains(t, l.do(t, "PUT", "/v1/faults", "").detail(t), "is not there")
	require.Equal(t, 413, l.do(t, "POST", "/v1/faults", string(make([]byte, 1<<17))).status)
	require.Equal(t, 403, l.do(t, "POST", "/v1/faults", `{"type": "ldap.down"}`, "Origin", "http://evil.example").status)
	require.Len(t, l.state(t).Faults, 2, "what was refused has left nothing")
	l.inject(t, `{"type": "desktop.dead_port", "count": 3}`)
}

// TestExpires: a fault does not outlive its duration, and what it held is free again.
func TestExpires(t *testing.T) {
	l := start(t, sim.Config{})
	f := l.inject(t, `{"type": "ldap.down", "duration": "50ms"}`)
	require.Error(t, l.directory.Check(t.Context(), "agent0001", "pass-agent0001"))
	require.Eventually(t, func() bool { return l.show(t, f.ID).Ended != nil }, patience, time.Millisecond)
	require.NoError(t, l.directory.Check(t.Context(), "agent0001", "pass-agent0001"))
	f = l.inject(t, `{"type": "ldap.down", "duration": "1ns"}`) // over before it has begun
	require.Eventually(t, func() bool { return l.show(t, f.ID).Ended != nil }, patience, time.Millisecond)
}

// TestUndoFails: what cannot be undone is still there, with the reason, and is tried again when its time is over.
func TestUndoFails(t *testing.T) {
	l := start(t, sim.Config{})
	f := l.inject(t, `{"type": "ldap.down", "duration": "500ms"}`)
	address := l.directory.URL[len("ldap://"):]
	thief, err := net.Listen("tcp", address)
	require.NoError(t, err)
	a := l.do(t, "DELETE", "/v1/faults/"+f.ID, "")
	require.Equal(t, 500, a.status)
	require.Contains(t, a.detail(t), "undoing the fault")
	f = l.show(t, f.ID)
	require.Nil(t, f.Ended)
	require.Contains(t, f.Error, "listening for LDAP")
	require.NoError(t, thief.Close())
	require.Eventually(t, func() bool { return l.show(t, f.ID).Ended != nil }, patience, time.Millisecond)
	require.Empty(t, l.show(t, f.ID).Error)
	require.NoError(t, l.directory.Check(t.Context(), "agent0001", "pass-agent0001"))
}

// TestChoosesBySeed: the same seed chooses the same desktops, of those that are free.
func TestChoosesBySeed(t *testing.T) {
	named := func() (names []string) {
		l := start(t, sim.Config{Servers: seeds(20)})
		f := l.inject(t, `{"type": "desktop.no_lease", "fraction": 0.12}`)
		require.Len(t, f.Targets, 3, "rounded up")
		more := l.inject(t, `{"type": "desktop.lease_stuck", "count": 17}`)
		for _, id := range append(f.Targets, more.Targets...) {
			s, ok := l.Server(id)
			require.True(t, ok)
			require.NotContains(t, names, s.Name)
			names = append(names, s.Name)
		}
		return names[:3]
	}
	require.Equal(t, named(), named())
}

// TestEachFault: what it does, as clients of the cloud see it, and that its undo undoes it.
func TestEachFault(t *testing.T) {
	list := func(l *lab) func(t *testing.T) error {
		return func(t *testing.T) error {
			_, err := servers.List(l.nova(t), servers.ListOpts{Name: "none"}).AllPages(t.Context())
			return err
		}
	}
	wakeAll := func(t *testing.T, l *lab) {
		for _, s := range l.Servers() {
			require.NoError(t, l.open(t, s.ID))
		}
	}
	for _, test := range []struct {
		name, body string
		prepare    func(*testing.T, *lab)
		broken     func(*testing.T, *lab, control.Fault)
		healed     func(*testing.T, *lab, control.Fault)
	}{
		{"api", `{"type": "api", "service": "nova", "method": "GET", "path": "/v2.1/servers/*", "status": 503, "times": 1, "retry_after": "3s"}`, nil,
			func(t *testing.T, l *lab, _ control.Fault) {
				require.True(t, gophercloud.ResponseCodeIs(list(l)(t), 503))
				require.NoError(t, list(l)(t))
			}, nil},
		{"service.down by cutting", `{"type": "service.down", "service": "nova"}`, nil,
			func(t *testing.T, l *lab, f control.Fault) {
				require.ErrorIs(t, list(l)(t), io.EOF)
				require.Equal(t, []string{"nova"}, f.Targets)
				require.JSONEq(t, `{"service": "nova", "how": "cut"}`, string(f.Parameters))
			},
			func(t *testing.T, l *lab, _ control.Fault) { require.NoError(t, list(l)(t)) }},
		{"service.down by 503", `{"type": "service.down", "service": "neutron", "how": "503"}`, nil,
			func(t *testing.T, l *lab, _ control.Fault) {
				response, err := http.Get(l.AuthURL[:len(l.AuthURL)-len("/identity/v3")] + "/network/v2.0/ports")
				require.NoError(t, err)
				require.NoError(t, response.Body.Close())
				require.Equal(t, 503, response.StatusCode)
			}, nil},
		{"host.down", `{"type": "host.down", "host": "compute01"}`, wakeAll,
			func(t *testing.T, l *lab, f control.Fault) {
				require.Equal(t, "down", l.hostState(t, "compute01"))
				require.Equal(t, "up", l.hostState(t, "compute02"))
				require.Len(t, f.Targets, 1+3)
				require.Equal(t, "compute01", f.Targets[0])
				for _, s := range l.Servers() {
					require.Equal(t, "ACTIVE", s.Status)
					if err := l.open(t, s.ID); s.Host == "compute01" {
						require.True(t, gophercloud.ResponseCodeIs(err, 500))
						_, err := net.Dial("tcp", net.JoinHostPort(s.Console.Host, strconv.Itoa(s.Console.Port)))
						require.Error(t, err)
					} else {
						require.NoError(t, err)
					}
				}
			},
			func(t *testing.T, l *lab, _ control.Fault) {
				require.Equal(t, "up", l.hostState(t, "compute01"))
				wakeAll(t, l)
			}},
		{"host.reboot_without_ports", `{"type": "host.reboot_without_ports", "host": "compute01"}`, wakeAll,
			func(t *testing.T, l *lab, f control.Fault) {
				victim := f.Targets[1]
				require.Eventually(t, func() bool { return l.open(t, victim) == nil }, patience, 5*time.Millisecond, "it boots by itself")
				require.Equal(t, "up", l.hostState(t, "compute01"))
				s, _ := l.Server(victim)
				require.Equal(t, "ACTIVE", s.Status)
				require.Equal(t, "DOWN", l.portStatus(t, victim))
			},
			func(t *testing.T, l *lab, f control.Fault) {
				require.Equal(t, "ACTIVE", l.portStatus(t, f.Targets[1]))
				wakeAll(t, l)
			}},
		{"host.reboot_without_ports, undone early", `{"type": "host.reboot_without_ports", "host": "compute01", "outage": "1h"}`, wakeAll,
			func(t *testing.T, l *lab, f control.Fault) {
				require.Equal(t, "down", l.hostState(t, "compute01"))
				require.Error(t, l.open(t, f.Targets[1]))
			},
			func(t *testing.T, l *lab, f control.Fault) {
				require.Equal(t, "up", l.hostState(t, "compute01"))
				wakeAll(t, l)
			}},
		{"compute.lost", `{"type": "compute.lost"}`, nil,
			func(t *testing.T, l *lab, _ control.Fault) {
				created := l.create(t, "lost")
				require.Eventually(t, func() bool { return len(l.Placement.Consumers()) == 7 }, patience, time.Millisecond)
				s, _ := l.Server(created)
				require.Equal(t, "BUILD", s.Status)
				require.Empty(t, s.Host)
			},
			func(t *testing.T, l *lab, _ control.Fault) {
				created := l.create(t, "built")
				require.Eventually(t, func() bool { s, _ := l.Server(created); return s.Status == "ACTIVE" }, patience, time.Millisecond)
				for _, s := range l.Servers() {
					if s.Name == "lost" {
						require.Equal(t, "BUILD", s.Status)
						require.NoError(t, servers.Delete(t.Context(), l.nova(t), s.ID).ExtractErr())
						require.Eventually(t, func() bool { return len(l.Placement.Consumers()) == 7 }, patience, time.Millisecond)
					}
				}
			}},
		{"desktop.kill", `{"type": "desktop.kill", "host": "compute01"}`, wakeAll,
			func(t *testing.T, l *lab, f control.Fault) {
				require.Len(t, f.Targets, 3)
				for _, id := range f.Targets {
					require.ErrorContains(t, l.open(t, id), "refused")
				}
			},
			func(t *testing.T, l *lab, _ control.Fault) { wakeAll(t, l) }},
		{"desktop.no_lease", `{"type": "desktop.no_lease", "name": "desktop-2"}`, nil,
			func(t *testing.T, l *lab, f control.Fault) {
				require.False(t, l.leased(f.Targets[0]))
				require.Equal(t, 1, l.state(t).Leases.Missing)
			},
			func(t *testing.T, l *lab, f control.Fault) { require.True(t, l.leased(f.Targets[0])) }},
		{"desktop.dead_port", `{"type": "desktop.dead_port", "count": 1}`, nil,
			func(t *testing.T, l *lab, f control.Fault) {
				require.Equal(t, "DOWN", l.portStatus(t, f.Targets[0]))
				require.NoError(t, l.open(t, f.Targets[0]), "the SPICE server is on the host's network")
			},
			func(t *testing.T, l *lab, f control.Fault) {
				require.Equal(t, "ACTIVE", l.portStatus(t, f.Targets[0]))
			}},
		{"console.refuse", `{"type": "console.refuse", "status": 404, "count": 2}`, nil,
			func(t *testing.T, l *lab, f control.Fault) {
				for _, s := range l.Servers() {
					err := l.open(t, s.ID)
					require.Equal(t, s.ID == f.Targets[0] || s.ID == f.Targets[1], gophercloud.ResponseCodeIs(err, 404), err)
				}
			},
			func(t *testing.T, l *lab, _ control.Fault) { wakeAll(t, l) }},
		{"console.refuse all", `{"type": "console.refuse"}`, nil,
			func(t *testing.T, l *lab, _ control.Fault) {
				require.True(t, gophercloud.ResponseCodeIs(l.open(t, l.Servers()[5].ID), 500))
			}, nil},
		{"ldap.slow", `{"type": "ldap.slow", "delay": "1h"}`, nil,
			func(t *testing.T, l *lab, _ control.Fault) {
				checked := make(chan error, 1)
				go func() { checked <- l.directory.Check(t.Context(), "agent0001", "pass-agent0001") }()
				select {
				case err := <-checked:
					t.Fatal("not slow", err)
				case <-time.After(20 * time.Millisecond):
				}
			},
			func(t *testing.T, l *lab, _ control.Fault) {
				require.NoError(t, l.directory.Check(t.Context(), "agent0002", "pass-agent0002"))
			}},
		{"ldap.down", `{"type": "ldap.down"}`, nil,
			func(t *testing.T, l *lab, _ control.Fault) {
				require.ErrorIs(t, l.directory.Check(t.Context(), "agent0001", "pass-agent0001"), directory.ErrDown)
			},
			func(t *testing.T, l *lab, _ control.Fault) {
				require.NoError(t, l.directory.Check(t.Context(), "agent0001", "pass-agent0001"))
			}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := start(t, sim.Config{Servers: seeds(6), Hosts: make([]sim.Host, 2)})
			if test.prepare != nil {
				test.prepare(t, l)
			}
			f := l.inject(t, test.body)
			test.broken(t, l, f)
			l.undo(t, f)
			if test.healed != nil {
				test.healed(t, l, f)
			}
		})
	}
}

func (l *lab) create(t *testing.T, name string) (id string) {
	t.Helper()
	s, err := servers.Create(t.Context(), l.nova(t), servers.CreateOpts{Name: name, FlavorRef: l.FlavorID("desktop.small"),
		ImageRef: l.ImageID("desktop"), Networks: []servers.Network{{UUID: l.NetworkID("desktops")}}}, nil).Extract()
	require.NoError(t, err)
	return s.ID
}

// TestLostOnOneHost: of two servers, only the one of the other host is built.
func TestLostOnOneHost(t *testing.T) {
	l := start(t, sim.Config{Hosts: make([]sim.Host, 2)})
	l.inject(t, `{"type": "compute.lost", "host": "compute01", "times": 1}`)
	for range 4 {
		l.create(t, "desktop")
	}
	require.Eventually(t, func() bool { return l.state(t).Desktops.ByStatus["ACTIVE"] == 3 }, patience, time.Millisecond)
	require.Equal(t, 1, l.state(t).Desktops.ByStatus["BUILD"])
}

// TestTokensExpire: those issued before are invalid, later ones live shorter until it is undone.
func TestTokensExpire(t *testing.T) {
	clock := time.Now()
	l := start(t, sim.Config{Now: func() time.Time { return clock }})
	options := l.Admin()
	options.AllowReauth = false
	login := func() *gophercloud.ServiceClient {
		p, err := openstack.AuthenticatedClient(t.Context(), options)
		require.NoError(t, err)
		c, err := openstack.NewComputeV2(p, gophercloud.EndpointOpts{Region: sim.Region})
		require.NoError(t, err)
		return c
	}
	valid := func(c *gophercloud.ServiceClient) bool {
		_, err := servers.List(c, nil).AllPages(t.Context())
		require.True(t, err == nil || gophercloud.ResponseCodeIs(err, 401), err)
		return err == nil
	}
	before := login()
	require.True(t, valid(before))
	f := l.inject(t, `{"type": "tokens.expire", "lifetime": "1m"}`)
	require.False(t, valid(before))
	short := login()
	require.True(t, valid(short))
	l.undo(t, f)
	long := login()
	clock = clock.Add(2 * time.Minute)
	require.False(t, valid(short))
	require.True(t, valid(long))
}

// TestStuckLease: what is left of the lease says it, as it would of a real one.
func TestStuckLease(t *testing.T) {
	clock := time.Now()
	l := start(t, sim.Config{Now: func() time.Time { return clock }})
	server := l.create(t, "desktop")
	require.Eventually(t, func() bool { return l.leased(server) }, patience, time.Millisecond)
	f := l.inject(t, `{"type": "desktop.lease_stuck", "server": "`+server+`", "rebinds": true}`)
	clock = clock.Add(20 * time.Hour)
	s := l.state(t).Leases
	require.Equal(t, 1, s.Late)
	require.InDelta(t, 4./24, *s.Lowest, 1e-3)
	clock = clock.Add(time.Hour)
	s = l.state(t).Leases
	require.Zero(t, s.Late)
	require.InDelta(t, 1, *s.Lowest, 1e-3)
	l.undo(t, f)
	l.inject(t, `{"type": "desktop.lease_stuck", "fraction": 1}`)
	clock = clock.Add(24 * time.Hour)
	require.Equal(t, control.Leases{Missing: 1}, l.state(t).Leases)
}

// TestLeasesOfADownHost run out, also of desktops that nobody has connected to yet, and are there again with the host.
func TestLeasesOfADownHost(t *testing.T) {
	clock := time.Now()
	l := start(t, sim.Config{Servers: seeds(6), Hosts: make([]sim.Host, 2), Now: func() time.Time { return clock }})
	require.NoError(t, l.open(t, l.Servers()[0].ID))
	f := l.inject(t, `{"type": "host.down", "host": "`+l.Servers()[0].Host+`"}`)
	clock = clock.Add(24 * time.Hour)
	require.Equal(t, 3, l.state(t).Leases.Good)
	l.undo(t, f)
	require.Equal(t, 6, l.state(t).Leases.Good)
}

// TestHostThatDied: what a dead host can no longer do is neither promised nor waited for.
func TestHostThatDied(t *testing.T) {
	l := start(t, sim.Config{Servers: seeds(1), Hosts: make([]sim.Host, 1), Physics: &sim.Physics{Speed: 600}})
	require.NoError(t, l.open(t, l.Servers()[0].ID))
	killed := l.inject(t, `{"type": "desktop.kill", "count": 1}`)
	require.NoError(t, l.Hardware.Do(func(m *physics.Model) error { return m.Crash("compute01") }))
	require.Eventually(t, func() bool { return l.hostState(t, "compute01") == "down" }, patience, time.Millisecond)
	l.undo(t, killed)
	for _, kind := range []string{"host.down", "host.reboot_without_ports"} {
		a := l.do(t, "POST", "/v1/faults", `{"type": "`+kind+`", "host": "compute01"}`)
		require.Equal(t, 422, a.status)
		require.Contains(t, a.detail(t), `"compute01" is down already`)
	}
}

func TestState(t *testing.T) {
	l := start(t, sim.Config{Servers: seeds(5), Hosts: make([]sim.Host, 2)})
	require.NoError(t, l.directory.Check(t.Context(), "agent0001", "pass-agent0001"))
	l.inject(t, `{"type": "host.down", "host": "compute02"}`)
	_, err := servers.List(l.nova(t), servers.ListOpts{}).AllPages(t.Context())
	require.NoError(t, err)
	s := l.state(t)
	require.Equal(t, control.Desktops{Total: 5, ByStatus: map[string]int{"ACTIVE": 5},
		BySite: map[string]map[string]int{"N1": {"ACTIVE": 3}, "N2": {"ACTIVE": 2}}}, s.Desktops)
	require.Equal(t, []control.Host{
		{Name: "compute01", State: "up", Servers: map[string]int{"ACTIVE": 3}, VCPUs: control.Amount{Used: 6, Capacity: 1024, Total: 64},
			MemoryMB: control.Amount{Used: 12288, Capacity: 785664, Total: 524288}},
		{Name: "compute02", State: "down", Servers: map[string]int{"ACTIVE": 2}, VCPUs: control.Amount{Used: 4, Capacity: 1024, Total: 64},
			MemoryMB: control.Amount{Used: 8192, Capacity: 785664, Total: 524288}},
	}, s.Hosts)
	require.Equal(t, 5, s.Leases.Good)
	require.GreaterOrEqual(t, *s.Leases.Lowest, 0.5)
	require.Equal(t, int64(1), s.Directory.Binds)
	require.Len(t, s.Faults, 1)
	// A request is counted when it has been answered, which its client may know first.
	counted := map[string]int{}
	require.Eventually(t, func() bool {
		clear(counted)
		for _, r := range l.state(t).Requests {
			counted[r.Service+" "+strconv.Itoa(r.Status)] = r.Count
			require.Positive(t, r.Rate)
		}
		return len(counted) == 2
	}, patience, 5*time.Millisecond)
	require.Equal(t, map[string]int{"keystone 201": 1, "nova 200": 1}, counted)
}

// TestTypes: each type is in the list, with what it does and its parameters.
func TestTypes(t *testing.T) {
	l := start(t, sim.Config{})
	var list struct {
		Types []struct {
			Type, Does string
			Parameters []string
		}
	}
	require.NoError(t, json.Unmarshal(l.do(t, "GET", "/v1/types", "").body, &list))
	require.Len(t, list.Types, 13)
	require.Equal(t, []string{"server", "name", "host", "count", "fraction", "rebinds"}, list.Types[7].Parameters)
}
