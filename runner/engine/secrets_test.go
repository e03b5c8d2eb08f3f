package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/runner/engine"
	"github.com/deskstorm/deskstorm/runner/native"
	"github.com/deskstorm/deskstorm/runner/record"
)

// Whatever shows a secret back, it is not in the journal, the record, or the log.
func TestSecretsAreHidden(t *testing.T) {
	const fromEnv, fromFile, spelled = `hunter/2 "quoted"`, "file-s3cret", "plain-s3cret"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Token", r.Header.Get("X-Token"))
		_ = json.NewEncoder(w).Encode(map[string]any{"got " + r.Header.Get("X-Token"): []any{r.URL.Query(), r.URL.RawQuery}, "pin": 471108154711})
	}))
	t.Cleanup(s.Close)
	table := []native.Function{
		{Name: "leak", Kind: native.Action, Parameters: []native.Parameter{{Name: "token", Type: native.Text}}},
		{Name: "bug", Kind: native.Probe, Parameters: []native.Parameter{{Name: "token", Type: native.Text}},
			Run: func(_ context.Context, a native.Arguments) (any, error) { panic(a.Text("token", "")) }},
	}
	table = append(table, native.Function{Name: "tell", Kind: native.Probe, Parameters: []native.Parameter{{Name: "token", Type: native.Text}},
		Run: func(_ context.Context, a native.Arguments) (any, error) {
			return strings.Repeat("x", 150) + a.Text("token", ""), nil // cut in its middle
		}})
	path := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(path, []byte(fromFile+"\n"), 0o600))
	e := parse(t, `
title: with ${fromFile}
description: b
secrets:
  a: {fromEnv: {type: env, key: TOKEN}, fromFile: {type: file, path: `+path+`}, spelled: `+spelled+`, pin: 471108154711}
method:
  - {type: probe, name: echo, provider: {type: http, url: "`+s.URL+`/?a=${fromEnv}", headers: {X-Token: "${fromFile}"}, arguments: {b: "${fromEnv}", c: "${spelled}"}}}
  - {type: probe, name: unreachable, provider: {type: http, url: "http://127.0.0.1:1/${fromFile}?a=${fromEnv}"}}
  - {type: probe, name: no such host, provider: {type: http, url: "http://${fromFile}.invalid/"}}
  - {type: probe, name: process, provider: {type: process, path: sh, arguments: [-c, 'echo "$0"; echo $0 >&2', "${fromEnv}"]}}
  - {type: probe, name: bug, provider: {type: deskstorm, func: bug, arguments: {token: "${fromEnv}"}}}
  - {type: probe, name: judged, tolerance: nothing, provider: {type: deskstorm, func: tell, arguments: {token: "${fromFile}"}}}
  - {type: action, name: leak, provider: {type: deskstorm, func: leak, arguments: {token: "${spelled}"}}}
`, table...)
	var log bytes.Buffer
	recorder := record.NewRecorder(record.Run{})
	table[0].Run = func(_ context.Context, a native.Arguments) (any, error) { // also as a load would, whose k6 shows it
		said := "GoError: the broker does not know " + a.Text("token", "")
		recorder.Change(func(run *record.Run) { run.Generators = []record.Generator{{Stderr: said, Lost: said}} })
		return nil, errors.New(said)
	}
	journal, err := engine.Run(t.Context(), e, engine.Options{
		Table: table, Recorder: recorder,
		Log:    slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Getenv: func(string) (string, bool) { return fromEnv, true },
		Undo:   func(context.Context) error { return errors.New("no way with " + fromFile) },
	})
	require.NoError(t, err)
	require.Len(t, journal.Run, 7)
	written, err := journal.JSON()
	require.NoError(t, err)
	run := recorder.Run()
	shown, err := json.Marshal(run)
	require.NoError(t, err)
	for _, text := range []string{string(written), string(shown), string(run.Journal), log.String(), fmt.Sprintf("%+v", run)} {
		quoted, _ := json.Marshal(fromEnv)
		for _, secret := range []string{fromEnv, string(quoted[1 : len(quoted)-1]), url.QueryEscape(fromEnv), url.PathEscape(fromEnv), "hunter",
			fromFile, "file-s3c", spelled, "471108154711"} {
			require.NotContains(t, text, secret)
		}
		require.Contains(t, text, "********")
	}
	require.Contains(t, string(written), `"title": "with ********"`)
	require.Contains(t, run.Error, "undoing faults: no way with ********")
}

func TestWhatIsMissingIsToldAtOnce(t *testing.T) {
	e := parse(t, head+`
configuration:
  a: {type: env, key: A}
  b: {type: env, key: B, env_var_type: int}
  c: {type: env, key: B, env_var_type: json}
secrets: {g: {d: {type: file, path: no/such/file}}}
method: []
`)
	_, err := engine.Run(t.Context(), e, engine.Options{Getenv: func(name string) (string, bool) { return "hunter2", name == "B" }})
	require.ErrorContains(t, err, "test.yaml:6: configuration a: the environment variable A is not set; set it, or give a default")
	require.ErrorContains(t, err, "test.yaml:7: configuration b: the environment variable B: expected a whole number, found another text")
	require.ErrorContains(t, err, "test.yaml:8: configuration c: the environment variable B: expected JSON, found another text")
	require.ErrorContains(t, err, "test.yaml:9: secret g.d: reading a secret: open ")
	require.NotContains(t, err.Error(), "hunter2")
}

func TestWhatIsWrongAfterSubstitutionIsToldBeforeAnythingIsTouched(t *testing.T) {
	table := []native.Function{{Name: "fault", Kind: native.Action, Parameters: []native.Parameter{{Name: "for", Type: native.Duration}}}}
	e := parse(t, head+`
configuration: {text: hunter2, odd: "5${m", path: $.a.length(), pattern: "("}
steady-state-hypothesis:
  title: a
  probes:
    - {type: probe, name: p, tolerance: {type: regex, pattern: "${pattern}"}, provider: {type: http, url: "http://a/"}}
    - {type: probe, name: q, tolerance: {type: jsonpath, path: "${path}"}, provider: {type: http, url: "http://a/"}}
method:
  - {type: action, name: never, provider: {type: process, path: touch, arguments: [never]}}
  - {type: action, name: a, pauses: {after: "${text}"}, provider: {type: http, url: "${text}", timeout: "${text}"}}
  - {type: action, name: b, provider: {type: deskstorm, func: fault, arguments: {for: "${text}"}}}
  - {type: action, name: c, provider: {type: deskstorm, func: fault, arguments: {for: "${odd}"}}}
`, table...)
	journal, err := engine.Run(t.Context(), e, engine.Options{Table: table})
	require.Nil(t, journal)
	for _, want := range []string{
		"test.yaml:9: p: error parsing regexp",
		"test.yaml:10: q: jsonpath",
		"test.yaml:13: a: ${text} is no number of seconds; if it comes from the environment, give it env_var_type: float",
		"test.yaml:13: a: ${text} is neither a number of seconds nor a list of two",
		"test.yaml:13: a: ${text} is no address that begins with http:// or https://",
		`test.yaml:14: b: for: expected a duration such as "30s"`,
		`test.yaml:15: c: for: expected a duration such as "30s"`,
	} {
		require.ErrorContains(t, err, want)
	}
	require.NoFileExists(t, "never")
}
