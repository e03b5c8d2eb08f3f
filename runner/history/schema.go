package history

import "github.com/deskstorm/deskstorm/internal/database"

// Times are microseconds since 1970. What is measured is kept per run and series: in total, and for each hour the windows in
// between, packed and deflated (results.Pack): a night of 8 hours has 800 such rows of 100 series and not 288,000.
var schema = database.Schema{Table: "history_schema", Versions: [][]string{{
	`CREATE TABLE runs (
		id           TEXT PRIMARY KEY,
		experiment   TEXT NOT NULL,
		title        TEXT NOT NULL,
		triggered_by TEXT NOT NULL,
		began        BIGINT NOT NULL,
		ended        BIGINT NOT NULL,
		running      BOOLEAN NOT NULL,
		status       TEXT NOT NULL,
		deviated     BOOLEAN NOT NULL,
		dry_run      BOOLEAN NOT NULL,
		outcome      TEXT NOT NULL,
		error        TEXT NOT NULL,
		run          TEXT NOT NULL)`,
	`CREATE INDEX runs_by_experiment ON runs (experiment, began)`,
	`CREATE INDEX runs_by_time ON runs (began)`,
	`CREATE TABLE steps (
		run_id        TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
		number        BIGINT NOT NULL,
		phase         TEXT NOT NULL,
		name          TEXT NOT NULL,
		began         BIGINT NOT NULL,
		ended         BIGINT NOT NULL,
		status        TEXT NOT NULL,
		tolerance_met BOOLEAN,
		error         TEXT NOT NULL,
		PRIMARY KEY (run_id, number))`,
	`CREATE TABLE faults (
		run_id    TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
		number    BIGINT NOT NULL,
		id        TEXT NOT NULL,
		fault     TEXT NOT NULL,
		what      TEXT NOT NULL,
		injected  BIGINT NOT NULL,
		undone    BIGINT NOT NULL,
		undone_by TEXT NOT NULL,
		error     TEXT NOT NULL,
		PRIMARY KEY (run_id, number))`,
	`CREATE TABLE versions (
		run_id  TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
		name    TEXT NOT NULL,
		version TEXT NOT NULL,
		PRIMARY KEY (run_id, name))`,
	`CREATE INDEX versions_by_name ON versions (name, version)`,
	// The percentiles are for people with a SQL prompt; programs read the histogram in packed. They are NULL where there are none.
	`CREATE TABLE totals (
		run_id  TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
		number  BIGINT NOT NULL,
		metric  TEXT NOT NULL,
		kind    TEXT NOT NULL,
		site    TEXT NOT NULL,
		step    TEXT NOT NULL,
		profile TEXT NOT NULL,
		path    TEXT NOT NULL,
		class   TEXT NOT NULL,
		count   BIGINT NOT NULL,
		sum     DOUBLE PRECISION NOT NULL,
		p50     DOUBLE PRECISION,
		p95     DOUBLE PRECISION,
		p99     DOUBLE PRECISION,
		packed  BYTEA NOT NULL,
		PRIMARY KEY (run_id, number))`,
	`CREATE TABLE windows (
		run_id  TEXT NOT NULL,
		number  BIGINT NOT NULL,
		hour    BIGINT NOT NULL,
		windows BIGINT NOT NULL,
		packed  BYTEA NOT NULL,
		PRIMARY KEY (run_id, number, hour),
		FOREIGN KEY (run_id, number) REFERENCES totals (run_id, number) ON DELETE CASCADE)`,
	`CREATE TABLE verdicts (
		run_id  TEXT PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
		outcome TEXT NOT NULL,
		verdict TEXT NOT NULL)`,
	`CREATE TABLE journals (
		run_id TEXT PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
		packed BYTEA NOT NULL)`,
	`CREATE TABLE state (
		key     TEXT PRIMARY KEY,
		value   BYTEA NOT NULL,
		updated BIGINT NOT NULL)`,
	`CREATE TABLE leases (
		name    TEXT PRIMARY KEY,
		holder  TEXT NOT NULL,
		run_id  TEXT NOT NULL,
		token   BIGINT NOT NULL,
		renewed BIGINT NOT NULL,
		until   BIGINT NOT NULL)`,
}}}
