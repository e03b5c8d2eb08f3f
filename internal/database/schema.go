package database

import (
	"context"
	"fmt"
)

// Schema is the tables of one package, in the common language of both databases.
type Schema struct {
	// Table keeps the version. Several packages can share a database.
	Table string
	// Versions are the statements that lead from each version to the next, from an empty database to version 1 first. Those that
	// were released are never changed.
	Versions [][]string
}

// migrate brings the tables to the schema's version, in one transaction: whoever comes second finds them there.
func (d *Database) migrate(ctx context.Context, s Schema) error {
	return d.Transact(ctx, func(tx *Tx) error {
		if err := tx.Exec(`CREATE TABLE IF NOT EXISTS ` + s.Table + ` (version BIGINT NOT NULL PRIMARY KEY)`); err != nil {
			return err
		}
		var version int
		if err := tx.Row(`SELECT COALESCE(MAX(version), 0) FROM ` + s.Table).Scan(&version); err != nil {
			return err
		}
		if version > len(s.Versions) {
			return fmt.Errorf("%w: they are of version %d, this program knows %d: take the program that made them, or a later one",
				ErrNewer, version, len(s.Versions))
		}
		for i := version; i < len(s.Versions); i++ {
			for _, statement := range s.Versions[i] {
				if err := tx.Exec(statement); err != nil {
					return err
				}
			}
			if err := tx.Exec(`INSERT INTO `+s.Table+` (version) VALUES ($1)`, i+1); err != nil {
				return err
			}
		}
		return nil
	})
}
