package nova

import (
	"context"
	"net/http"
)

// evacuateAction is POST action evacuate: a server of a host whose nova-compute is down is built anew on another.
func (n *Nova) evacuateAction(c *call, raw rawJSON) {
	var asked struct {
		Host     *string
		Shared   *flag `json:"onSharedStorage"`
		Password *string
		Force    flag
	}
	properties := []property{{"host", hostName}, {"adminPass", anyText}}
	var required []string
	if !c.atLeast(14) {
		properties, required = append(properties, property{"onSharedStorage", boolean}), []string{"onSharedStorage"}
	}
	if c.atLeast(29) && !c.atLeast(68) {
		properties = append(properties, property{"force", boolean})
	}
	if !c.passes("evacuate", raw, object(required, properties...), &asked) {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.find(c)
	if s == nil || !c.adminOnly("os-evacuate") {
		return
	}
	var dest *host
	name := ""
	if asked.Host != nil {
		name = *asked.Host
		dest = n.hostNamed(name)
	}
	shared := asked.Shared != nil && bool(*asked.Shared)
	switch {
	case bool(asked.Force) && dest == nil:
		c.fail(http.StatusBadRequest, "Can't force to a non-provided destination")
		return
	case shared && asked.Password != nil:
		c.fail(http.StatusBadRequest, "admin password can't be changed on existing disk")
		return
	case asked.Host != nil && dest == nil:
		c.fail(http.StatusNotFound, "Compute host "+name+" not found.")
		return
	case dest != nil && dest == s.host:
		c.fail(http.StatusBadRequest, "The target host can't be the same one.")
		return
	}
	if !s.ready(c, "evacuate", active, stopped, failed) {
		return
	}
	if n.up(s.host) {
		c.fail(http.StatusBadRequest, "Compute service of "+s.host.Name+" is still in use.")
		return
	}
	password := asked.Password
	if password == nil && !shared {
		password = new(newPassword())
	}
	n.become(s, s.state, rebuilding, fromAPI)
	a := n.record(c, s, "evacuate")
	m := n.newMigration(c, s, evacuation, name)
	s.migrations = append(s.migrations, m)
	n.say(s, event{name: "evacuate", from: fromAPI, binary: "nova-api", host: controller})
	forced := dest != nil && (bool(asked.Force) || !c.atLeast(29))
	n.begin(s, func(ctx context.Context, s *server) error { return n.evacuate(ctx, s, a, m, dest, forced) })
	if c.atLeast(14) {
		c.w.WriteHeader(http.StatusOK)
		return
	}
	c.answer(http.StatusOK, map[string]any{"adminPass": password})
}

// evacuate finds another host, and builds the server there. The room at the old host is the migration's until the nova-compute there
// is back, as Nova keeps it.
func (n *Nova) evacuate(ctx context.Context, s *server, a *instanceAction, m *migration, dest *host, forced bool) error {
	from := s.host
	w := wish{zone: s.wish.zone, forced: forced}
	if dest != nil {
		w.host = dest.ID
	}
	n.config.Placement.Hand(s.id, m.uuid)
	end := n.startEvent(a, "rebuild_server", controller)
	to, err := n.schedule(s, w, from)
	end(err)
	if err != nil {
		n.config.Placement.Hand(m.uuid, s.id)
		n.mu.Lock()
		defer n.mu.Unlock()
		n.setMigration(m, "error")
		n.sayTaskError(s, "rebuild_server", err)
		return err
	}
	n.mu.Lock()
	m.dest, m.found = to.Name, true
	n.say(s, event{name: "rebuild.scheduled", versioned: "rebuild_scheduled", from: fromAPI, binary: "nova-conductor", host: controller})
	n.mu.Unlock()
	err = n.onHost(to, a, "compute_rebuild_instance", func(ctx context.Context, s *server) error {
		n.config.Desktops.Shutdown(s.id) // the old host's
		n.config.Neutron.Move(s.id, to.Name)
		return n.rebuildOn(ctx, s, a, to)
	})(ctx, s)
	if err != nil { // the server is where it was, and has nothing of the other host
		n.config.Placement.Release(s.id)
		n.config.Placement.Hand(m.uuid, s.id)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err != nil {
		n.setMigration(m, "failed")
		return err
	}
	n.setMigration(m, "done")
	return nil
}

// finishEvacuations is what nova-compute does when it starts: it clears away what went elsewhere meanwhile. It is called with the
// lock held.
func (n *Nova) finishEvacuations(h *host) {
	for _, m := range n.migrations {
		if m.kind == evacuation && m.source == h.Name && m.status == "done" {
			n.setMigration(m, "completed")
			n.config.Placement.Release(m.uuid)
		}
	}
}
