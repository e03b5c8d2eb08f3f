package nova

import (
	"encoding/json"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// filter is what a list of servers is limited to.
type filter struct {
	allProjects bool
	// deleted servers are listed as well, or only they are.
	deleted, onlyDeleted bool
	tests                []func(*server) bool
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

// memberFilters are those of everybody, with the microversion since which they are; others are dropped for who is no administrator.
var memberFilters = map[string]int{
	"reservation_id": 1, "name": 1, "status": 1, "image": 1, "flavor": 1, "ip": 1, "changes-since": 1, "all_tenants": 1, "ip6": 5,
	"tags": 26, "tags-any": 26, "not-tags": 26, "not-tags-any": 26, "changes-before": 66, "locked": 73, "availability_zone": 83,
	"config_drive": 83, "key_name": 83, "created_at": 83, "launched_at": 83, "terminated_at": 83, "power_state": 83, "task_state": 83,
	"vm_state": 83, "progress": 83, "user_id": 83, "hostname": 90,
}

func (n *Nova) filter(c *call, q url.Values) (*filter, error) {
	f := &filter{}
	admin := c.caller.Admin()
	mayUse := func(name string) bool {
		since, ok := memberFilters[name]
		return admin || ok && c.atLeast(since)
	}
	var odd []string
	for _, name := range slices.Sorted(maps.Keys(q)) {
		switch {
		case c.atLeast(75) && !slices.Contains(queryNames, name) && !strings.HasPrefix(name, "_"):
			odd = append(odd, pythonString(name))
		case name == "metadata" && n.config.MetadataFilter:
		case admin && (slices.Contains(joinedTables, name) || strings.HasPrefix(name, "_")):
			return nil, badRequest("Invalid filter field: " + name + ".")
		}
	}
	if len(odd) > 0 {
		does := " does"
		if len(odd) > 1 {
			does = " do"
		}
		return nil, badRequest(strings.Join(odd, ", ") + does + " not match any of the regexes: '^_'")
	}
	if v := q.Get("all_tenants"); q.Has("all_tenants") {
		if v != "" && !isTrue(v) && !isFalse(v) {
			return nil, unrecognized(v)
		}
		f.allProjects = !isFalse(v)
	}
	changed := q
	if !mayUse("changes-before") {
		changed = maps.Clone(q)
		changed.Del("changes-before")
	}
	span, err := changes(changed)
	if err != nil {
		return nil, err
	}
	if span.since.IsZero() && span.before.IsZero() {
		f.deleted = admin && isTrue(q.Get("deleted"))
		f.onlyDeleted = f.deleted
	} else {
		f.deleted = !admin || !q.Has("deleted") || isTrue(q.Get("deleted"))
		f.onlyDeleted = admin && isTrue(q.Get("deleted"))
		f.add(func(s *server) bool { return span.has(s.updated.Truncate(time.Second)) })
	}
	for _, name := range slices.Sorted(maps.Keys(q)) {
		if mayUse(name) {
			if err := f.addFilter(c, name, q[name]); err != nil {
				return nil, err
			}
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
	is := func(field func(*server) string) {
		f.add(func(s *server) bool { return field(s) == value })
	}
	switch name {
	case "name", "display_name":
		return f.addPattern(name, value, func(s *server) string { return s.name })
	case "hostname":
		return f.addPattern(name, value, func(s *server) string { return s.hostname })
	case "description", "display_description":
		return f.addPattern(name, value, func(s *server) string { return s.description })
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
	case "power_state":
		is(func(s *server) string { return strconv.Itoa(s.power()) })
	case "flavor":
		f.add(func(s *server) bool { return s.flavor.ID == lastPart(value) })
	case "image", "image_ref":
		f.add(func(s *server) bool { return s.image == lastPart(value) })
	case "user_id":
		is(func(s *server) string { return s.user })
	case "reservation_id":
		is(func(s *server) string { return s.reservation })
	case "availability_zone":
		is(func(s *server) string { return s.zone })
	case "locked":
		if c.atLeast(73) {
			if !isTrue(value) && !isFalse(value) {
				return unrecognized(value)
			}
			f.add(func(s *server) bool { return (s.lock != nil) == isTrue(value) })
		}
	case "uuid":
		f.add(func(s *server) bool { return slices.Contains(values, s.id) })
	case "host", "node":
		f.add(func(s *server) bool { return s.host != nil && s.host.Name == value })
	case "project_id", "tenant_id":
		if f.allProjects { // else the list is of one project anyway, and Nova ignores this
			is(func(s *server) string { return s.project })
		}
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
		return nil, invalidQuery(name, value, pythonString(value)+" is not a 'regex'")
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
	if slices.Equal(wanted, []string{"DELETED"}) {
		if !c.caller.Admin() {
			return problem{403, "Only administrators may list deleted instances"}
		}
		f.deleted, f.onlyDeleted = true, true
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

// isTrue and isFalse are oslo's strict bool_from_string.
func isTrue(s string) bool {
	return slices.Contains([]string{"1", "t", "true", "on", "y", "yes"}, strings.ToLower(strings.TrimSpace(s)))
}

func isFalse(s string) bool {
	return slices.Contains([]string{"0", "f", "false", "off", "n", "no"}, strings.ToLower(strings.TrimSpace(s)))
}

// unrecognized is what they say to all else.
func unrecognized(s string) error {
	return badRequest("Unrecognized value " + pythonString(s) + ", acceptable values are: '0', '1', 'f', 'false', 'n', 'no', 'off', 'on', " +
		"'t', 'true', 'y', 'yes'")
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
