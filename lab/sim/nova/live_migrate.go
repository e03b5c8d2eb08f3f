package nova

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/deskstorm/deskstorm/lab/sim/placement"
)

// liveMigrateAction is POST action os-migrateLive. Until 2.33 it answers when the conductor has found a host, then at once.
func (n *Nova) liveMigrateAction(c *call, raw rawJSON) {
	var asked struct {
		Host  *string
		Force flag
	}
	auto := func(raw rawJSON) *flaw {
		if c.atLeast(25) && stringOf(raw) == "auto" {
			return nil
		}
		return boolean(raw)
	}
	properties := []property{{"block_migration", auto}, {"host", orNull(hostName, "string")}}
	required := []string{"block_migration", "host"}
	if !c.atLeast(25) {
		properties = append(properties, property{"disk_over_commit", boolean})
		required = []string{"block_migration", "disk_over_commit", "host"}
	}
	if c.atLeast(30) && !c.atLeast(68) {
		properties = append(properties, property{"force", boolean})
	}
	if !c.passes("os-migrateLive", raw, object(required, properties...), &asked) {
		return
	}
	var dest *host
	ready := make(chan error, 1)
	var finished <-chan struct{}
	begun := func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		s := n.find(c)
		if s == nil || !c.adminOnly("os-migrate-server:migrate_live") {
			return false
		}
		if bool(asked.Force) && (asked.Host == nil || *asked.Host == "") {
			c.fail(http.StatusBadRequest, "Can't force to a non-provided destination")
			return false
		}
		if s.refusesLocked(c) || !s.ready(c, "os-migrateLive", active, paused) {
			return false
		}
		name := ""
		if asked.Host != nil && *asked.Host != "" {
			name = *asked.Host
			if dest = n.hostNamed(name); dest == nil {
				c.fail(http.StatusBadRequest, "Compute host "+name+" could not be found.")
				return false
			}
		}
		// Since 2.30 the scheduler looks at a host that was asked for, unless it is forced.
		forced := dest != nil && (bool(asked.Force) || !c.atLeast(30))
		task := "live_migrate_instance"
		if !c.atLeast(34) {
			task = "migrate_server"
		}
		n.become(s, s.state, migrating, fromAPI)
		a := n.record(c, s, "live-migration")
		m := n.newMigration(c, s, liveMigration, "")
		if forced {
			m.dest = name
		}
		s.migrations = append(s.migrations, m)
		finished = n.begin(s, func(ctx context.Context, s *server) error {
			return n.liveMigrate(ctx, s, a, m, dest, forced, task, ready)
		})
		return true
	}()
	if !begun {
		return
	}
	if !c.atLeast(34) {
		var err error
		select {
		case err = <-ready:
		case <-c.Context().Done():
			return
		case <-finished:
			select {
			case err = <-ready:
			default: // the server was deleted before it began
			}
		}
		if err != nil {
			c.fail(http.StatusBadRequest, err.Error())
			return
		}
	}
	c.w.WriteHeader(http.StatusAccepted)
}

// errAborted ends a live migration that somebody did not want any more.
var errAborted = errors.New("the live migration was aborted")

// liveMigrate is the conductor's part, and then that of the two hosts. What fails leaves the server where it is.
func (n *Nova) liveMigrate(ctx context.Context, s *server, a *instanceAction, m *migration, dest *host, forced bool, task string,
	ready chan<- error) error {
	from := s.host
	end := n.startEvent(a, "conductor_"+task, controller)
	to, err := n.destination(ctx, s, m, from, dest, forced)
	if err == nil {
		destination := n.startEvent(a, "compute_check_can_live_migrate_destination", to.Name)
		n.startEvent(a, "compute_check_can_live_migrate_source", from.Name)(nil)
		destination(nil)
	}
	end(err)
	ready <- err
	if err != nil {
		n.mu.Lock()
		defer n.mu.Unlock()
		if ctx.Err() == nil {
			n.setMigration(m, "error")
			s.fault = n.faultOf(err)
			n.enter(s, s.state, "")
			n.sayTaskError(s, "migrate_server", err)
		}
		return nil
	}
	if err := n.reach(ctx, from); err != nil {
		n.unmigrate(s, m, "error")
		return err
	}
	n.startEvent(a, "compute_live_migration", from.Name)(nil) // it only begins
	err = n.copyMemory(ctx, s, a, m, from, to)
	switch {
	case errors.Is(err, errAborted):
		n.unmigrate(s, m, "cancelled")
		return nil
	case err != nil:
		n.unmigrate(s, m, "failed")
		return err
	}
	return nil
}

