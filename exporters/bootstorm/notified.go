package bootstorm

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/cloud/notification"
	"github.com/deskstorm/deskstorm/exporters/bootstorm/boots"
)

// sightings are what a notification of Nova's tells of boots, in either form; most tell nothing.
func sightings(n notification.Notification) []boots.Sighting {
	var p payload
	switch {
	case strings.HasPrefix(n.Event, "compute.instance."), strings.HasPrefix(n.Event, "compute_task."):
		if json.Unmarshal(n.Payload, &p.unversioned) != nil {
			return nil
		}
		p.fromUnversioned()
	case strings.HasPrefix(n.Event, "instance."):
		if json.Unmarshal(n.Payload, &p.versioned) != nil {
			return nil
		}
		p.fromVersioned()
	default:
		return nil
	}
	if p.server == "" {
		return nil
	}
	event := strings.TrimPrefix(strings.TrimPrefix(n.Event, "compute."), "instance.")
	return p.sightings(event, n)
}

// payload is what both forms tell.
type payload struct {
	server, host            string
	state, oldTask, newTask string
	created                 time.Time
	macs                    []string
	address                 string
	fault                   string
	unversioned             unversioned
	versioned               versioned
}

// unversioned is the free form (nova/notifications/base.py, info_from_instance; nova/compute/utils.py).
type unversioned struct {
	Server   string  `json:"instance_id"`
	Host     *string `json:"host"`
	State    string  `json:"state"`
	OldTask  *string `json:"old_task_state"`
	NewTask  *string `json:"new_task_state"`
	Created  string  `json:"created_at"`
	FixedIPs []struct {
		Address string `json:"address"`
		MAC     string `json:"vif_mac"`
	} `json:"fixed_ips"`
	Message any `json:"message"`
	Reason  any `json:"reason"`
}

// versioned is a versioned object (nova/notifications/objects/instance.py).
type versioned struct {
	Data struct {
		Server    string  `json:"uuid"`
		Host      *string `json:"host"`
		State     string  `json:"state"`
		Created   string  `json:"created_at"`
		Addresses []struct {
			Data struct {
				MAC     string `json:"mac"`
				Address string `json:"address"`
			} `json:"nova_object.data"`
		} `json:"ip_addresses"`
		Update struct {
			Data struct {
				OldTask *string `json:"old_task_state"`
				NewTask *string `json:"new_task_state"`
				State   string  `json:"state"`
			} `json:"nova_object.data"`
		} `json:"state_update"`
		Fault struct {
			Data struct {
				Message string `json:"exception_message"`
			} `json:"nova_object.data"`
		} `json:"fault"`
	} `json:"nova_object.data"`
}

func (p *payload) fromUnversioned() {
	u := p.unversioned
	p.server, p.host, p.state = u.Server, text(u.Host), u.State
	p.oldTask, p.newTask = text(u.OldTask), text(u.NewTask)
	p.created, _ = notification.ParseTime(u.Created) // the zero time is none
	for _, ip := range u.FixedIPs {
		p.add(ip.MAC, ip.Address)
	}
	for _, said := range []any{u.Message, u.Reason} {
		if s, ok := said.(string); ok && s != "" {
			p.fault = s
		}
	}
}

func (p *payload) fromVersioned() {
	d := p.versioned.Data
	p.server, p.host, p.state = d.Server, text(d.Host), d.State
	if s := d.Update.Data.State; s != "" {
		p.state = s
	}
	p.oldTask, p.newTask = text(d.Update.Data.OldTask), text(d.Update.Data.NewTask)
	p.created, _ = notification.ParseTime(d.Created)
	for _, a := range d.Addresses {
		p.add(a.Data.MAC, a.Data.Address)
	}
	p.fault = d.Fault.Data.Message
}

func (p *payload) add(mac, address string) {
	if mac != "" {
		p.macs = append(p.macs, strings.ToLower(mac))
	}
	if p.address == "" {
		p.address = address
	}
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// kinds are the boots by the name of their notifications.
var kinds = map[string]boots.Kind{
	"create": boots.Create, "power_on": boots.Start, "reboot": boots.Reboot, "rebuild": boots.Rebuild,
}

// tasks are the boots by the task that Nova's API gives a server when it accepts one (nova/compute/task_states.py).
var tasks = map[string]boots.Kind{
	"scheduling": boots.Create, "powering-on": boots.Start, "rebuilding": boots.Rebuild,
	"rebooting": boots.Reboot, "rebooting_hard": boots.Reboot,
}

func (p *payload) sightings(event string, n notification.Notification) []boots.Sighting {
	s := boots.Sighting{Server: p.server, At: n.Time, Host: p.host, MACs: p.macs, Address: p.address}
	name, part, _ := strings.Cut(event, ".")
	failed := n.Priority == "ERROR" || part == "error"
	switch {
	case strings.HasPrefix(n.Event, "compute_task."): // the conductor has no host left to try
		s.What, s.Fault = boots.HasFailed, string(cloud.ClassifyFault(p.fault))
		return []boots.Sighting{s}
	case event == "update":
		return p.update(s)
	case event == "delete.start", event == "soft_delete.start":
		s.What = boots.IsGone
		return []boots.Sighting{s}
	}
	kind, boot := kinds[name]
	if !boot {
		return nil
	}
	s.Kind = kind
	switch {
	case failed:
		s.What, s.Fault = boots.HasStumbled, string(cloud.ClassifyFault(p.fault))
		return []boots.Sighting{s}
	case part == "start":
		s.What = boots.HasBegun
		if kind == boots.Create && !p.created.IsZero() {
			accepted := s
			accepted.What, accepted.At = boots.WasAccepted, p.created
			return []boots.Sighting{accepted, s}
		}
		return []boots.Sighting{s}
	case part == "end":
		s.What = boots.IsActive
		return []boots.Sighting{s}
	}
	return nil
}

// update reads the change of a server's state, which Nova tells with notify_on_state_change = vm_and_task_state.
func (p *payload) update(s boots.Sighting) []boots.Sighting {
	kind, accepted := tasks[p.newTask]
	switch {
	case p.state == "error":
		s.What = boots.HasFailed
	case p.state == "building" && p.newTask == "" && p.oldTask == "", accepted && kind == boots.Create && p.state == "building":
		s.Kind, s.What, s.Host = boots.Create, boots.WasAccepted, ""
		if !p.created.IsZero() {
			s.At = p.created
		}
	case accepted && p.newTask != p.oldTask && kind != boots.Create:
		s.Kind, s.What = kind, boots.WasAccepted
	default:
		return nil
	}
	return []boots.Sighting{s}
}
