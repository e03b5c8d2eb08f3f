package nova

import (
	"cmp"
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
	order, err := sortOrder(q)
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
			detail = append(detail, n.view(c, s))
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
	all := n.order
	if !wanted.allProjects {
		all = nil
		if own := n.projects[c.caller.ProjectID]; own != nil {
			all = own.servers
		}
	}
	var marker *server
	if p.marker != "" {
		marker = n.servers[p.marker]
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

type sortKey struct {
	compare func(a, b *server) int
}

// sortOrder reads sort_key and sort_dir, which come in pairs; the usual direction is descending.
func sortOrder(q url.Values) ([]sortKey, error) {
	var order []sortKey
	for i, name := range q["sort_key"] {
		by := sortKeys[name]
		if by == nil {
			return nil, badRequest("Invalid input for query parameters sort_key. Value: " + name + ". '" + name + "' is not one of " +
				"the keys that servers can be sorted by")
		}
		if i < len(q["sort_dir"]) && q["sort_dir"][i] == "asc" {
			order = append(order, sortKey{by})
		} else {
			order = append(order, sortKey{func(a, b *server) int { return by(b, a) }})
		}
	}
	return order, nil
}

// sortKeys are those of Nova's that say something of the servers here.
var sortKeys = map[string]func(a, b *server) int{
	"created_at":   func(a, b *server) int { return a.created.Compare(b.created) },
	"updated_at":   func(a, b *server) int { return a.updated.Compare(b.updated) },
	"launched_at":  func(a, b *server) int { return a.launched.Compare(b.launched) },
	"display_name": func(a, b *server) int { return strings.Compare(a.name, b.name) },
	"uuid":         func(a, b *server) int { return strings.Compare(a.id, b.id) },
	"vm_state":     func(a, b *server) int { return strings.Compare(a.state, b.state) },
	"task_state":   func(a, b *server) int { return strings.Compare(a.task, b.task) },
	"power_state":  func(a, b *server) int { return cmp.Compare(a.power(), b.power()) },
	"project_id":   func(a, b *server) int { return strings.Compare(a.project, b.project) },
	"user_id":      func(a, b *server) int { return strings.Compare(a.user, b.user) },
	"image_ref":    func(a, b *server) int { return strings.Compare(a.image, b.image) },
}
