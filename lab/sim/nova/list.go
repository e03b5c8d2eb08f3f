package nova

import (
	"cmp"
	"maps"
	"net/url"
	"slices"
	"strings"
)

func (n *Nova) listServers(c *call)   { n.writeServers(c, "servers", "index") }
func (n *Nova) detailServers(c *call) { n.writeServers(c, "servers/detail", "detail") }

func (n *Nova) writeServers(c *call, path, policy string) {
	q := c.URL.Query()
	p, err := c.page()
	if c.failed(err) {
		return
	}
	wanted, err := n.filter(c, q)
	if c.failed(err) {
		return
	}
	order, err := c.sortOrder(q)
	if c.failed(err) {
		return
	}
	if wanted.allProjects && !c.caller.Admin() {
		c.forbidden("servers:" + policy + ":get_all_tenants")
		return
	}
	n.mu.RLock()
	found, err := n.pick(c, wanted, order, p)
	var list any
	basic, detail := []basicView{}, []*serverView{}
	for _, s := range found {
		if policy == "index" {
			basic = append(basic, n.basic(s))
		} else {
			v := n.view(c, s)
			v.ServerGroups = nil // for one server at a time only
			detail = append(detail, v)
		}
	}
	n.mu.RUnlock()
	if c.failed(err) {
		return
	}
	if list = basic; policy == "detail" {
		list = detail
	}
	body := map[string]any{"servers": list}
	if len(found) > 0 {
		if links := n.next(c, p, len(found), path, found[len(found)-1].id); links != nil {
			body["servers_links"] = links
		}
	}
	c.answer(200, body)
}

// pick is called with the lock held. Newest first is the usual order, and the order in which servers are kept.
func (n *Nova) pick(c *call, wanted *filter, order []sortKey, p page) ([]*server, error) {
	all := n.candidates(c, wanted)
	var marker *server
	if p.marker != "" {
		if marker = n.servers[p.marker]; marker == nil && wanted.deleted {
			marker = n.graves.byID[p.marker]
		}
		if marker == nil || marker.project != c.caller.ProjectID && !c.caller.Admin() {
			return nil, badRequest("marker [" + p.marker + "] not found")
		}
	}
	var found []*server
	for _, s := range slices.Backward(all) {
		switch {
		case len(order) == 0 && len(found) == p.limit:
			return found, nil
		case len(order) == 0 && marker != nil && s.number >= marker.number:
		case wanted.matches(s) || len(order) > 0 && s == marker:
			found = append(found, s)
		}
	}
	if len(order) == 0 {
		return found, nil
	}
	slices.SortStableFunc(found, func(a, b *server) int {
		for _, key := range order {
			if d := key.compare(a, b); d != 0 {
				return d
			}
		}
		return 0
	})
	if marker != nil {
		found = found[slices.Index(found, marker)+1:]
	}
	return found[:min(p.limit, len(found))], nil
}

// candidates are the servers that a list may have, oldest first. It is called with the lock held.
func (n *Nova) candidates(c *call, wanted *filter) []*server {
	all := n.order
	if !wanted.allProjects {
		all = nil
		if own := n.projects[c.caller.ProjectID]; own != nil {
			all = own.servers
		}
	}
	if !wanted.deleted {
		return all
	}
	var more []*server
	if !wanted.onlyDeleted {
		more = append(more, all...)
	}
	for _, s := range n.graves.order {
		if wanted.allProjects || s.project == c.caller.ProjectID {
			more = append(more, s)
		}
	}
	slices.SortFunc(more, func(a, b *server) int { return cmp.Compare(a.number, b.number) })
	return more
}

type sortKey struct {
	compare func(a, b *server) int
}

