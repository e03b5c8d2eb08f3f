package database_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/database"
	"github.com/deskstorm/deskstorm/internal/disktest"
	"github.com/deskstorm/deskstorm/lab/postgres"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
)

func schema(versions int) database.Schema {
	return database.Schema{Table: "test_schema", Versions: [][]string{
		{`CREATE TABLE things (name TEXT PRIMARY KEY, content BYTEA)`},
		{`ALTER TABLE things ADD COLUMN age BIGINT NOT NULL DEFAULT 7`},
	}[:versions]}
}

func dsn(t *testing.T, dir string) string {
	t.Helper()
	return "sqlite://" + filepath.Join(dir, "test.db")
}

func startPostgres(t *testing.T) *postgres.Server {
	t.Helper()
	qemutest.RequireProgram(t, postgres.Program(), "postgresql")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	server, err := postgres.Start(ctx)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	return server
}

func put(t *testing.T, d *database.Database, name string, size int) error {
	t.Helper()
	return d.Transact(t.Context(), func(tx *database.Tx) error {
		return tx.Exec(`INSERT INTO things (name, content) VALUES ($1, $2)`, name, make([]byte, size))
	})
}

func TestVersions(t *testing.T) {
	test := func(t *testing.T, dsn string) {
		d, err := database.Open(t.Context(), dsn, schema(1))
		require.NoError(t, err)
		require.NoError(t, put(t, d, "old", 1))
		require.NoError(t, d.Close())

		d, err = database.Open(t.Context(), dsn, schema(2))
		require.NoError(t, err)
		require.NoError(t, d.Check(t.Context()))
		var age int
		require.NoError(t, d.Row(t.Context(), `SELECT age FROM things WHERE name = $1`, "old").Scan(&age))
		require.Equal(t, 7, age)
		require.NoError(t, d.View(t.Context(), time.Minute, func(tx *database.Tx) error {
			require.NoError(t, tx.Row(`SELECT age FROM things WHERE name = $1`, "old").Scan(&age))
			return nil
		}))
		require.Error(t, d.View(t.Context(), time.Minute, func(tx *database.Tx) error {
			return tx.Exec(`DELETE FROM things`)
		}), "a view only reads")
		require.NoError(t, d.Close())

		_, err = database.Open(t.Context(), dsn, schema(1))
		require.ErrorIs(t, err, database.ErrNewer)
		require.ErrorContains(t, err, "version 2, this program knows 1")
	}
	t.Run("SQLite", func(t *testing.T) { test(t, dsn(t, t.TempDir())) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, startPostgres(t).DSN) })
}

func TestFullDisk(t *testing.T) {
	dir := disktest.New(t, "1m")
	d, err := database.Open(t.Context(), dsn(t, dir), schema(1))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	require.NoError(t, put(t, d, "small", 1000))
	err = put(t, d, "large", 2<<20)
	require.ErrorIs(t, err, database.ErrFull)
	require.ErrorContains(t, err, filepath.Join(dir, "test.db")+": there is no room left; make room on its file system")
	var names int
	require.NoError(t, d.Row(t.Context(), `SELECT COUNT(*) FROM things`).Scan(&names))
	require.Equal(t, 1, names, "nothing half done")
	require.NoError(t, put(t, d, "small again", 1000), "it goes on")
}

func TestFullDiskAtStart(t *testing.T) {
	dir := disktest.New(t, "64k")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ballast"), make([]byte, 60<<10), 0o600))
	_, err := database.Open(t.Context(), dsn(t, dir), schema(1))
	require.ErrorIs(t, err, database.ErrFull)
}

func TestReadOnly(t *testing.T) {
	dir := disktest.New(t, "4m")
	d, err := database.Open(t.Context(), dsn(t, dir), schema(1))
	require.NoError(t, err)
	require.NoError(t, d.Close())
	require.NoError(t, syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	_, err = database.Open(t.Context(), dsn(t, dir), schema(1))
	require.ErrorIs(t, err, database.ErrReadOnly)
	require.ErrorContains(t, err, "right to write")
}

func TestNoFolder(t *testing.T) {
	_, err := database.Open(t.Context(), dsn(t, "/no/such/folder"), schema(1))
	require.ErrorIs(t, err, database.ErrReadOnly)
	require.ErrorContains(t, err, "/no/such/folder/test.db")
	require.ErrorContains(t, err, "make its folder")
}

func TestDamaged(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "test.db")
	d, err := database.Open(t.Context(), dsn(t, dir), schema(1))
	require.NoError(t, err)
	for _, name := range []string{"a", "b", "c", "d"} {
		require.NoError(t, put(t, d, name, 20_000))
	}
	require.NoError(t, d.Close())
	whole, err := os.ReadFile(path)
	require.NoError(t, err)

	require.NoError(t, os.WriteFile(path, []byte("Dear diary, today I was no database, and did not want to be one.\n"), 0o600))
	_, err = database.Open(t.Context(), dsn(t, dir), schema(1))
	require.ErrorIs(t, err, database.ErrCorrupt)
	require.ErrorContains(t, err, "move it away")

	for i := 4096; i < len(whole); i++ {
		whole[i] = 0xa5
	}
	require.NoError(t, os.WriteFile(path, whole, 0o600))
	_, err = database.Open(t.Context(), dsn(t, dir), schema(1))
	require.ErrorIs(t, err, database.ErrCorrupt)
}

func TestUnreachable(t *testing.T) {
	_, err := database.Open(t.Context(), "postgres://u:secret@127.0.0.1:1/db?sslmode=disable", schema(1))
	require.ErrorIs(t, err, database.ErrUnreachable)
	require.ErrorContains(t, err, "see whether the server runs")
	require.NotContains(t, err.Error(), "secret")

	server := startPostgres(t)
	d, err := database.Open(t.Context(), server.DSN, schema(1))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	require.NoError(t, put(t, d, "a", 1))
	require.NoError(t, server.Close())
	require.ErrorIs(t, put(t, d, "b", 1), database.ErrUnreachable)
	require.ErrorIs(t, d.Check(t.Context()), database.ErrUnreachable)
}

func TestReadOnlyServer(t *testing.T) {
	server := startPostgres(t)
	_, err := database.Open(t.Context(), server.DSN+"&default_transaction_read_only=on", schema(1))
	require.ErrorIs(t, err, database.ErrReadOnly)
	require.ErrorContains(t, err, "the primary's address")
}

// A function that gives up takes back what it did, and its own error is what the caller gets.
func TestGivesUp(t *testing.T) {
	d, err := database.Open(t.Context(), dsn(t, t.TempDir()), schema(1))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	mine := errors.New("mine")
	require.Equal(t, mine, d.Transact(t.Context(), func(tx *database.Tx) error {
		require.NoError(t, tx.Exec(`INSERT INTO things (name) VALUES ('a')`))
		return mine
	}))
	var names int
	require.NoError(t, d.Row(t.Context(), `SELECT COUNT(*) FROM things`).Scan(&names))
	require.Zero(t, names)
	slow := d.TransactWithin(t.Context(), time.Millisecond, func(tx *database.Tx) error {
		return tx.Exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000) SELECT COUNT(*) FROM n`)
	})
	require.ErrorContains(t, slow, "did not answer within 1ms")
}
