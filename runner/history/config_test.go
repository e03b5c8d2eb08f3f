package history_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/configfile"
	"github.com/deskstorm/deskstorm/runner/history"
)

func TestRead(t *testing.T) {
	read := func(text string) (history.Config, error) {
		r, n := configfile.Parse([]byte(text), "/etc/deskstorm/deskstorm.yaml", "the configuration")
		c := history.Read(r, n)
		return c, r.Err()
	}
	const day = 24 * time.Hour
	c, err := read("database: {file: dsn}\n")
	require.NoError(t, err)
	require.Equal(t, "/etc/deskstorm/dsn", c.Database.File)
	require.Equal(t, history.Retention{Windows: 30 * day, Runs: 730 * day, Keep: 10}, c.Retention)
	path := filepath.Join(t.TempDir(), "history.db")
	c, err = read("database: sqlite://" + path + "\nretention: {windows_days: 0, runs_days: 7, keep: 0}\n")
	require.NoError(t, err)
	require.Equal(t, history.Retention{Runs: 7 * day}, c.Retention)
	s, err := history.Open(t.Context(), c)
	require.NoError(t, err)
	require.NoError(t, s.Check(t.Context()))
	require.NoError(t, s.Close())
	for text, says := range map[string]string{
		"retention: {}\n":                                              "1:1: database is missing",
		"database: postgres://u:secret@h/d\n":                          "1:11: database: expected {file: PATH} or {env: NAME} for a DSN with a password",
		"database: mysql://h\n":                                        "1:11: database: expected sqlite:///ABSOLUTE/PATH",
		"database: sqlite:///a\nretention: {windows_days: -1}\n":       "2:27: retention.windows_days: expected a whole number from 0 to 36500, found -1",
		"database: sqlite:///a\nretention: {months: 1}\n":              "2:13: retention.months: unknown key; expected keep, runs_days, windows_days",
		"database: sqlite:///a\nretention: 5\nspool: /var/lib/spool\n": "2:12: retention: expected a mapping, found the number 5",
	} {
		_, err := read(text)
		require.ErrorContains(t, err, says)
		require.NotContains(t, err.Error(), "secret@")
	}
	_, err = history.Open(t.Context(), history.Config{Database: configfile.Secret{Env: "DESKSTORM_TEST_UNSET"}})
	require.ErrorContains(t, err, "opening the history: reading a secret: the environment variable DESKSTORM_TEST_UNSET is not set")
}
