package experiment_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/configfile"
	"github.com/deskstorm/deskstorm/runner/experiment"
	"github.com/deskstorm/deskstorm/runner/native"
)

// table has native functions with parameters of all types.
var table = []native.Function{
	{Name: "fault.net.loss", Kind: native.Action, Doc: "Drops packets.", Parameters: []native.Parameter{
		{Name: "target", Type: native.Text, Required: true, Doc: "where"},
		{Name: "percent", Type: native.Number, Required: true},
		{Name: "for", Type: native.Duration},
		{Name: "direction", Type: native.Text, OneOf: []string{"in", "out"}},
		{Name: "ports", Type: native.List},
		{Name: "count", Type: native.Integer},
		{Name: "gated", Type: native.Boolean},
		{Name: "options", Type: native.Mapping},
	}},
	{Name: "login", Kind: native.Probe, Doc: "Logs in."},
	{Name: "judge", Kind: native.Probe, Doc: "Judges.", Parameters: []native.Parameter{{Name: "value", Type: native.Integer, Required: true}}},
}

const whole = `version: 1.0.0
title: Loss on the ${where}
description: |
  Several
  lines.
tags: [net, nightly]
contributions: {reliability: high, security: none}
configuration:
  where: net1
  port: {type: env, key: PORT, env_var_type: int, default: 5672}
  cert: {type: file, path: cert.pem}
  list: [1, 2.5, {a: null}]
secrets:
  broker:
    password: {type: env, key: PASSWORD}
    token: {type: file, path: /run/token}
    spelled: hunter2
runtime:
  hypothesis: {strategy: continuously, frequency: 0.5, fail_fast: true, fail_fast_ratio: 50}
  rollbacks: {strategy: always}
steady-state-hypothesis:
  title: people can log in
  probes:
    - {type: probe, name: up, tolerance: 200, provider: {type: http, url: "http://${where}/", timeout: [1, 2.5], secrets: [broker]}}
    - {type: probe, name: login, tolerance: {type: probe, name: j, provider: {type: deskstorm, func: judge}}, provider: {type: deskstorm, func: login}}
    - {ref: look, tolerance: {type: jsonpath, path: $.a, target: stdout, count: 0}}
    - {type: probe, name: range, tolerance: {type: range, range: [1, 2.5], target: body}, provider: {type: http, url: "https://a/"}}
    - {type: probe, name: regex, tolerance: {type: regex, pattern: "^a$"}, provider: {type: http, url: "https://a/"}}
    - {type: probe, name: list, tolerance: [a, b], provider: {type: http, url: "https://a/"}}
method:
  - type: action
    name: loss
    background: true
    pauses: {before: 0.25, after: "${port}"}
    provider:
      type: deskstorm
      func: fault.net.loss
      arguments: {target: "${where}", percent: 5, for: 2m, direction: in, ports: ["1"], count: "${port}", gated: true, options: {a: 1}}
  - {type: probe, name: look, provider: {type: process, path: sh, arguments: {-c: "echo ${HOME} $$", x: 1}, timeout: 3}}
  - {ref: up, background: true}
  - {type: probe, name: noted, tolerance: 202, provider: {type: http, url: "http://a/"}}
rollbacks:
  - {type: action, name: back, provider: {type: http, url: "http://a/", method: post, headers: {X: 1}, expected_status: 204, verify_tls: false, max_retries: 2, arguments: {a: 1}}}
extensions:
  - {name: deskstorm, slo: [1]}
  - {name: other}
`

