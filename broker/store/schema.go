package store

import (
	"context"
	"fmt"
)

// schemaVersion is that of the tables below. A database of another version is refused.
const schemaVersion = 1

// schema is in the common language of both databases.
var schema = []string{
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
}

// migrate makes the tables, or checks that they are of this version.
func (s *Store) migrate(ctx context.Context) error {
	return s.transact(ctx, func(tx *transaction) error {
		if err := tx.exec(`CREATE TABLE IF NOT EXISTS broker_schema (version BIGINT NOT NULL PRIMARY KEY)`); err != nil {
			return err
		}
		var version int
		if err := tx.row(`SELECT COALESCE(MAX(version), 0) FROM broker_schema`).Scan(&version); err != nil {
			return err
		}
		switch version {
		case schemaVersion:
			return nil
		case 0:
		default:
			return fmt.Errorf("its tables are of version %d, this program knows %d: take the program that made it", version, schemaVersion)
		}
		for _, statement := range schema {
			if err := tx.exec(statement); err != nil {
				return err
			}
		}
		return tx.exec(`INSERT INTO broker_schema (version) VALUES ($1)`, schemaVersion)
	})
}
