package runner

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/runner/config"
	"github.com/deskstorm/deskstorm/runner/experiment"
	"github.com/deskstorm/deskstorm/scenarios"
)

func TestShippedExperiments(t *testing.T) {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	require.NoError(t, compiler.AddResource("experiment.json", document))
	schema, err := compiler.Compile("experiment.json")
	require.NoError(t, err)
	names := scenarios.ExperimentNames()
	require.Len(t, names, 13)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			l, err := Load(name)
			require.NoError(t, err)
			require.Equal(t, name, l.Name)
			require.Empty(t, l.Dir)
			require.NotEmpty(t, l.Title)
			require.NotEmpty(t, l.Description)
			require.NotEmpty(t, l.Tags)
			source, err := jsonschema.UnmarshalJSON(bytes.NewReader(l.Source))
			require.NoError(t, err)
			require.NoError(t, schema.Validate(source), "the schema refuses what the reader takes")
		})
	}
}

func TestFunctionsHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Functions() {
		require.False(t, seen[f.Name], f.Name)
		seen[f.Name] = true
		require.NotEmpty(t, f.Doc, f.Name)
		require.Contains(t, []experiment.Kind{experiment.Probe, experiment.Action}, f.Kind, f.Name)
	}
	require.Greater(t, len(seen), 35)
}

func TestLoadSaysWhatThereIs(t *testing.T) {
	_, err := Load("boot-strom")
	require.ErrorIs(t, err, scenarios.ErrNoExperiment)
	require.ErrorContains(t, err, "boot-storm")
	_, err = Load("./nothing.yaml")
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "shipped ones")
}

func TestVariables(t *testing.T) {
	l, err := Load("boot-storm")
	require.NoError(t, err)
	require.ErrorContains(t, l.set(map[string]any{"desk": 1}), `no configuration "desk" to replace; it has all_projects, `)
	require.NoError(t, l.set(map[string]any{"count": 3, "broker": "http://b"}))
	values, err := l.Resolve(func(string) (string, bool) { return "", false })
	require.NoError(t, err)
	require.EqualValues(t, 3, values.Substitute("${count}"))
	require.Equal(t, "http://b/x", values.Substitute("${broker}/x"))
}

func TestCheckSchedule(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "e.yaml"), []byte("title: a\ndescription: b\nmethod: 5\n"), 0o600))
	c, err := config.Parse([]byte(`schedule:
  good: {experiment: smoke, cron: "@daily"}
  unknown: {experiment: smok, cron: "@daily"}
  wrong: {experiment: e.yaml, cron: "@daily"}
  variable: {experiment: boot-storm, cron: "@daily", variables: {desk: 1}}
  calendar: {experiment: smoke, cron: "@daily", calendar: nothing.ics}
`), filepath.Join(dir, "deskstorm.yaml"))
	require.NoError(t, err)
	err = CheckSchedule(c)
	for _, says := range []string{`job unknown: no such experiment: "smok"`, "job wrong: " + filepath.Join(dir, "e.yaml") + ":3:9: ",
		`job variable: the experiment has no configuration "desk"`, "job calendar: ", "nothing.ics"} {
		require.ErrorContains(t, err, says)
	}
	require.NotContains(t, err.Error(), "job good")
}

func TestIDsSortByTime(t *testing.T) {
	at := time.Date(2026, 11, 26, 2, 15, 0, 0, time.UTC)
	a, b := newID(at), newID(at.Add(time.Second))
	require.Regexp(t, `^20261126T021500-[0-9a-f]{6}$`, a)
	require.Less(t, a, b)
	require.NotEqual(t, a, newID(at))
}

func TestSchemaIsJSON(t *testing.T) { require.True(t, json.Valid(Schema())) }
