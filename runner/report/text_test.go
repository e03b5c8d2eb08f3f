package report_test

import (
	"bytes"
	"encoding/xml"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/runner/record"
	"github.com/deskstorm/deskstorm/runner/report"
	"github.com/deskstorm/deskstorm/runner/verdict"
)

var update = flag.Bool("update", false, "write the golden files of testdata anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), "go test ./runner/report -update writes it anew")
}

func TestGolden(t *testing.T) {
	r := sample(t)
	var b bytes.Buffer
	require.NoError(t, r.Markdown(&b))
	golden(t, "sample.md", b.Bytes())
	b.Reset()
	require.NoError(t, r.JUnit(&b))
	golden(t, "sample.xml", b.Bytes())
	b.Reset()
	require.NoError(t, r.Text(&b, false))
	golden(t, "sample.txt", b.Bytes())
	require.NotContains(t, b.String(), "\x1b")
	b.Reset()
	require.NoError(t, r.Text(&b, true))
	require.Contains(t, b.String(), "\x1b[31mDEVIATED\x1b[0m")
}

// hostile is a run whose every text tries to be more than text.
func hostile() report.Report {
	const evil = "</script><script>alert(1)</script>\x1b[2J\x00|`](javascript:x)\n# <img src=x onerror=alert(1)>\u202e\xff]]>"
	now := time.Date(2026, 11, 26, 2, 15, 0, 0, time.UTC)
	run := record.Run{
		ID: evil, Experiment: evil, Title: evil, Trigger: evil, Began: now, Ended: now.Add(time.Minute), Status: record.Aborted, Error: evil,
		Activities: []record.Activity{
			{Phase: evil, Name: evil, Status: "failed", Error: evil, Began: now, Ended: now.Add(time.Second)},
			{Phase: evil, Name: evil, Status: evil, Began: now},
		},
		Faults:     []record.Fault{{Fault: evil, What: evil, UndoneBy: evil, Error: evil, Injected: now}},
		Generators: []record.Generator{{Activity: evil, Segment: evil, ExitCode: 107, Lost: evil, Began: now, Ended: now.Add(time.Minute)}},
		Versions:   map[string]string{evil: evil},
	}
	return report.Report{Run: run, Verdict: verdict.Judge(run, verdict.Objectives{}, nil), Nights: []verdict.Night{{Versions: map[string]string{evil: "x"}}}}
}

func TestHostileTexts(t *testing.T) {
	r := hostile()
	var b bytes.Buffer
	require.NoError(t, r.Markdown(&b))
	require.NotContains(t, b.String(), "<script")
	require.NotContains(t, b.String(), "\n# <")
	b.Reset()
	require.NoError(t, r.Text(&b, false))
	require.NotContains(t, b.String(), "\x1b")
	require.NotContains(t, b.String(), "\u202e")
	b.Reset()
	require.NoError(t, r.JUnit(&b))
	require.NoError(t, xml.Unmarshal(b.Bytes(), new(any)))
}

// suites are what a reader of JUnit's XML takes from it.
type suites struct {
	Tests    int `xml:"tests,attr"`
	Failures int `xml:"failures,attr"`
	Errors   int `xml:"errors,attr"`
	Cases    []struct {
		Class   string  `xml:"classname,attr"`
		Name    string  `xml:"name,attr"`
		Time    float64 `xml:"time,attr"`
		Error   *string `xml:"error"`
		Failure *string `xml:"failure"`
		Skipped *string `xml:"skipped"`
	} `xml:"testsuite>testcase"`
}

