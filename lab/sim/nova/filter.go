package nova

import (
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// filter is what a list of servers is limited to.
type filter struct {
	allProjects bool
	tests       []func(*server) bool
}

func (f *filter) matches(s *server) bool {
	for _, test := range f.tests {
		if !test(s) {
			return false
		}
	}
	return true
}

func (f *filter) add(test func(*server) bool) { f.tests = append(f.tests, test) }

// queryNames are what the list of servers can be asked for (schemas/servers.py); from 2.75 on others are refused.
var queryNames = strings.Fields(`user_id project_id tenant_id launch_index image_ref image kernel_id ramdisk_id hostname key_name
power_state vm_state task_state host node flavor reservation_id launched_at terminated_at availability_zone name display_name
description display_description locked_by uuid root_device_name config_drive access_ip_v4 access_ip_v6 auto_disk_config progress
sort_key sort_dir all_tenants soft_deleted deleted status changes-since changes-before ip ip6 created_at limit marker tags tags-any
not-tags not-tags-any locked block_device_mapping services metadata system_metadata info_cache security_groups pci_devices`)

// joinedTables are refused for administrators, and dropped for others as all filters are that they may not use.
var joinedTables = []string{
	"block_device_mapping", "services", "metadata", "system_metadata", "info_cache", "security_groups", "pci_devices",
}

// adminFilters are dropped for others.
var adminFilters = []string{"host", "node", "project_id", "tenant_id", "uuid", "hostname", "description", "display_name"}

func (n *Nova) filter(c *call, q url.Values) (*filter, error) {
	f := &filter{}
	admin := c.caller.Admin()
	for name := range q {
		switch {
		case c.atLeast(75) && !slices.Contains(queryNames, name):
			return nil, badRequest("Additional properties are not allowed ('" + name + "' was unexpected)")
		case name == "metadata" && n.config.MetadataFilter:
		case admin && (slices.Contains(joinedTables, name) || strings.HasPrefix(name, "_")):
			return nil, badRequest("Invalid filter field: " + name + ".")
		}
	}
	if q.Has("all_tenants") {
		f.allProjects = truth(q.Get("all_tenants"))
	}
	for name, values := range q {
		if !admin && slices.Contains(adminFilters, name) {
			continue
		}
		if err := f.addFilter(c, name, values); err != nil {
			return nil, err
		}
	}
	if admin && n.config.MetadataFilter && q.Has("metadata") {
		if err := f.addMetadata(q["metadata"]); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// addFilter knows the filters that can tell the servers here apart; the last value counts where only one can.
func (f *filter) addFilter(c *call, name string, values []string) error {
	value := values[len(values)-1]
	switch name {
	case "name", "display_name":
		return f.addPattern("name", value, func(s *server) string { return s.name })
	case "ip":
		re, err := pattern("ip", value)
		if err != nil {
			return err
		}
		f.add(func(s *server) bool {
			for _, p := range s.ports {
				if re.MatchString(p.Address) {
					return true
				}
			}
			return false
		})
	case "status":
		return f.addStatus(c, values)
	case "vm_state":
		f.add(func(s *server) bool { return slices.Contains(values, s.state) })
	case "task_state":
		f.add(func(s *server) bool { return slices.Contains(values, s.task) })
	case "flavor":
		f.add(func(s *server) bool { return s.flavor.ID == lastPart(value) })
	case "image", "image_ref":
		f.add(func(s *server) bool { return s.image == lastPart(value) })
	case "user_id":
		if c.caller.Admin() || c.atLeast(83) {
			f.add(func(s *server) bool { return s.user == value })
		}
	case "uuid":
		f.add(func(s *server) bool { return slices.Contains(values, s.id) })
	case "host", "node":
		f.add(func(s *server) bool { return s.host != nil && s.host.Name == value })
	case "project_id", "tenant_id":
		if f.allProjects { // else the list is of one project anyway, and Nova ignores this
			f.add(func(s *server) bool { return s.project == value })
		}
	case "changes-since", "changes-before":
		at, err := parseTime(value)
		if err != nil {
			return badRequest("Invalid input for query parameters " + name + ". Value: " + value + ". '" + value + "' is not a 'date-time'")
		}
		f.add(func(s *server) bool {
			if name == "changes-since" {
				return !s.updated.Before(at)
			}
			return !s.updated.After(at)
		})
	case "tags", "tags-any", "not-tags", "not-tags-any":
		if c.atLeast(26) {
			f.addTags(name, strings.Split(value, ","))
		}
	}
	return nil
}

func (f *filter) addPattern(name, value string, field func(*server) string) error {
	re, err := pattern(name, value)
	if err == nil {
		f.add(func(s *server) bool { return re.MatchString(field(s)) })
	}
	return err
}

func pattern(name, value string) (*regexp.Regexp, error) {
	re, err := regexp.Compile("(?i)" + value) // the database compares without regard to case
	if err != nil {
		return nil, badRequest("Invalid input for query parameters " + name + ". Value: " + value + ". '" + value + "' is not a 'regex'")
	}
	return re, nil
}

func (f *filter) addStatus(c *call, values []string) error {
	var wanted []string
	known := false
	for _, value := range values {
		wanted = append(wanted, strings.ToUpper(value))
		known = known || slices.Contains(statuses, strings.ToUpper(value)) || slices.Contains(otherStatuses, strings.ToUpper(value))
	}
	if !known && c.atLeast(38) {
		return badRequest("Invalid status value")
	}
	if slices.Contains(wanted, "DELETED") && !c.caller.Admin() {
		return problem{403, "Only administrators may list deleted instances"}
	}
	f.add(func(s *server) bool { return slices.Contains(wanted, s.status()) })
	return nil
}

func (f *filter) addTags(name string, wanted []string) {
	f.add(func(s *server) bool {
		has := 0
		for _, tag := range wanted {
			if slices.Contains(s.tags, tag) {
				has++
			}
		}
		switch name {
		case "tags":
			return has == len(wanted)
		case "tags-any":
			return has > 0
		case "not-tags":
			return has < len(wanted)
		default:
			return has == 0
		}
	})
}

func (f *filter) addMetadata(values []string) error {
	for _, value := range values {
		var wanted map[string]string
		if err := json.Unmarshal([]byte(value), &wanted); err != nil {
			return badRequest("Invalid filter field: metadata.")
		}
		f.add(func(s *server) bool {
			for key, v := range wanted {
				if got, ok := s.metadata[key]; !ok || got != v {
					return false
				}
			}
			return true
		})
	}
	return nil
}

// truth is oslo's bool_from_string where anything but a no is a yes.
func truth(s string) bool {
	return !slices.Contains([]string{"0", "f", "false", "off", "n", "no"}, strings.ToLower(strings.TrimSpace(s)))
}

func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t, err = time.Parse("2006-01-02T15:04:05.999999999", s)
	}
	return t, err
}

// lastPart is the id in a reference that may be a URL.
func lastPart(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }
