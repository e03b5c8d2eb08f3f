package database

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
)

// What is wrong with a database as a whole. Errors that wrap them say what to do.
var (
	ErrFull        = errors.New("there is no room left")
	ErrReadOnly    = errors.New("it cannot be written")
	ErrCorrupt     = errors.New("it is damaged, or no database")
	ErrUnreachable = errors.New("it cannot be reached")
	ErrNewer       = errors.New("its tables are from a later program")
)

var errSilent = errors.New("the database did not answer")

// explain says what an error means for whoever runs the database, and what they can do.
func (d *Database) explain(err error) error {
	advice, kind := d.kind(err)
	if kind == nil || errors.Is(err, kind) {
		return err
	}
	return fmt.Errorf("%s: %w; %s (%w)", d, kind, advice, err)
}

func (d *Database) kind(err error) (advice string, kind error) {
	var lite *sqlite.Error
	var postgres *pgconn.PgError
	var connect *pgconn.ConnectError
	var network net.Error
	switch {
	case err == nil:
	case errors.As(err, &lite):
		// The primary code is the lowest byte (sqlite.org/rescode.html).
		switch lite.Code() & 0xff {
		case 13: // SQLITE_FULL
			return "make room on its file system", ErrFull
		case 8: // SQLITE_READONLY
			return "give this program's user the right to write the file and its folder, on a file system mounted for writing", ErrReadOnly
		case 14: // SQLITE_CANTOPEN
			return "make its folder, and give this program's user the right to write in it", ErrReadOnly
		case 11, 26: // SQLITE_CORRUPT, SQLITE_NOTADB
			return "move it away to begin a new one, or put a copy of it back that is whole", ErrCorrupt
		case 10: // SQLITE_IOERR: also what a full disk says where SQLite maps its shared memory
			if strings.Contains(err.Error(), "no space left") {
				return "make room on its file system", ErrFull
			}
		}
	case errors.As(err, &postgres):
		// PostgreSQL's error codes, appendix A.
		switch {
		case postgres.Code == "53100": // disk_full
			return "make room where the server keeps its data", ErrFull
		case postgres.Code == "25006": // read_only_sql_transaction
			return "it is a standby, or default_transaction_read_only is on: take the primary's address", ErrReadOnly
		case strings.HasPrefix(postgres.Code, "XX"): // data_corrupted, index_corrupted, internal_error
			return "see the server's log", ErrCorrupt
		case strings.HasPrefix(postgres.Code, "57P"), strings.HasPrefix(postgres.Code, "08"), strings.HasPrefix(postgres.Code, "53"):
			return "see whether the server runs, and how many connections it takes", ErrUnreachable
		}
	case errors.As(err, &connect), errors.As(err, &network), errors.Is(err, errSilent):
		if d.dialect.driver == "pgx" {
			return "see whether the server runs, and takes connections from this machine", ErrUnreachable
		}
	}
	return "", nil
}
