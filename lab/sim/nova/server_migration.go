package nova

import (
	"net/http"
	"strconv"
)

// serverView is another form of a migration than that of os-migrations.
func (m *migration) serverView(c *call) map[string]any {
	const megabyte = 1 << 20
	v := map[string]any{
		"id": m.id, "server_uuid": m.server.id, "source_compute": m.source, "source_node": m.source, "dest_compute": textOrNull(m.dest),
		"dest_node": textOrNull(m.dest), "dest_host": nil, "status": m.status, "created_at": m.created.UTC().Format(microTime),
		"updated_at": microOrNull(m.updated), "memory_total_bytes": nil, "memory_processed_bytes": nil, "memory_remaining_bytes": nil,
		"disk_total_bytes": nil, "disk_processed_bytes": nil, "disk_remaining_bytes": nil,
	}
	if m.total > 0 {
		v["memory_total_bytes"], v["memory_processed_bytes"] = m.total*megabyte, m.done*megabyte
		v["memory_remaining_bytes"] = (m.total - m.done) * megabyte
		v["disk_total_bytes"], v["disk_processed_bytes"], v["disk_remaining_bytes"] = 0, 0, 0
	}
	if c.atLeast(59) {
		v["uuid"] = m.uuid
	}
	if c.atLeast(80) {
		v["user_id"], v["project_id"] = m.user, m.project
	}
	return v
}

// listServerMigrations are the live migrations of a server that go on.
func (n *Nova) listServerMigrations(c *call) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	s := n.find(c)
	if s == nil || !c.adminOnly("servers:migrations:index") {
		return
	}
	list := []any{}
	for _, m := range s.migrations {
		if m.goesOn() {
			list = append(list, m.serverView(c))
		}
	}
	c.answer(http.StatusOK, map[string]any{"migrations": list})
}

// serverMigration is the one of the path, nil if there is none. It is called with the lock held.
func (s *server) serverMigration(c *call) *migration {
	for _, m := range s.migrations {
		if strconv.Itoa(m.id) == c.PathValue("migration") {
			return m
		}
	}
	return nil
}

func (n *Nova) showServerMigration(c *call) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	s := n.find(c)
	if s == nil || !c.adminOnly("servers:migrations:show") {
		return
	}
	m, id := s.serverMigration(c), c.PathValue("migration")
	switch {
	case m == nil:
		c.fail(http.StatusNotFound, "In-progress live migration "+id+" is not found for server "+s.id+".")
	case m.kind != liveMigration:
		c.fail(http.StatusNotFound, "Migration "+id+" for server "+s.id+" is not live-migration.")
	case !m.goesOn():
		c.fail(http.StatusNotFound, "Live migration "+id+" for server "+s.id+" is not in progress.")
	default:
		c.answer(http.StatusOK, map[string]any{"migration": m.serverView(c)})
	}
}

// abortServerMigration ends a live migration; the server stays where it is.
func (n *Nova) abortServerMigration(c *call) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.find(c)
	if s == nil || !c.adminOnly("servers:migrations:delete") || s.refusesLocked(c) {
		return
	}
	id := c.PathValue("migration")
	if s.task != migrating {
		s.conflictIn(c, "abort live migration", s.task, "task_state")
		return
	}
	m := s.serverMigration(c)
	switch {
	case m == nil:
		c.fail(http.StatusNotFound, "Migration "+id+" not found for instance "+s.id)
	case m.abort == nil || m.status != "running" && !(c.atLeast(65) && (m.status == "queued" || m.status == "preparing")):
		c.fail(http.StatusBadRequest, "Migration "+id+" state of instance "+s.id+" is "+m.status+
			". Cannot abort live migration while the migration is in this state.")
	default:
		n.record(c, s, "live_migration_cancel")
		m.abort()
		m.abort = nil
		c.w.WriteHeader(http.StatusAccepted)
	}
}
