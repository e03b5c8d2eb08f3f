package nova

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/deskstorm/deskstorm/lab/sim/neutron"
)

type basicView struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Links []link `json:"links"`
}

// serverView is a server in detail. A field of type any is left out where it is nil, and null where it holds a nil pointer.
type serverView struct {
	basicView
	Status     string            `json:"status"`
	Tenant     string            `json:"tenant_id"`
	User       string            `json:"user_id"`
	Metadata   map[string]string `json:"metadata"`
	HostID     string            `json:"hostId"`
	Image      any               `json:"image"`
	Flavor     any               `json:"flavor"`
	Created    string            `json:"created"`
	Updated    string            `json:"updated"`
	Addresses  addresses         `json:"addresses"`
	AccessIPv4 string            `json:"accessIPv4"`
	AccessIPv6 string            `json:"accessIPv6"`
	DiskConfig string            `json:"OS-DCF:diskConfig"`
	Fault      *faultView        `json:"fault,omitempty"`
	Progress   *int              `json:"progress,omitempty"`
	Groups     []groupView       `json:"security_groups,omitempty"`
	Key        any               `json:"key_name,omitempty"`
	*shown
	*adminView
	*extendedView
	Hostname     string    `json:"OS-EXT-SRV-ATTR:hostname,omitempty"`
	HostStatus   *string   `json:"host_status,omitempty"`
	Locked       *bool     `json:"locked,omitempty"`
	LockedReason any       `json:"locked_reason,omitempty"`
	Description  any       `json:"description,omitempty"`
	Tags         *[]string `json:"tags,omitempty"`
	Certificates any       `json:"trusted_image_certificates,omitempty"`
	ServerGroups *[]string `json:"server_groups,omitempty"`
	// What only the answers to rebuild have.
	Password string `json:"adminPass,omitempty"`
	UserData any    `json:"user_data,omitempty"`
}

// shown is what the answers to PUT and rebuild have from 2.75 on only.
type shown struct {
	Zone       string   `json:"OS-EXT-AZ:availability_zone"`
	Drive      string   `json:"config_drive"`
	Launched   *string  `json:"OS-SRV-USG:launched_at"`
	Terminated *string  `json:"OS-SRV-USG:terminated_at"`
	Task       *string  `json:"OS-EXT-STS:task_state"`
	State      string   `json:"OS-EXT-STS:vm_state"`
	Power      int      `json:"OS-EXT-STS:power_state"`
	Volumes    []string `json:"os-extended-volumes:volumes_attached"`
}

// lessen leaves out what the answers to PUT and rebuild do not have before 2.75.
func (v *serverView) lessen(s *server) {
	v.shown, v.adminView, v.extendedView, v.HostStatus, v.Groups, v.Key = nil, nil, nil, nil, nil, nil
	v.Hostname, v.Addresses = "", s.addresses(false)
}

// nullText is null, and is there.
type nullText struct{}

func (nullText) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

// adminView is what only administrators see.
type adminView struct {
	Host       *string `json:"OS-EXT-SRV-ATTR:host"`
	Instance   string  `json:"OS-EXT-SRV-ATTR:instance_name"`
	Hypervisor *string `json:"OS-EXT-SRV-ATTR:hypervisor_hostname"`
}

// extendedView is what they see from 2.3 on, beside the host name.
type extendedView struct {
	Reservation string  `json:"OS-EXT-SRV-ATTR:reservation_id"`
	Launch      int     `json:"OS-EXT-SRV-ATTR:launch_index"`
	Kernel      string  `json:"OS-EXT-SRV-ATTR:kernel_id"`
	Ramdisk     string  `json:"OS-EXT-SRV-ATTR:ramdisk_id"`
	Root        *string `json:"OS-EXT-SRV-ATTR:root_device_name"`
	UserData    any     `json:"OS-EXT-SRV-ATTR:user_data,omitempty"`
}

type faultView struct {
	Code    int    `json:"code"`
	Created string `json:"created"`
	Message string `json:"message"`
	Details string `json:"details,omitempty"` // for administrators
}

type groupView struct {
	Name string `json:"name"`
}

type idView struct {
	ID    string `json:"id"`
	Links []link `json:"links"`
}

type embeddedFlavor struct {
	VCPUs     int               `json:"vcpus"`
	RAM       int               `json:"ram"`
	Disk      int               `json:"disk"`
	Ephemeral int               `json:"ephemeral"`
	Swap      int               `json:"swap"`
	Name      string            `json:"original_name"`
	Specs     map[string]string `json:"extra_specs"`
}

type addresses map[string][]addressView

type addressView struct {
	Version int    `json:"version"`
	Address string `json:"addr"`
	Type    string `json:"OS-EXT-IPS:type,omitempty"`
	MAC     string `json:"OS-EXT-IPS-MAC:mac_addr,omitempty"`
}

func (n *Nova) basic(s *server) basicView {
	return basicView{ID: s.id, Name: s.name, Links: n.links(s.id)}
}

func (n *Nova) links(id string) []link {
	return []link{{"self", n.config.URL + "/v2.1/servers/" + id}, {"bookmark", n.config.URL + "/servers/" + id}}
}

func (s *server) instanceName() string { return "instance-" + hex8(s.number) }