func TestParse(t *testing.T) {
	var seen string
	e, err := experiment.Parse([]byte(whole), "dir/whole.yaml", table, experiment.Extension{
		Name: "deskstorm",
		Read: func(r *configfile.Reader, n ast.Node) { seen = n.GetPath() },
	})
	require.NoError(t, err)
	require.Equal(t, "$.extensions[0]", seen)
	require.Equal(t, "Several\nlines.\n", e.Description)
	require.Equal(t, []string{"net", "nightly"}, e.Tags)
	require.Equal(t, experiment.Runtime{
		Hypothesis: experiment.HypothesisContinuously, Frequency: 500 * time.Millisecond, FailFast: true, FailFastRatio: 50,
		Rollbacks: experiment.RollbackAlways,
	}, e.Runtime)
	require.Equal(t, experiment.Value{
		Env: "PORT", Type: "int", Default: int64(5672), Optional: true, Line: 10,
	}, e.Configuration["port"])
	require.Equal(t, "dir/cert.pem", e.Configuration["cert"].Path)
	require.JSONEq(t, `{"name": "deskstorm", "slo": [1]}`, string(e.Extensions["deskstorm"]))

	up := e.Hypothesis.Probes[0]
	require.Equal(t, 24, up.Line)
	require.Equal(t, &experiment.HTTP{
		URL: "http://${where}/", Method: "GET", VerifyTLS: true,
		Timeout: experiment.Timeout{Connect: time.Second, Read: 2500 * time.Millisecond},
	}, up.HTTP)
	require.Equal(t, &experiment.Tolerance{Value: int64(200)}, up.Tolerance)
	require.Equal(t, "judge", e.Hypothesis.Probes[1].Tolerance.Probe.Native.Func)
	look := e.Hypothesis.Probes[2]
	require.Equal(t, "sh", look.Process.Path)
	require.Zero(t, *look.Tolerance.Count)
	require.Equal(t, e.Method[1].Source, look.Source)
	require.Equal(t, []any{"-c", "echo ${HOME} $$", "x", int64(1)}, look.Process.Arguments)

	loss := e.Method[0]
	require.True(t, loss.Background)
	require.Equal(t, experiment.Pause{For: 250 * time.Millisecond}, loss.Before)
	require.Equal(t, experiment.Pause{Var: "${port}"}, loss.After)
	require.Equal(t, "${where}", loss.Native.Arguments["target"])
	again := e.Method[2]
	require.Equal(t, up.HTTP, again.HTTP)
	require.Nil(t, again.Tolerance)
	require.True(t, again.Background)
	require.Equal(t, 204, e.Rollbacks[0].HTTP.ExpectedStatus)
	require.Equal(t, "POST", e.Rollbacks[0].HTTP.Method)

	require.NotContains(t, string(e.Source), "hunter2")
	require.Contains(t, string(e.Source), `"spelled":"********"`)
	require.Contains(t, string(e.Source), `"key":"PASSWORD"`)
}

func TestParseJSON(t *testing.T) {
	e, err := experiment.Parse([]byte("\ufeff{\n\t\"title\": \"a \\u00fc \\ud83d\\ude00 \\/\",\r\n\t\"description\": \"b\",\n\t\"method\": []\n}\n"),
		"a.json", nil)
	require.NoError(t, err)
	require.Equal(t, "a ü 😀 /", e.Title)
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.yaml")
	_, err := experiment.Load(path, nil)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(path, []byte(whole), 0o600))
	e, err := experiment.Load(path, table)
	require.NoError(t, err)
	require.Equal(t, path, e.File)
}

// begin is what comes before the line that a test is about, which is line 4.
const begin = "title: a\ndescription: b\nconfiguration: {n: 1, t: text}\n"

