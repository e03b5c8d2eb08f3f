package nova

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// The types of migrations.
const (
	liveMigration = "live-migration"
	evacuation    = "evacuation"
)

// migration is the record of a server's way to another host. Nova.mu guards it.
type migration struct {
	id            int
	uuid          string
	server        *server
	source, dest  string // hosts' names; an empty destination is not known yet
	found         bool   // there is a destination
	kind, status  string
	user, project string
	created       time.Time
	updated       time.Time // zero: never
	done, total   int       // MB of memory; 0 of 0 before it is copied
	abort         func()    // of one that goes on; nil: too late
}

// maxMigrations are remembered.
const maxMigrations = 10_000

// newMigration is called with the lock held.
func (n *Nova) newMigration(c *call, s *server, kind, dest string) *migration {
	n.migrationIDs++
	m := &migration{
		id: n.migrationIDs, uuid: uuid.NewString(), server: s, source: s.host.Name, dest: dest, kind: kind, status: "accepted",
		user: c.caller.UserID, project: c.caller.ProjectID, created: n.config.Now(),
	}
	if len(n.migrations) == maxMigrations {
		n.migrations = slices.Clone(n.migrations[1:])
	}
	n.migrations = append(n.migrations, m)
	return m
}

// setMigration is called with the lock held.
func (n *Nova) setMigration(m *migration, status string) {
	m.status, m.updated = status, n.config.Now()
}

// inProgress are the states of a live migration that goes on.
var inProgress = []string{"queued", "preparing", "running", "post-migrating"}

func (m *migration) goesOn() bool {
	return m.kind == liveMigration && slices.Contains(inProgress, m.status)
}

// evacuates tells whether an evacuation goes on.
func (m *migration) evacuates() bool { return m.kind == evacuation && m.status == "accepted" }

func (m *migration) view(n *Nova, c *call) map[string]any {
	v := map[string]any{
		"id": m.id, "instance_uuid": m.server.id, "source_compute": m.source, "source_node": nil, "dest_compute": textOrNull(m.dest),
		"dest_node": nil, "dest_host": nil, "status": m.status, "old_instance_type_id": nil, "new_instance_type_id": nil,
		"created_at": m.created.UTC().Format(microTime), "updated_at": microOrNull(m.updated),
	}
	if m.found {
		v["source_node"], v["dest_node"] = m.source, m.dest
	}
	if m.kind == liveMigration {
		v["old_instance_type_id"], v["new_instance_type_id"] = m.server.flavor.number, m.server.flavor.number
	}
	if c.atLeast(23) {
		v["migration_type"] = m.kind
		if m.goesOn() {
			path := "/servers/" + m.server.id + "/migrations/" + strconv.Itoa(m.id)
			v["links"] = []link{{"self", n.config.URL + "/v2.1" + path}, {"bookmark", n.config.URL + path}}
		}
	}
	if c.atLeast(59) {
		v["uuid"] = m.uuid
	}
	if c.atLeast(80) {
		v["user_id"], v["project_id"] = m.user, m.project
	}
	return v
}

func microOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(microTime)
}

// listMigrations are in the order of their making until 2.58, then newest first and in pages.
func (n *Nova) listMigrations(c *call) {
	q := service.Query{Values: c.URL.Query()}
	names := []string{"hidden", "host", "instance_uuid", "source_compute", "status", "migration_type", "limit", "marker", "changes-since"}
	if c.atLeast(66) {
		names = append(names, "changes-before")
	}
	if c.atLeast(80) {
		names = append(names, "user_id", "project_id")
	}
	if c.refusesQuery(59, names...) {
		return
	}
	p, changed := page{limit: maxPage}, span{}
	if c.atLeast(59) {
		var err error
		if p, err = c.page(); c.failed(err) {
			return
		}
		if changed, err = changes(q.Values); c.failed(err) {
			return
		}
	}
	if !c.adminOnly("os-migrations:index") {
		return
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	var found []*migration
	for _, m := range n.migrations {
		if q.Allows("instance_uuid", m.server.id) && q.Allows("status", m.status) && q.Allows("migration_type", m.kind) &&
			q.Allows("source_compute", m.source) && (q.Allows("host", m.source) || q.Allows("host", m.dest)) &&
			(!c.atLeast(80) || q.Allows("user_id", m.user) && q.Allows("project_id", m.project)) &&
			changed.has(maxTime(m.updated, m.created)) {
			found = append(found, m)
		}
	}
	if c.atLeast(59) {
		slices.Reverse(found)
	}
	if p.marker != "" {
		i := slices.IndexFunc(found, func(m *migration) bool { return m.uuid == p.marker })
		if i < 0 {
			c.fail(http.StatusBadRequest, "Marker "+p.marker+" could not be found.")
			return
		}
		found = found[i+1:]
	}
	found = found[:min(p.limit, len(found))]
	list := []any{}
	for _, m := range found {
		list = append(list, m.view(n, c))
	}
	body := map[string]any{"migrations": list}
	if c.atLeast(59) && len(found) > 0 {
		if links := n.next(c, p, len(found), "os-migrations", found[len(found)-1].uuid); links != nil {
			body["migrations_links"] = links
		}
	}
	c.answer(http.StatusOK, body)
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