// sortOrder reads sort_key and sort_dir (process_sort_params of nova/db/main/api.py): a missing direction is the first one given, or
// descending. It is empty for the usual order.
func (c *call) sortOrder(q url.Values) ([]sortKey, error) {
	var keys, directions []string
	for i, name := range q["sort_key"] {
		ignored := slices.Contains(ignoredSortKeys, name) && (name != "locked" || !c.atLeast(73))
		switch {
		case ignored && !c.atLeast(75):
			continue
		case ignored || sortKeys[name] == nil && !slices.Contains(evenSortKeys, name) && !slices.Contains(ignoredSortKeys, name):
			return nil, invalidQuery("sort_key", name, pythonString(name)+" is not one of "+pythonList(c.sortKeyNames()))
		case (name == "host" || name == "node") && !c.caller.Admin():
			return nil, problem{403, "Only administrators can sort servers by " + name}
		}
		keys = append(keys, name)
		if i < len(q["sort_dir"]) {
			directions = append(directions, q["sort_dir"][i])
		}
	}
	if len(q["sort_key"]) == 0 {
		directions = q["sort_dir"]
	}
	for _, d := range directions {
		if d != "asc" && d != "desc" {
			return nil, badRequest("Invalid input received: Unknown sort direction, must be 'desc' or 'asc'")
		}
	}
	if len(directions) > max(1, len(keys)) {
		return nil, badRequest("Invalid input received: Sort direction array size exceeds sort key array size.")
	}
	usual := "desc"
	if len(directions) > 0 {
		usual = directions[0]
	}
	if len(keys) == 0 && usual == "desc" {
		return nil, nil
	}
	var order []sortKey
	add := func(by func(a, b *server) int, direction string) {
		if direction == "desc" {
			order = append(order, sortKey{func(a, b *server) int { return by(b, a) }})
		} else {
			order = append(order, sortKey{by})
		}
	}
	for i, name := range keys {
		direction := usual
		if i < len(directions) {
			direction = directions[i]
		}
		if by := sortKeys[name]; by != nil {
			add(by, direction)
		}
	}
	add(func(a, b *server) int { return cmp.Compare(a.number, b.number) }, usual)
	return order, nil
}

// sortKeys are those of Nova's that say something of the servers here.
var sortKeys = map[string]func(a, b *server) int{
	"created_at":          func(a, b *server) int { return a.created.Compare(b.created) },
	"updated_at":          func(a, b *server) int { return a.updated.Compare(b.updated) },
	"launched_at":         func(a, b *server) int { return a.launched.Compare(b.launched) },
	"terminated_at":       func(a, b *server) int { return a.terminated.Compare(b.terminated) },
	"display_name":        func(a, b *server) int { return strings.Compare(a.name, b.name) },
	"display_description": func(a, b *server) int { return strings.Compare(a.description, b.description) },
	"hostname":            func(a, b *server) int { return strings.Compare(a.hostname, b.hostname) },
	"uuid":                func(a, b *server) int { return strings.Compare(a.id, b.id) },
	"vm_state":            func(a, b *server) int { return strings.Compare(a.state, b.state) },
	"task_state":          func(a, b *server) int { return strings.Compare(a.task, b.task) },
	"power_state":         func(a, b *server) int { return cmp.Compare(a.power(), b.power()) },
	"project_id":          func(a, b *server) int { return strings.Compare(a.project, b.project) },
	"user_id":             func(a, b *server) int { return strings.Compare(a.user, b.user) },
	"image_ref":           func(a, b *server) int { return strings.Compare(a.image, b.image) },
	"instance_type_id":    func(a, b *server) int { return cmp.Compare(a.flavor.number, b.flavor.number) },
	"availability_zone":   func(a, b *server) int { return strings.Compare(a.zone, b.zone) },
	"launch_index":        func(a, b *server) int { return cmp.Compare(a.launchIndex, b.launchIndex) },
	"host":                func(a, b *server) int { return strings.Compare(a.hostName(), b.hostName()) },
	"node":                func(a, b *server) int { return strings.Compare(a.hostName(), b.hostName()) },
}

func (s *server) hostName() string {
	if s.host == nil {
		return ""
	}
	return s.host.Name
}

// evenSortKeys are Nova's further ones: by them all servers here are alike. ignoredSortKeys are dropped before 2.75, and refused
// since (schemas/servers.py).
var (
	evenSortKeys = strings.Fields(`access_ip_v4 access_ip_v6 auto_disk_config config_drive kernel_id key_name locked_by progress
ramdisk_id root_device_name locked`)
	ignoredSortKeys = strings.Fields(`architecture cell_name cleaned default_ephemeral_device default_swap_device deleted deleted_at
disable_terminate ephemeral_gb ephemeral_key_uuid id key_data launched_on locked memory_mb os_type reservation_id root_gb
shutdown_terminate user_data vcpus vm_mode`)
)

func (c *call) sortKeyNames() []string {
	names := slices.Sorted(maps.Keys(sortKeys))
	for _, name := range evenSortKeys {
		if name != "locked" || c.atLeast(73) {
			names = append(names, name)
		}
	}
	if !c.atLeast(75) {
		names = append(names, ignoredSortKeys...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
