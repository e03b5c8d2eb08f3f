package sim

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"github.com/deskstorm/deskstorm/lab/sim/glance"
	"github.com/deskstorm/deskstorm/lab/sim/keystone"
	"github.com/deskstorm/deskstorm/lab/sim/lease"
	"github.com/deskstorm/deskstorm/lab/sim/neutron"
	"github.com/deskstorm/deskstorm/lab/sim/nova"
	"github.com/deskstorm/deskstorm/lab/sim/placement"
	"github.com/deskstorm/deskstorm/spice/screen"
)

// Names that every lab has.
const (
	AdminUser    = "admin"
	AdminProject = "admin"
	Project      = "desktops"           // where desktops are, and where users from the directory are members
	UsersDomain  = keystone.UsersDomain // of the users from the directory; admin's and the projects' is "Default"
	Region       = "RegionOne"
)

// What the services take from who starts a lab.
type (
	Users    = keystone.Users
	User     = keystone.User
	Desktops = nova.Desktops
	Console  = nova.Console
	Flavor   = nova.Flavor
	Quota    = nova.Quota
	Server   = nova.Server
	Image    = glance.Image
	Network  = neutron.Network
)

// What Users answer when a user may not log in; anything else makes Keystone answer 500.
var (
	ErrWrongPassword = keystone.ErrWrongPassword
	ErrLocked        = keystone.ErrLocked
)

// Host is a hypervisor. 0 is a default; ratios are those that Nova gives new hosts.
type Host struct {
	Name     string  // "compute01" and so on if empty
	VCPUs    int     // 64
	MemoryMB int     // 524288, of which 512 are reserved
	DiskGB   int     // 20480
	CPURatio float64 // 16
	RAMRatio float64 // 1.5
}

// ServerSeed is a server that is there from the start, in the project "desktops", of the first flavor, image and network.
type ServerSeed struct {
	Name     string
	Metadata map[string]string // such as {"seat": "N2-117"}
	Tags     []string
	// Status is "ACTIVE" (also if empty), "SHUTOFF" or "BUILD". The desktop of an ACTIVE one is booted when its console is first
	// asked for, so that ten thousand of them cost little; one of status BUILD is built and booted as others are.
	Status string
	ID     string // a UUID; a random one if empty
}

// Config is how a lab begins. The zero value is a small cloud that works.
type Config struct {
	Listen        string // "127.0.0.1:0" if empty: a free port
	AdminPassword string // "admin" if empty
	// Users are those of the domain "users", members of the project "desktops"; nil: none. DirectoryUsers and StaticUsers are two.
	Users         Users
	TokenLifetime time.Duration // 1 h if 0
	// InsecureDebug is Keystone's option of this name: answers of 401 say why, such as that an account is locked.
	InsecureDebug bool

	Hosts    []Host // four of them if nil
	Flavors  []Flavor
	Images   []Image   // ids are made of names where they are empty, the same in every run
	Networks []Network // likewise; so are flavors'
	Servers  []ServerSeed
	Quota    Quota // of every project; 0 is no limit
	// Lease are the times of DHCP leases: Neutron's, a day, if zero.
	Lease lease.Times

	// Boot is how long a server takes to boot, asked once a boot: 200 ms if nil. The random numbers are the same in every run with
	// the same Seed; servers that boot side by side may take them in another order.
	Boot         func(*rand.Rand) time.Duration
	BootsPerHost int // at once; 0: no limit
	Seed         uint64

	// Physics lets servers boot and work on hosts that run short, instead of Boot; nil: nothing runs short.
	Physics *Physics
	// ResumeGuests starts the servers of a host that was restarted again, with Physics, as Nova does with
	// resume_guests_state_on_host_boot; else they are SHUTOFF when it is back, as by Nova's default.
	ResumeGuests bool

	// Desktops runs the servers; nil: Screens of the configuration Screen, which the lab closes with itself.
	Desktops Desktops
	Screen   screen.Config

	SpiceDirect    bool // Nova has microversions up to 2.99, and consoles of type spice-direct; else up to 2.93, as Zed's
	MetadataFilter bool // Nova lists servers by metadata for administrators, which only a patched one does
	Now            func() time.Time

	// NotificationURL is the RabbitMQ that the services send their oslo notifications to, "amqp://user:password@host:port/vhost";
	// empty: none. It may be away, now or later.
	NotificationURL string
}

func (c Config) withDefaults() Config {
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	if c.AdminPassword == "" {
		c.AdminPassword = "admin"
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Boot == nil {
		c.Boot = nova.DefaultBoot
	}
	if c.Hosts == nil {
		c.Hosts = make([]Host, 4)
	}
	if c.Flavors == nil {
		c.Flavors = []Flavor{{Name: "desktop.small", VCPUs: 2, RAM: 4096, Disk: 40}}
	}
	if c.Images == nil {
		c.Images = []Image{{Name: "desktop", Size: 8 << 30, MinDisk: 20}}
	}
	if c.Networks == nil {
		c.Networks = []Network{{Name: "desktops", Subnet: netip.MustParsePrefix("10.20.0.0/16")}}
	}
	c.Hosts, c.Flavors = append([]Host(nil), c.Hosts...), append([]Flavor(nil), c.Flavors...)
	c.Images, c.Networks = append([]Image(nil), c.Images...), append([]Network(nil), c.Networks...)
	for i := range c.Hosts {
		c.Hosts[i] = c.Hosts[i].withDefaults(i)
	}
	for i, f := range c.Flavors {
		c.Flavors[i].ID = idOf(f.ID, "flavor", f.Name)
	}
	for i, image := range c.Images {
		c.Images[i].ID = idOf(image.ID, "image", image.Name)
	}
	for i, network := range c.Networks {
		c.Networks[i].ID = idOf(network.ID, "network", network.Name)
	}
	return c
}

func (h Host) withDefaults(i int) Host {
	if h.Name == "" {
		h.Name = fmt.Sprintf("compute%02d", i+1)
	}
	if h.VCPUs == 0 {
		h.VCPUs = 64
	}
	if h.MemoryMB == 0 {
		h.MemoryMB = 512 << 10
	}
	if h.DiskGB == 0 {
		h.DiskGB = 20 << 10
	}
	if h.CPURatio == 0 {
		h.CPURatio = 16 // initial_cpu_allocation_ratio was 16.0 up to Zed
	}
	if h.RAMRatio == 0 {
		h.RAMRatio = 1.5
	}
	return h
}

// provider is the host as Placement begins with it.
func (h Host) provider() placement.Provider {
	const reserved = 512 // reserved_host_memory_mb
	return placement.Provider{ID: idOf("", "host", h.Name), Name: h.Name, Inventories: map[string]placement.Inventory{
		placement.VCPU:     {Total: h.VCPUs, MaxUnit: h.VCPUs, AllocationRatio: h.CPURatio},
		placement.MemoryMB: {Total: h.MemoryMB, MaxUnit: h.MemoryMB, Reserved: min(reserved, h.MemoryMB), AllocationRatio: h.RAMRatio},
		placement.DiskGB:   {Total: h.DiskGB, MaxUnit: h.DiskGB},
	}}
}

func idOf(given, kind, name string) string {
	if given != "" {
		return given
	}
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("deskstorm/"+kind+"/"+name)).String()
}