var mistakes = []struct {
	name string
	text string // after begin; "method: []" is added if there is none
	want string // after "f.yaml:"
	// unseen by the JSON schema
	unseen bool
}{
	{name: "unknown key", text: "metod: []", want: "4:1: metod: unknown key; expected configuration, contributions, description, " +
		"extensions, method, rollbacks, runtime, secrets, steady-state-hypothesis, tags, title, version"},
	{name: "controls", text: "controls: []", want: "4:1: controls: is not supported: a control is Python"},
	{name: "dry", text: "dry: actions", want: "4:1: dry: is not read from the file; use --dry-run"},
	{name: "version", text: "version: 1", want: `4:10: version: expected text (in quotes, if it is a number), found the number 1`},
	{name: "tags", text: "tags: net", want: `4:7: tags: expected a list, found the text "net"`},
	{name: "empty tag", text: "tags: ['']", want: "4:8: tags[0]: expected text, found an empty text"},
	{name: "contributions", text: "contributions: {speed: very}",
		want: `4:24: contributions.speed: expected one of high, medium, low, none; found the text "very"`},
	{name: "method is nothing", text: "method:", want: "4:9: method: expected a list, found nothing"},
	{name: "truth", text: "rollbacks: [{type: action, name: a, background: yes, provider: {type: http, url: http://a}}]",
		want: `4:49: rollbacks[0].background: expected true or false, found the text "yes"`},
	{name: "truth in arguments", text: "method: [{type: action, name: a, provider: {type: http, url: http://a, arguments: {a: on}}}]",
		want: "found on, which is a truth to some programs", unseen: true},
	{name: "number in arguments", text: "method: [{type: action, name: a, provider: {type: http, url: http://a, arguments: {a: 1e3}}}]",
		want: "found 1e3, which is a number to some programs", unseen: true},

	{name: "strategy", text: "runtime: {hypothesis: {strategy: continuous}}", want: "4:34: runtime.hypothesis.strategy: expected one of default"},
	{name: "rollback strategy", text: "runtime: {rollbacks: {strategy: sometimes}}", want: "4:33: runtime.rollbacks.strategy: expected one of default"},
	{name: "frequency", text: "runtime: {hypothesis: {frequency: 1s}}",
		want: `4:35: runtime.hypothesis.frequency: expected a number of seconds, at most a year, found the text "1s"`},
	{name: "ratio", text: "runtime: {hypothesis: {fail_fast_ratio: 101}}", want: "4:41: runtime.hypothesis.fail_fast_ratio: expected a percentage"},

	{name: "env without key", text: "secrets: {g: {a: {type: env}}}", want: "4:18: secrets.g.a: key is missing"},
	{name: "secret's default", text: "secrets: {g: {a: {type: env, key: A, default: x}}}", want: "4:38: secrets.g.a.default: a secret has no default"},
	{name: "vault", text: "secrets: {g: {a: {type: vault, path: x}}}", want: "4:18: secrets.g.a: type vault is not supported; let Vault's agent"},
	{name: "group", text: "secrets: {password: hunter2}", want: "4:21: secrets.password: expected a group of secrets, by name, found a value"},
	{name: "name", text: "secrets: {g: {a-b: x}}", want: "4:15: secrets.g.a-b: expected a name of letters, digits and '_'"},

	{name: "no tolerance", text: "steady-state-hypothesis: {title: a, probes: [{type: probe, name: a, provider: {type: http, url: http://a}}]}",
		want: "4:46: steady-state-hypothesis.probes[0]: tolerance is missing"},
	{name: "action", text: "steady-state-hypothesis: {title: a, probes: [{type: action, name: a, tolerance: 1, provider: {type: http, url: http://a}}]}",
		want: `4:53: steady-state-hypothesis.probes[0].type: expected probe, because nothing may be changed here; found the text "action"`},
	{name: "no title", text: "steady-state-hypothesis: {probes: []}", want: "4:26: steady-state-hypothesis: title is missing"},
	{name: "background in the hypothesis",
		text: "steady-state-hypothesis: {title: a, probes: [{type: probe, name: a, background: true, tolerance: 1, provider: {type: http, url: http://a}}]}",
		want: "4:69: steady-state-hypothesis.probes[0].background: a probe of the hypothesis is waited for"},

	{name: "secrets of an activity", text: "method: [{type: probe, name: a, secrets: [x], provider: {type: http, url: http://a}}]",
		want: "4:33: method[0].secrets: give the provider the names of groups, or leave this out"},
	{name: "timeout", text: "method: [{type: probe, name: a, timeout: 2, provider: {type: http, url: http://a}}]",
		want: "4:33: method[0].timeout: the Chaos Toolkit does nothing with a timeout here; give the provider one"},
	{name: "controls of an activity", text: "method: [{type: probe, name: a, controls: [], provider: {type: http, url: http://a}}]",
		want: "4:33: method[0].controls: is not supported"},
	{name: "python", text: "method: [{type: probe, name: a, provider: {type: python, module: m, func: f}}]",
		want: "4:50: method[0].provider.type: type python is not supported: deskstorm has no Python; call a program"},
	{name: "no provider", text: "method: [{type: probe, name: a}]", want: "4:10: method[0]: provider is missing"},
	{name: "pause", text: "method: [{type: probe, name: a, pauses: {before: -1}, provider: {type: http, url: http://a}}]",
		want: "4:50: method[0].pauses.before: expected a number of seconds, at most a year, found the number -1"},
	{name: "pause's name", text: "method: [{type: probe, name: a, pauses: {before: \"${no}\"}, provider: {type: http, url: http://a}}]",
		want: "4:50: method[0].pauses.before: ${no} is in neither configuration nor secrets", unseen: true},
	{name: "reference", text: "method: [{ref: nothing}]", want: `4:10: method[0]: there is no activity "nothing" in the hypothesis or the method`, unseen: true},
	{name: "reference to several", text: "method: [{type: probe, name: a, provider: {type: http, url: http://a}}, " +
		"{type: probe, name: a, provider: {type: http, url: http://a}}, {ref: a}]",
		want: `4:136: method[2]: there are several activities "a"; give them names of their own`, unseen: true},
	{name: "reference to an action", text: "steady-state-hypothesis: {title: a, probes: [{ref: a, tolerance: 1}]}\n" +
		"method: [{type: action, name: a, provider: {type: http, url: http://a}}]",
		want: `4:46: steady-state-hypothesis.probes[0]: "a" is an action; expected a probe`, unseen: true},
	{name: "reference without a tolerance", text: "steady-state-hypothesis: {title: a, probes: [{ref: a}]}\n" +
		"method: [{type: probe, name: a, provider: {type: http, url: http://a}}]",
		want: "4:46: steady-state-hypothesis.probes[0]: tolerance is missing"},
	{name: "reference to itself", text: "method: [{ref: b}, {ref: b}]", want: `there is no activity "b"`, unseen: true},

	{name: "address", text: "method: [{type: probe, name: a, provider: {type: http, url: a}}]",
		want: "4:61: method[0].provider.url: expected an address that begins with http:// or https://", unseen: true},
	{name: "name in the address", text: "method: [{type: probe, name: a, provider: {type: http, url: 'http://${no}/'}}]",
		want: "4:61: method[0].provider.url: ${no} is in neither configuration nor secrets", unseen: true},
	{name: "header", text: "method: [{type: probe, name: a, provider: {type: http, url: http://a, headers: {a: [1]}}}]",
		want: "4:84: method[0].provider.headers.a: expected text, found a list"},
	{name: "timeouts", text: "method: [{type: probe, name: a, provider: {type: http, url: http://a, timeout: [1, 2, 3]}}]",
		want: "4:80: method[0].provider.timeout: expected two numbers of seconds: [to connect, to read]"},
	{name: "groups", text: "method: [{type: probe, name: a, provider: {type: http, url: http://a, secrets: [x]}}]",
		want: `4:81: method[0].provider.secrets[0]: there is no group of secrets "x"`, unseen: true},
	{name: "key of another provider", text: "method: [{type: probe, name: a, provider: {type: http, url: http://a, path: x}}]",
		want: "4:71: method[0].provider.path: unknown key; expected arguments, expected_status, headers"},
	{name: "program", text: "method: [{type: probe, name: a, provider: {type: process, path: no-such-program}}]",
		want: "4:65: method[0].provider.path: there is no program no-such-program that may be run on this machine", unseen: true},
	{name: "arguments of a process", text: "method: [{type: probe, name: a, provider: {type: process, path: sh, arguments: [[1]]}}]",
		want: "4:81: method[0].provider.arguments[0]: expected text, found a list"},

	{name: "no function", text: "method: [{type: action, name: a, provider: {type: deskstorm, func: fault.net.los}}]",
		want: `4:68: method[0].provider.func: there is no native action "fault.net.los"; there are fault.net.loss`},
	{name: "function of the other kind", text: "method: [{type: action, name: a, provider: {type: deskstorm, func: login}}]",
		want: "4:68: method[0].provider.func: login is a native probe; expected a native action"},
	{name: "missing argument", text: "method: [{type: action, name: a, provider: {type: deskstorm, func: fault.net.loss, arguments: {target: a}}}]",
		want: "4:44: method[0].provider: argument percent: is missing; expected a number"},
	{name: "argument's type", text: "method: [{type: action, name: a, provider: {type: deskstorm, func: fault.net.loss, arguments: {target: a, percent: '5'}}}]",
		want: "4:116: method[0].provider.arguments.percent: expected a number, found a text that is none"},
	{name: "unknown argument", text: "method: [{type: action, name: a, provider: {type: deskstorm, func: fault.net.loss, arguments: {target: a, percent: 5, perc: 1}}}]",
		want: "4:125: method[0].provider.arguments.perc: unknown argument of fault.net.loss; expected target, percent"},
	{name: "one of", text: "method: [{type: action, name: a, provider: {type: deskstorm, func: fault.net.loss, arguments: {target: a, percent: 5, direction: up}}}]",
		want: "expected one of in, out"},
	{name: "duration", text: "method: [{type: action, name: a, provider: {type: deskstorm, func: fault.net.loss, arguments: {target: a, percent: 5, for: 2 min}}}]",
		want: `expected a duration such as "30s"`},
	{name: "name in an argument", text: "method: [{type: action, name: a, provider: {type: deskstorm, func: fault.net.loss, arguments: {target: 'a ${no}', percent: 5}}}]",
		want: "${no} is in neither configuration nor secrets", unseen: true},

	{name: "extension", text: "extensions: [{slo: 1}]", want: "4:14: extensions[0]: name is missing"},
	{name: "anchor", text: "tags: &a [b]", want: "4:7: tags: expected a list, found an anchor or alias", unseen: true},
	{name: "twice", text: "title: b", want: `4:1: not YAML: mapping key "title" already defined`, unseen: true},
	{name: "not YAML", text: "tags: [", want: "not YAML", unseen: true},
}

