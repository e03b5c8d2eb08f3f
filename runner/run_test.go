package runner

import (
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/runner/config"
	"github.com/deskstorm/deskstorm/runner/ledger"
	"github.com/deskstorm/deskstorm/runner/record"
	"github.com/deskstorm/deskstorm/runner/undo"
	"github.com/deskstorm/deskstorm/runner/verdict"
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

func TestAPanicIsTheEndOfItsRunOnly(t *testing.T) {
	t.Parallel()
	r := open(t, "")
	run := prepare(t, r, nothing)
	run.Experiment.Experiment = nil // a bug
	result, err := run.Do(t.Context())
	require.NoError(t, err)
	require.Equal(t, verdict.Failed, result.Verdict.Outcome)
	require.Contains(t, result.Run.Error, "a bug of deskstorm")
	kept, err := r.History.Run(t.Context(), run.ID)
	require.NoError(t, err)
	require.Equal(t, record.Aborted, kept.Status)
	require.False(t, undo.Living(r.runs(), run.ID))
	result, err = prepare(t, r, nothing).Do(t.Context())
	require.NoError(t, err)
	require.Equal(t, record.Completed, result.Run.Status)
}

func TestARunThatLeavesSomethingBehindHasNotPassed(t *testing.T) {
	t.Parallel()
	r := open(t, "")
	run := prepare(t, r, nothing)
	book, err := ledger.Open(r.Dir(run.ID)) // what it makes stays: there is no cloud
	require.NoError(t, err)
	require.NoError(t, book.Will(ledger.Resource{Target: "cloud", Kind: "server", Name: "left"}))
	require.NoError(t, book.Close())
	result, err := run.Do(t.Context())
	require.NoError(t, err)
	require.Equal(t, verdict.Failed, result.Verdict.Outcome)
	require.Contains(t, result.Verdict.Reason, "removing what the run has made")
}

func TestAVerdictThatIsNoJSONLosesNoRun(t *testing.T) {
	t.Parallel()
	r := open(t, "")
	run := prepare(t, r, nothing)
	err := run.save(Result{Run: run.Run(), Verdict: verdict.Verdict{Outcome: verdict.Passed, Figures: []verdict.Figure{{Value: math.NaN()}}}})
	require.ErrorContains(t, err, "writing the verdict")
	kept, err := r.History.Run(t.Context(), run.ID)
	require.NoError(t, err)
	require.Equal(t, "passed", kept.Outcome)
}
