package runner

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/runner/config"
)

// open opens a runner with a configuration, and a state folder of its own.
func open(t *testing.T, configuration string) *Runner {
	t.Helper()
	dir := t.TempDir()
	c, err := config.Parse([]byte("state: "+dir+"/state\n"+configuration), filepath.Join(dir, "deskstorm.yaml"))
	require.NoError(t, err)
	r, err := Open(t.Context(), c, Options{Self: []string{os.Args[0]}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return r
}

// prepare prepares a run of an experiment with such a method.
func prepare(t *testing.T, r *Runner, method string) *Run {
	t.Helper()
	path := filepath.Join(t.TempDir(), "e.yaml")
	require.NoError(t, os.WriteFile(path, []byte("title: a\ndescription: b\nmethod:\n"+method), 0o600))
	run, err := r.Prepare(Request{Experiment: path})
	require.NoError(t, err)
	return run
}

const nothing = "- {type: action, name: nothing, provider: {type: process, path: \"true\"}}\n"

func TestPointsAreInTheRecord(t *testing.T) {
	t.Parallel()
	influx := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	t.Cleanup(influx.Close)
	r := open(t, "influxdb: {url: '"+influx.URL+"', org: o, bucket: b}\n")
	run := prepare(t, r, nothing)
	result, err := run.Do(t.Context())
	require.NoError(t, err)
	require.NotNil(t, result.Run.Points)
	kept, err := r.History.Run(t.Context(), run.ID)
	require.NoError(t, err)
	require.NotNil(t, kept.Points)
}