func tolerances() (all []struct {
	name, text, want string
	unseen           bool
}) {
	for _, m := range []struct {
		name, tolerance, want string
		unseen                bool
	}{
		{"fraction", "1.5", "the Chaos Toolkit takes no number with a fraction here; use {type: range", false},
		{"nothing", "null", "expected what the probe's value must be, found nothing", false},
		{"empty list", "[]", "expected the values that are fine", false},
		{"mixed limits", "[1, a]", "expected two numbers or two texts, which are limits", true},
		{"no type", "{pattern: a}", "type is missing; expected regex, jsonpath, range or probe", false},
		{"type", "{type: regexp, pattern: a}", "expected regex, jsonpath, range or probe, found the text \"regexp\"", false},
		{"pattern", "{type: regex, pattern: '('}", "expected a regular expression: error parsing regexp: missing closing )", true},
		{"lookahead", "{type: regex, pattern: '(?=a)'}", "invalid or unsupported Perl syntax: `(?=`", true},
		{"no pattern", "{type: regex}", "pattern is missing", false},
		{"path", "{type: jsonpath, path: a.b}", "expected a JSON path: jsonpath:", true},
		{"path's function", "{type: jsonpath, path: $.a.length()}", "expected a JSON path: jsonpath:", true},
		{"range", "{type: range, range: [1]}", "expected two numbers: [LOW, HIGH]", false},
		{"range of texts", "{type: range, range: [1, a]}", "range[1]: expected a number, found the text \"a\"", false},
		{"empty range", "{type: range, range: [2, 1]}", "the first number must not be above the second", true},
		{"probe without a mapping", "{type: probe, name: j, provider: {type: process, path: sh, arguments: [a]}}",
			"expected a mapping, to which the value that is judged is added", false},
		{"probe that does not take it", "{type: probe, name: j, provider: {type: deskstorm, func: login}}",
			"argument value: unknown argument of login", true},
		{"probe with a pause", "{type: probe, name: j, pauses: {before: 1}, provider: {type: process, path: sh}}",
			"a tolerance does not pause", false},
	} {
		all = append(all, struct {
			name, text, want string
			unseen           bool
		}{"tolerance " + m.name, "steady-state-hypothesis: {title: a, probes: [{type: probe, name: a, provider: {type: http, url: http://a}, tolerance: " +
			m.tolerance + "}]}", m.want, m.unseen})
	}
	return all
}

