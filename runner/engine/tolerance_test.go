package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/runner/engine"
	"github.com/deskstorm/deskstorm/runner/native"
)

var tolerances = []struct {
	tolerance string
	value     string // JSON
	met       bool
}{
	{"true", "true", true},
	{"true", "1", true}, // as Python has it
	{"true", `{"status": true}`, false},
	{"1", "1", true},
	{"1", "1.0", true},
	{"1", `"1"`, false},
	{"200", `{"status": 200}`, true},
	{"200", `{"status": 503}`, false},
	{"up", `"up"`, true},
	{"up", `"upper"`, false},
	{"'${number}'", "7", true},
	{"'${number}'", `"7"`, false},
	{"'${fraction}'", "0.5", false}, // as the toolkit has it
	{"[1, 5]", "3", true},
	{"[1, 5]", "5", true},
	{"[1, 5]", "5.01", false},
	{"[1, 5]", `"3"`, false},
	{"[1, 5]", `{"status": 3}`, false},
	{"[1, 5]", `{"status": 5}`, true},
	{"[1, 5]", "null", false},
	{"[a, c]", `"b"`, true},
	{"[a, c]", `"d"`, false},
	{"[a, b, c]", `"c"`, true},
	{"[a, b, c]", `"bb"`, false},
	{"[[1], 2, 3]", "[1]", true},
	{"{type: range, range: [1, 5]}", "3.5", true},
	{"{type: range, range: [1, 5]}", `" 3.5\n"`, true},
	{"{type: range, range: [1, 5]}", `"x"`, false},
	{"{type: range, range: [1, 5]}", `"NaN"`, false},
	{"{type: range, range: [1, 5]}", "[3]", false},
	{"{type: range, range: [-0.5, 0.5], target: a}", `{"a": 0.5}`, true},
	{"{type: range, range: [-0.5, 0.5], target: a}", `{"b": 0.5}`, false},
	{"{type: regex, pattern: '^a.c$'}", `"abc\n"`, true},
	{"{type: regex, pattern: '^a.c$'}", `"abc\n\n"`, false},
	{"{type: regex, pattern: '^(a|b$)'}", `"b\n"`, true},
	{"{type: regex, pattern: '(?m)^b$'}", `"a\nb\nc"`, true},
	{"{type: regex, pattern: b}", "5", false},
	{"{type: regex, pattern: '${text}'}", `"the text"`, true},
	{"{type: jsonpath, path: $.a}", `{"a": null}`, true},
	{"{type: jsonpath, path: $.a}", `{"b": null}`, false},
	{"{type: jsonpath, path: $.a}", `"{\"a\": 1}"`, true},
	{"{type: jsonpath, path: $.a}", `"no JSON"`, false},
	{"{type: jsonpath, path: $.a, expect: 1}", `{"a": 1.0}`, true},
	{"{type: jsonpath, path: $.a, expect: [1]}", `{"a": 1}`, true},
	{"{type: jsonpath, path: $.a, expect: [[1]]}", `{"a": [1]}`, true},
	{"{type: jsonpath, path: $.a, expect: null}", `{"a": null}`, true},
	{"{type: jsonpath, path: $.a, expect: {b: [1]}}", `{"a": {"b": [1]}}`, true},
	{"{type: jsonpath, path: $.a, expect: {b: [1]}}", `{"a": {"b": [2]}}`, false},
	{"{type: jsonpath, path: '$.*', expect: [1, 2, 3]}", `{"a": 1, "b": 2, "c": 3}`, true},
	{"{type: jsonpath, path: '$..x', count: 2}", `{"a": {"x": 1}, "b": [{"x": 1}]}`, true},
	{"{type: jsonpath, path: '$.a[?@.n > 1].n', expect: [2, 2.5]}", `{"a": [{"n": 1}, {"n": 2}, {"n": 2.5}]}`, true},
	{"{type: jsonpath, path: '$.a[?@.n == 2].n', count: 1}", `{"a": [{"n": 1}, {"n": 2}]}`, true},
	{"{type: jsonpath, path: '$.a[-1]', target: body, expect: '${number}'}", `{"body": {"a": [1, 7]}}`, true},
	{"{type: probe, name: j, provider: {type: deskstorm, func: judge, arguments: {wants: '${number}'}}}", "7", true},
	{"{type: probe, name: j, provider: {type: deskstorm, func: judge, arguments: {wants: 8}}}", "7", false},
	{"{type: probe, name: j, provider: {type: deskstorm, func: judge, arguments: {wants: 8}}}", "null", false},
	{"{type: probe, name: j, provider: {type: process, path: echo}}", "7", true},
	{"{type: probe, name: j, provider: {type: http, url: 'http://127.0.0.1:1/'}}", "7", false},
}