// TestJUnitTellsOutcomes: a pipeline that only counts must see each outcome that is no success.
func TestJUnitTellsOutcomes(t *testing.T) {
	for _, test := range []struct {
		name             string
		change           func(*record.Run)
		errors, failures bool
	}{
		{"passed", func(*record.Run) {}, false, false},
		{"deviated", func(run *record.Run) { run.Deviated = true }, false, true},
		{"no verdict", func(run *record.Run) { run.Clock.Jump, run.Deviated = time.Hour, true }, true, false},
		{"could not run", func(run *record.Run) { run.Status = record.Aborted }, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			yes := true
			run := record.Run{Experiment: "smoke", Status: record.Completed, Activities: []record.Activity{
				{Phase: "hypothesis-before", Name: "up", Status: "succeeded", ToleranceMet: &yes},
			}}
			test.change(&run)
			var b bytes.Buffer
			require.NoError(t, report.Report{Run: run, Verdict: verdict.Judge(run, verdict.Objectives{}, nil)}.JUnit(&b))
			var s suites
			require.NoError(t, xml.Unmarshal(b.Bytes(), &s))
			require.Equal(t, test.errors, s.Errors > 0, b.String())
			require.Equal(t, test.failures, s.Failures > 0, b.String())
			require.Len(t, s.Cases, s.Tests)
			names := map[string]bool{}
			for _, c := range s.Cases {
				require.False(t, names[c.Class+c.Name], "two cases are called %s", c.Name)
				names[c.Class+c.Name] = true
				require.True(t, strings.HasPrefix(c.Class, "smoke."))
			}
		})
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestWritersFail(t *testing.T) {
	r := hostile()
	require.ErrorIs(t, r.Markdown(full{}), os.ErrClosed)
	require.ErrorIs(t, r.JUnit(full{}), os.ErrClosed)
	require.ErrorIs(t, r.Text(full{}, true), os.ErrClosed)
}

// TestNothingConfigured: what activities answered, what load generators said and the journal may hold secrets, and are not shown.
func TestNothingConfigured(t *testing.T) {
	r := sample(t)
	r.Run.Journal = []byte(`{"secret": "hunter2"}`)
	for i := range r.Run.Activities {
		r.Run.Activities[i].Output = []byte(`{"body": "hunter2"}`)
	}
	for i := range r.Run.Generators {
		r.Run.Generators[i].Stderr = "password hunter2"
	}
	var b bytes.Buffer
	require.NoError(t, r.HTML(&b))
	require.NoError(t, r.Markdown(&b))
	require.NoError(t, r.JUnit(&b))
	require.NoError(t, r.Text(&b, true))
	require.NotContains(t, b.String(), "hunter2")
}

// TestDryRun: what actions would touch is shown to people, and not only in the journal.
func TestDryRun(t *testing.T) {
	now := time.Date(2026, 11, 26, 2, 15, 0, 0, time.UTC)
	run := record.Run{ID: "r", Title: "Slow", Began: now, Ended: now, Status: record.Completed, DryRun: true, Activities: []record.Activity{
		{Phase: "method", Kind: "action", Name: "late", Status: "succeeded", Output: []byte(`{"fault":"ldap.slow","for":"5m0s","notes":{},` +
			`"touches":{"targets":["lab"],"what":"requests take longer"},"undo":[{"target":"lab"},{"target":"\u001b[2J"}]}`)},
		{Phase: "method", Kind: "action", Name: "many", Status: "succeeded", Output: []byte(`{"all":[` + strings.Repeat("1,", 99) + `1]}`)},
		{Phase: "method", Kind: "action", Name: "odd", Status: "succeeded", Output: []byte(`"text"`)},
		{Phase: "method", Kind: "probe", Name: "asked", Status: "succeeded", Output: []byte(`{"answer":42}`)},
	}}
	r := report.Report{Run: run, Verdict: verdict.Judge(run, verdict.Objectives{}, nil)}
	var b bytes.Buffer
	require.NoError(t, r.Text(&b, false))
	require.Contains(t, b.String(), `  ok  method             late (0s)
        fault    "ldap.slow"
        touches  {"targets":["lab"],"what":"requests take longer"}
        for      "5m0s"
        undo     {"target":"lab"}
        undo     {"target":"\u001b[2J"}
`)
	require.Contains(t, b.String(), "... and 70 more lines; journal.json has all")
	require.NotContains(t, b.String(), "42")
}

// TestGoesOn: a run without a verdict is not one that could not be run.
func TestGoesOn(t *testing.T) {
	r := report.Report{Run: record.Run{ID: "r", Title: "Long", Began: time.Now()}}
	var b bytes.Buffer
	require.NoError(t, r.Text(&b, false))
	require.Contains(t, b.String(), "GOES ON  Long\n")
}

// TestFaultOfADeadRun: what the watchdog ended after the runner's death is among what was done.
func TestFaultOfADeadRun(t *testing.T) {
	now := time.Date(2026, 11, 26, 2, 15, 0, 0, time.UTC)
	run := record.Run{ID: "r", Title: "Died", Began: now, Ended: now, Status: record.Interrupted, Error: "the runner died", Faults: []record.Fault{
		{Fault: "ldap.slow", What: "requests take longer", Injected: now.Add(5 * time.Second), Undone: now.Add(9 * time.Second), UndoneBy: "watchdog"}}}
	r := report.Report{Run: run, Verdict: verdict.Judge(run, verdict.Objectives{}, nil)}
	var b bytes.Buffer
	require.NoError(t, r.HTML(&b))
	require.Contains(t, b.String(), "<td>ldap.slow: requests take longer</td><td>after 4s by watchdog</td>")
}