func invalid(text string) string {
	if !strings.Contains(text, "method:") {
		text += "\nmethod: []"
	}
	return begin + text + "\n"
}

func TestMistakes(t *testing.T) {
	check := func(name, text, want string) {
		t.Run(name, func(t *testing.T) {
			e, err := experiment.Parse([]byte(invalid(text)), "f.yaml", table)
			require.Nil(t, e)
			require.ErrorContains(t, err, want)
			for _, line := range strings.Split(err.Error(), "\n") {
				require.Regexp(t, `^f\.yaml:[0-9]+:[0-9]+: `, line)
			}
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
	for _, m := range mistakes {
		check(m.name, m.text, m.want)
	}
	for _, m := range tolerances() {
		check(m.name, m.text, m.want)
	}
}

func TestAllMistakesAtOnce(t *testing.T) {
	_, err := experiment.Parse([]byte(`title: 1
tags: a
method:
  - type: probe
    name: a
    provider: {type: http}
  - type: fault
    provider: {type: process, path: sh, timeout: x}
rollback: []
`), "f.yaml", nil, experiment.Extension{})
	require.EqualError(t, err, `f.yaml:1:1: description is missing
f.yaml:1:8: title: expected text (in quotes, if it is a number), found the number 1
f.yaml:2:7: tags: expected a list, found the text "a"
f.yaml:6:15: method[0].provider: url is missing
f.yaml:7:5: method[1]: name is missing
f.yaml:7:11: method[1].type: expected one of probe, action; found the text "fault"
f.yaml:8:50: method[1].provider.timeout: expected a number of seconds, at most a year, found the text "x"
f.yaml:9:1: rollback: unknown key; expected configuration, contributions, description, extensions, method, rollbacks, runtime, `+
		`secrets, steady-state-hypothesis, tags, title, version`)
}

func TestExtensionsMistakesAreTold(t *testing.T) {
	_, err := experiment.Parse([]byte(invalid("extensions: [{name: deskstorm, slo: 1}]")), "f.yaml", nil, experiment.Extension{
		Name: "deskstorm", Read: func(r *configfile.Reader, n ast.Node) { r.Wrong(n, "no good") },
	})
	require.EqualError(t, err, "f.yaml:4:14: extensions[0]: no good")
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	for _, m := range mistakes {
		f.Add([]byte(invalid(m.text)))
	}
	for _, m := range tolerances() {
		f.Add([]byte(invalid(m.text)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := experiment.Parse(data, "f.yaml", table)
		if (e == nil) == (err == nil) {
			t.Fatalf("%v, %v", e, err)
		}
		if e != nil {
			_, _ = e.Resolve(func(string) (string, bool) { return "1", true })
		}
	})
}

// The example of the documentation is one.
func TestDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../docs/experiments.md")
	require.NoError(t, err)
	_, example, ok := strings.Cut(string(text), "```yaml\n")
	require.True(t, ok)
	example, _, _ = strings.Cut(example, "```")
	_, err = experiment.Parse([]byte(example), "docs.yaml", table)
	require.NoError(t, err)
}
