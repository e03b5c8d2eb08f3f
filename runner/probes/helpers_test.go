package probes

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/configfile"
	"github.com/deskstorm/deskstorm/runner/native"
	"github.com/deskstorm/deskstorm/runner/record"
)

// read reads a configuration of probes' sections.
func read(t testing.TB, text string) (Config, error) {
	t.Helper()
	var c Config
	r, n := configfile.Parse([]byte(text), filepath.Join(t.TempDir(), "deskstorm.yaml"), "the configuration")
	if n != nil {
		r.Mapping(n, c.Keys(r))
	}
	return c, r.Err()
}

func mustRead(t testing.TB, text string) Config {
	t.Helper()
	c, err := read(t, text)
	require.NoError(t, err)
	return c
}

// secret writes a secret's file and returns its path.
func secret(t testing.TB, value string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, []byte(value), 0o600))
	return path
}

// call runs a function of the table as the engine does: its arguments are checked first.
func call(t testing.TB, e Env, name string, a native.Arguments) (any, error) {
	t.Helper()
	if e.Recorder == nil {
		e.Recorder = record.NewRecorder(record.Run{})
	}
	for _, f := range Table(e) {
		if f.Name == name {
			require.NoError(t, f.Check(a))
			return f.Run(t.Context(), a)
		}
	}
	t.Fatalf("there is no %s", name)
	return nil, nil
}

// answerOf is a function's value as JSON's types, which is what tolerances and the journal see.
func answerOf(t testing.TB, e Env, name string, a native.Arguments) map[string]any {
	t.Helper()
	value, err := call(t, e, name, a)
	require.NoError(t, err)
	text, err := json.Marshal(value)
	require.NoError(t, err)
	var m map[string]any
	require.NoError(t, json.Unmarshal(text, &m))
	return m
}