func TestTolerance(t *testing.T) {
	for _, test := range tolerances {
		t.Run(test.tolerance+" "+test.value, func(t *testing.T) {
			table := []native.Function{
				{Name: "value", Kind: native.Probe, Run: func(context.Context, native.Arguments) (any, error) {
					return json.RawMessage(test.value), nil
				}},
				{Name: "judge", Kind: native.Probe,
					Parameters: []native.Parameter{{Name: "value", Type: native.Number, Required: true}, {Name: "wants", Type: native.Integer}},
					Run: func(_ context.Context, a native.Arguments) (any, error) {
						if a["value"] == nil {
							return nil, errors.New("nothing to judge")
						}
						return a.Integer("value", 0) == a.Integer("wants", 0), nil
					}},
			}
			e := parse(t, head+`
configuration: {number: 7, fraction: 0.5, text: text}
steady-state-hypothesis:
  title: a
  probes: [{type: probe, name: p, provider: {type: deskstorm, func: value}, tolerance: `+test.tolerance+`}]
method: []
`, table...)
			journal, err := engine.Run(t.Context(), e, engine.Options{Table: table})
			require.NoError(t, err)
			require.Equal(t, test.met, *journal.SteadyStates.Before.Met)
			require.Equal(t, test.met, *journal.SteadyStates.Before.Probes[0].ToleranceMet)
		})
	}
}

// The real toolkit finds the same. Where it ends with an exception, the value is none that the tolerance can be held against.
func TestToleranceConformance(t *testing.T) {
	program := chaos(t)
	type question struct {
		Tolerance any             `json:"tolerance"`
		Value     json.RawMessage `json:"value"`
	}
	var questions []question
	var want []bool
	for _, test := range tolerances {
		if strings.Contains(test.tolerance, "deskstorm") {
			continue
		}
		var tolerance any
		require.NoError(t, yaml.Unmarshal([]byte(test.tolerance), &tolerance))
		if m, ok := tolerance.(map[string]any); ok && m["type"] == "probe" {
			m["provider"].(map[string]any)["arguments"] = map[string]any{}
		}
		if m, ok := tolerance.(map[string]any); ok && strings.Contains(fmt.Sprint(m["path"]), "?") {
			continue // its filters are another language
		}
		questions = append(questions, question{tolerance, json.RawMessage(test.value)})
		want = append(want, test.met)
	}
	input, err := json.Marshal(questions)
	require.NoError(t, err)
	const script = `
import json, sys
from chaoslib import substitute
from chaoslib.hypothesis import within_tolerance
answers = []
for q in json.load(sys.stdin):
    configuration = {"number": 7, "fraction": 0.5, "text": "text"}
    try:
        tolerance = q["tolerance"]
        if isinstance(tolerance, str):
            tolerance = substitute(tolerance, configuration, {})
        answers.append(bool(within_tolerance(tolerance, q["value"], configuration, {})))
    except Exception:
        answers.append(False)
json.dump(answers, sys.stdout)
`
	cmd := exec.CommandContext(t.Context(), filepath.Join(filepath.Dir(program), "python"), "-c", script)
	cmd.Stdin = bytes.NewReader(input)
	output, err := cmd.Output()
	require.NoError(t, err)
	var got []bool
	require.NoError(t, json.Unmarshal(output, &got))
	require.Len(t, got, len(want))
	for i := range want {
		require.Equal(t, want[i], got[i], "%v of %s", questions[i].Tolerance, questions[i].Value)
	}
}
