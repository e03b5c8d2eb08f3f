package history

import (
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/deskstorm/deskstorm/internal/configfile"
)

// Config is where the history is, and for how long.
type Config struct {
	// Database is the DSN, sqlite:///absolute/path or postgres://user@host/database. With a password it is a secret. Required.
	Database  configfile.Secret
	Retention Retention // default: windows 30 days, runs 730 days, the last 10 of each experiment
}

// Default is a database in a file, with the default retention.
func Default(path string) Config {
	return Config{
		Database:  configfile.Plain("sqlite://" + path),
		Retention: Retention{Windows: windowsDays * day, Runs: runsDays * day, Keep: keepRuns},
	}
}

// The default retention.
const windowsDays, runsDays, keepRuns = 30, 730, 10

// Read reads the section history of deskstorm.yaml:
//
//	history:
//	  database: sqlite:///var/lib/deskstorm/history.db
//	  retention: {windows_days: 30, runs_days: 730, keep: 10}
func Read(r *configfile.Reader, n ast.Node) Config {
	windows, runs, keep := windowsDays, runsDays, keepRuns
	var c Config
	r.Mapping(n, configfile.Keys{
		"database": r.Database(&c.Database),
		"retention": func(n ast.Node) {
			r.Mapping(n, configfile.Keys{
				"windows_days": r.Number(&windows, 0, maxDays),
				"runs_days":    r.Number(&runs, 0, maxDays),
				"keep":         r.Number(&keep, 0, 100_000),
			})
		},
	}, "database")
	c.Retention = Retention{Windows: time.Duration(windows) * day, Runs: time.Duration(runs) * day, Keep: keep}
	return c
}

const (
	day     = 24 * time.Hour
	maxDays = 36_500
)