// view is called with the lock held; what it returns may be used without.
func (n *Nova) view(c *call, s *server) *serverView {
	v := &serverView{
		basicView: n.basic(s), Status: s.status(), Tenant: s.project, User: s.user, Metadata: s.metadata,
		Image:   idView{s.image, []link{{"bookmark", n.config.URL + "/images/" + s.image}}},
		Created: isoTime(s.created), Updated: isoTime(s.updated), Addresses: s.addresses(true), DiskConfig: "MANUAL", Key: nullText{},
		shown: &shown{State: s.state, Power: s.power(), Volumes: []string{}, Zone: s.zone},
	}
	if c.atLeast(47) {
		f := s.flavor
		v.Flavor = embeddedFlavor{VCPUs: f.VCPUs, RAM: f.RAM, Disk: f.Disk, Ephemeral: f.Ephemeral, Swap: f.Swap, Name: f.Name, Specs: f.specs()}
	} else {
		v.Flavor = idView{s.flavor.ID, []link{{"bookmark", n.config.URL + "/flavors/" + s.flavor.ID}}}
	}
	switch v.Status {
	case "ERROR", "DELETED":
		if s.fault != nil {
			v.Fault = &faultView{Code: s.fault.code, Created: isoTime(s.fault.at), Message: s.fault.message}
			if c.caller.Admin() {
				v.Fault.Details = s.fault.details
			}
		}
	case "ACTIVE", "BUILD", "REBUILD", "MIGRATING":
		v.Progress = new(int)
	}
	if s.task != "" {
		v.Task = new(s.task)
	}
	if !s.launched.IsZero() {
		v.Launched = new(s.launched.UTC().Format(microTime))
	}
	if !s.terminated.IsZero() {
		v.Terminated = new(s.terminated.UTC().Format(microTime))
	}
	var hostName *string
	if s.host != nil {
		v.HostID, hostName = hostID(s.project, s.host.Name), &s.host.Name
	}
	if len(s.ports) > 0 {
		v.Groups = []groupView{{"default"}}
	}
	admin := c.caller.Admin()
	if admin {
		v.adminView = &adminView{hostName, s.instanceName(), hostName}
		if c.atLeast(3) {
			v.extendedView = &extendedView{Reservation: s.reservation, Launch: s.launchIndex, UserData: nullText{}}
			v.Hostname = s.hostname
			if s.host != nil {
				v.extendedView.Root = new("/dev/vda")
			}
		}
	} else if c.atLeast(90) {
		v.Hostname = s.hostname
	}
	if c.atLeast(9) {
		v.Locked = new(s.lock != nil)
	}
	if c.atLeast(16) && admin {
		v.HostStatus = new(n.hostStatus(s))
	}
	if c.atLeast(19) {
		v.Description = (*string)(nil)
		if s.described {
			v.Description = s.description
		}
	}
	if c.atLeast(26) {
		v.Tags = &[]string{}
		if s.tags != nil {
			v.Tags = new(s.tags)
		}
	}
	if c.atLeast(63) {
		v.Certificates = (*string)(nil)
	}
	if c.atLeast(71) {
		v.ServerGroups = &[]string{}
	}
	if c.atLeast(73) {
		v.LockedReason = (*string)(nil)
		if s.lock != nil && s.lock.reason != "" {
			v.LockedReason = s.lock.reason
		}
	}
	return v
}

// hostID is a host's name that only shows whether two servers of a project are on one host.
func hostID(project, host string) string {
	sum := sha256.Sum224([]byte(project + host))
	return hex.EncodeToString(sum[:])
}

// hostStatus is get_instance_host_status of nova/compute/api.py. It is called with the lock held.
func (n *Nova) hostStatus(s *server) string {
	switch h := s.host; {
	case h == nil || s.state == deleted:
		return ""
	case h.service.forcedDown:
		return "DOWN"
	case h.service.disabled:
		return "MAINTENANCE"
	case n.up(h):
		return "UP"
	}
	return "UNKNOWN"
}

// addresses are hidden while a server is built.
func (s *server) addresses(extended bool) addresses {
	all := addresses{}
	if s.state != building {
		for _, p := range s.ports {
			all[p.Network] = append(all[p.Network], addressOf(p, extended))
		}
	}
	return all
}

func addressOf(p neutron.Port, extended bool) addressView {
	v := addressView{Version: 4, Address: p.Address}
	if extended {
		v.Type, v.MAC = "fixed", p.MAC
	}
	return v
}

func isoTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

func hex8(n int) string {
	s := strconv.FormatInt(int64(n), 16)
	for len(s) < 8 {
		s = "0" + s
	}
	return s
}

var (
	hostnameDashes = regexp.MustCompile(`[ _.]`)
	hostnameOthers = regexp.MustCompile(`[^\w\x{c0}-\x{d6}\x{d8}-\x{f6}\x{f8}-\x{ff}-]+`)
)

// hostname is a server's name as far as a host's name can be it, else another (sanitize_hostname of nova/utils.py).
func hostname(name, other string) string {
	latin := strings.Map(func(r rune) rune {
		if r > 0xff {
			return -1
		}
		return r
	}, name)
	short := []rune(latin)
	h := hostnameDashes.ReplaceAllString(string(short[:min(len(short), 63)]), "-")
	h = strings.Trim(strings.ToLower(hostnameOthers.ReplaceAllString(h, "")), ".-")
	return cmp.Or(h, other)
}
