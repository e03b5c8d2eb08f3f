package control

import (
	"cmp"
	"slices"
	"time"

	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/lab/sim/lease"
)

// State is how the cloud stands, as GET /v1/state answers.
type State struct {
	Time      time.Time  `json:"time"`
	Hosts     []Host     `json:"hosts"`
	Desktops  Desktops   `json:"desktops"`
	Leases    Leases     `json:"leases"`
	Requests  []Requests `json:"requests"`  // by service and status
	Directory *LDAP      `json:"directory"` // null: there is none
	Faults    []Fault    `json:"faults"`    // those that have not ended
	// Notifications are OpenStack's; null: the services send none.
	Notifications *Notifications `json:"notifications"`
}

// Notifications are how many went where since the lab began.
type Notifications struct {
	Sent    uint64 `json:"sent"`
	Dropped uint64 `json:"dropped"` // there were too many that waited
	Waiting int    `json:"waiting"`
	Error   string `json:"error,omitempty"` // why those that wait cannot be sent now
}

// Host is a hypervisor.
type Host struct {
	Name     string         `json:"name"`
	State    string         `json:"state"`   // of its nova-compute: "up" or "down"
	Servers  map[string]int `json:"servers"` // by status
	VCPUs    Amount         `json:"vcpus"`
	MemoryMB Amount         `json:"memory_mb"`
}

// Amount is how much of a resource is allocated, how much can be, and how much there is: the capacity is what is not reserved, times
// the allocation ratio.
type Amount struct {
	Used     int `json:"used"`
	Capacity int `json:"capacity"`
	Total    int `json:"total"`
}

// Desktops are the servers, by Nova's status.
type Desktops struct {
	Total    int                       `json:"total"`
	ByStatus map[string]int            `json:"by_status"`
	BySite   map[string]map[string]int `json:"by_site"` // site, status; the site "" is of those that belong to no seat
}

// Leases are those of DHCP. Those of servers that do not run count as good only.
type Leases struct {
	Good    int `json:"good"`
	Missing int `json:"missing"` // running servers without one
	// Late are those past T1: they should have been renewed.
	Late int `json:"late"`
	// Lowest is what is left of the one that runs out first, as a part of its length: at least 0.5 where all renew, as T1 is half of
	// it; null if there is none.
	Lowest *float64 `json:"lowest"`
}

// LDAP counts what the directory was asked for since the lab began.
type LDAP struct {
	Connections int64 `json:"connections"`
	Binds       int64 `json:"binds"`
	Searches    int64 `json:"searches"`
}

func (c *Control) state() State {
	s := State{Time: time.Now().UTC(), Hosts: []Host{}, Requests: c.rates.requests(), Faults: []Fault{}}
	servers := c.config.Sim.Servers()
	s.Desktops = c.desktops(servers)
	byHost := map[string]map[string]int{}
	for _, server := range servers {
		count(byHost, server.Host, server.Status)
	}
	for _, h := range c.config.Sim.Hosts() {
		host := Host{Name: h.Name, State: "up", Servers: byHost[h.Name], VCPUs: Amount(h.VCPUs), MemoryMB: Amount(h.MemoryMB)}
		if h.Down {
			host.State = "down"
		}
		if host.Servers == nil {
			host.Servers = map[string]int{}
		}
		s.Hosts = append(s.Hosts, host)
	}
	s.Leases = c.leases()
	if c.config.Directory != nil {
		n := c.config.Directory.Counts()
		s.Directory = &LDAP{n.Connections, n.Binds, n.Searches}
	}
	if p := c.config.Sim.Notifications; p != nil {
		n := p.Counts()
		s.Notifications = &Notifications{Sent: n.Sent, Dropped: n.Dropped, Waiting: n.Waiting}
		if err := p.Err(); err != nil {
			s.Notifications.Error = err.Error()
		}
	}
	for _, f := range c.views() {
		if f.Ended == nil {
			s.Faults = append(s.Faults, f)
		}
	}
	return s
}

func (c *Control) desktops(servers []sim.Server) Desktops {
	d := Desktops{Total: len(servers), ByStatus: map[string]int{}, BySite: map[string]map[string]int{}}
	for _, server := range servers {
		site := ""
		if c.config.Site != nil {
			site = c.config.Site(server)
		}
		d.ByStatus[server.Status]++
		count(d.BySite, site, server.Status)
	}
	return d
}

func count(in map[string]map[string]int, key, status string) {
	if in[key] == nil {
		in[key] = map[string]int{}
	}
	in[key][status]++
}

func (c *Control) leases() Leases {
	leases, missing := c.config.Sim.Leases()
	times, now := c.config.Sim.DHCP.Times(), c.config.Sim.Now()
	l := Leases{Good: len(leases), Missing: len(missing)}
	leases = slices.DeleteFunc(leases, func(of lease.Lease) bool { return !of.Running })
	for _, of := range leases {
		if now.Sub(of.Renewed) > times.T1 {
			l.Late++
		}
	}
	if len(leases) > 0 {
		first := slices.MinFunc(leases, func(a, b lease.Lease) int { return cmp.Compare(a.Expires.UnixNano(), b.Expires.UnixNano()) })
		l.Lowest = new(first.Expires.Sub(now).Seconds() / times.Lease.Seconds())
	}
	return l
}