// destination finds a host and claims room there, while the migration holds the room where the server comes from.
func (n *Nova) destination(ctx context.Context, s *server, m *migration, from, dest *host, forced bool) (*host, error) {
	n.mu.RLock()
	fromUp, destUp := n.up(from), dest != nil && n.up(dest)
	n.mu.RUnlock()
	unavailable := func(h *host) error {
		return exception{"ComputeServiceUnavailable", "Compute service of " + h.Name + " is unavailable at this time."}
	}
	if !fromUp {
		return nil, unavailable(from)
	}
	if forced {
		switch why := n.lacksMemory(s, dest); {
		case dest == from:
			return nil, exception{"UnableToMigrateToSelf", "Unable to migrate instance (" + s.id + ") to current host (" + dest.Name + ")."}
		case !destUp:
			return nil, unavailable(dest)
		case why != nil:
			return nil, why
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	n.config.Placement.Hand(s.id, m.uuid)
	w := wish{zone: s.wish.zone, forced: forced}
	if dest != nil {
		w.host = dest.ID
	}
	to, err := n.schedule(s, w, from)
	if err != nil {
		n.config.Placement.Hand(m.uuid, s.id)
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	m.dest, m.found, s.zone = to.Name, true, n.zoneOf(to)
	n.setMigration(m, "queued")
	return to, nil
}

// lacksMemory is the one thing that the conductor looks at before it forces a server onto a host.
func (n *Nova) lacksMemory(s *server, dest *host) error {
	memory := n.config.Placement.Inventories(dest.ID)[placement.MemoryMB]
	used := n.config.Placement.Usage(dest.ID)[placement.MemoryMB] + memory.Reserved
	if avail := float64(memory.Total)*memory.AllocationRatio - float64(used); avail <= float64(s.flavor.RAM) {
		return exception{"MigrationPreCheckError", fmt.Sprintf(
			"Migration pre-check error: Unable to migrate %s to %s: Lack of memory(host:%.1f <= instance:%d)",
			s.id, dest.Name, avail, s.flavor.RAM)}
	}
	return nil
}

// copyMemory takes a server from one host to another. Its desktop goes on, and its SPICE server where it was.
func (n *Nova) copyMemory(ctx context.Context, s *server, a *instanceAction, m *migration, from, to *host) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	n.mu.Lock()
	n.setMigration(m, "preparing")
	m.abort = func() { cancel(errAborted) }
	n.mu.Unlock()
	aborted := func() error {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		return nil
	}
	if n.reach(ctx, to) != nil { // asked for what it needs to receive the server
		return aborted()
	}
	there, here := source{"compute", to.Name}, source{"compute", from.Name}
	end := n.startEvent(a, "compute_pre_live_migration", to.Name)
	n.mu.Lock()
	n.say(s, event{name: "live_migration.pre.start", versioned: "live_migration_pre.start", from: there, fixedIPs: true})
	n.say(s, event{name: "live_migration.pre.end", versioned: "live_migration_pre.end", from: there, fixedIPs: true})
	m.total = s.flavor.RAM
	n.setMigration(m, "running")
	n.mu.Unlock()
	end(nil)
	if sleep(ctx, n.bootDuration()) != nil {
		return aborted()
	}
	if hw := n.config.Hardware; hw != nil {
		if err := hw.Move(s.id, to.Name); err != nil {
			return err
		}
	}
	n.mu.Lock()
	m.abort, m.done = nil, m.total
	n.say(s, event{name: "live_migration._post.start", versioned: "live_migration_post.start", from: here, fixedIPs: true})
	n.mu.Unlock()
	n.config.Neutron.Move(s.id, to.Name)
	end = n.startEvent(a, "compute_post_live_migration_at_destination", to.Name)
	n.mu.Lock()
	n.say(s, event{name: "live_migration.post.dest.start", versioned: "live_migration_post_dest.start", from: there, fixedIPs: true})
	n.settle(s, to)
	n.enter(s, s.state, "")
	n.say(s, event{name: "live_migration.post.dest.end", versioned: "live_migration_post_dest.end", from: there, fixedIPs: true})
	n.mu.Unlock()
	end(nil)
	n.config.Placement.Release(m.uuid)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.say(s, event{name: "live_migration._post.end", versioned: "live_migration_post.end", from: here, fixedIPs: true})
	n.setMigration(m, "completed")
	return nil
}

// settle makes a host a server's. It is called with the lock held.
func (n *Nova) settle(s *server, h *host) {
	if s.host != nil {
		delete(s.host.servers, s.id)
	}
	s.host, s.zone = h, n.zoneOf(h)
	h.servers[s.id] = s
}

// unmigrate gives back what a migration holds, and leaves the server where it was.
func (n *Nova) unmigrate(s *server, m *migration, status string) {
	n.config.Placement.Release(s.id)
	n.config.Placement.Hand(m.uuid, s.id)
	n.mu.Lock()
	defer n.mu.Unlock()
	m.abort = nil
	for _, phase := range []string{"start", "end"} {
		n.say(s, event{name: "live_migration._rollback." + phase, versioned: "live_migration_rollback." + phase, from: s.fromHost()})
		if phase == "start" {
			n.enter(s, s.state, "")
		}
	}
	n.setMigration(m, status)
}
