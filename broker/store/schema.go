package store

import "github.com/deskstorm/deskstorm/internal/database"

var schema = database.Schema{Table: "broker_schema", Versions: [][]string{{
	`CREATE TABLE IF NOT EXISTS desktops (
		id        TEXT PRIMARY KEY,
		pool      TEXT NOT NULL,
		spec      TEXT NOT NULL,
		server_id TEXT NOT NULL,
		state     TEXT NOT NULL,
		draining  BOOLEAN NOT NULL,
		broken    BIGINT NOT NULL,
		reason    TEXT NOT NULL,
		created   BIGINT NOT NULL,
		ready     BIGINT NOT NULL,
		changed   BIGINT NOT NULL)`,
	`CREATE INDEX IF NOT EXISTS desktops_by_server ON desktops (server_id)`,
	`CREATE INDEX IF NOT EXISTS desktops_by_state ON desktops (pool, state, ready, draining, spec)`,
	`CREATE TABLE IF NOT EXISTS bindings (
		pool       TEXT NOT NULL,
		kind       TEXT NOT NULL,
		key        TEXT NOT NULL,
		desktop_id TEXT NOT NULL UNIQUE REFERENCES desktops (id),
		created    BIGINT NOT NULL,
		PRIMARY KEY (pool, kind, key))`,
	`CREATE TABLE IF NOT EXISTS sessions (
		id          TEXT PRIMARY KEY,
		user_name   TEXT NOT NULL,
		seat        TEXT NOT NULL,
		thin_client TEXT NOT NULL,
		site        TEXT NOT NULL,
		desktop_id  TEXT NOT NULL UNIQUE REFERENCES desktops (id),
		allocator   TEXT NOT NULL,
		began       BIGINT NOT NULL)`,
}}}
