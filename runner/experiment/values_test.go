package experiment_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/runner/experiment"
)

func resolve(t *testing.T, text string, env map[string]string) *experiment.Values {
	t.Helper()
	e, err := experiment.Parse([]byte("title: a\ndescription: b\nmethod: []\n"+text), filepath.Join(t.TempDir(), "f.yaml"), nil)
	require.NoError(t, err)
	values, err := e.Resolve(func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	require.NoError(t, err)
	return values
}

func TestSubstitute(t *testing.T) {
	values := resolve(t, `
configuration:
  a: {type: env, key: A}
  n: {type: env, key: N, env_var_type: int}
  f: {type: env, key: N, env_var_type: float}
  falsity: {type: env, key: FALSITY, env_var_type: bool}
  truth: {type: env, key: A, env_var_type: bool}
  none: {type: env, key: NONE, default: null}
  given: {type: env, key: NONE, default: 7, env_var_type: int}
  list: [1, x]
  _Under9: u
secrets:
  one: {a: shadowed, password: first}
  two: {password: second}
`, map[string]string{"A": "value", "N": "12", "FALSITY": "No"})
	for _, test := range []struct{ in, want any }{
		{"${a}", "value"},
		{"x${a}y${n}", "xvaluey12"},
		{"$a $_Under9", "value u"},
		{"${n}", int64(12)},
		{"${f}", 12.0},
		{"f=${f}", "f=12.0"},
		{"${falsity}", false},
		{"${truth} ${falsity}", "True False"},
		{"${none}", nil},
		{"-${none}", "-None"},
		{"${given}", int64(7)},
		{"${list}", []any{int64(1), "x"}},
		{"${password}", "first"},
		{"$$a $${a} $", "$a ${a} $"},
		{"${unknown} $unknown", "${unknown} $unknown"},
		{"$. $.a ${} ${a b} ${1}", "$. $.a ${} ${a b} ${1}"},
		{"", ""},
		{int64(5), int64(5)},
		{map[string]any{"${a}": []any{"${n}", map[string]any{"k": "${a}"}}},
			map[string]any{"${a}": []any{int64(12), map[string]any{"k": "value"}}}},
	} {
		require.Equal(t, test.want, values.Substitute(test.in), "%v", test.in)
	}
}

func TestText(t *testing.T) { // against Python 3's str()
	for want, value := range map[string]any{
		"None": nil, "True": true, "-3": int64(-3), "18446744073709551615": uint64(18446744073709551615),
		"1.0": 1.0, "0.1": 0.1, "1e+16": 1e16, "1234567890123456.0": 1234567890123456.0, "0.0001": 1e-4, "1e-05": 1e-5, "1.5e-07": 1.5e-7,
		"2.5e+100": 2.5e100,
	} {
		require.Equal(t, want, experiment.Text(value))
	}
}

func TestFileSecret(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "s"), []byte("from a file\n"), 0o600))
	e, err := experiment.Parse([]byte("title: a\ndescription: b\nmethod: []\nsecrets: {g: {s: {type: file, path: s}}}\n"),
		filepath.Join(dir, "f.yaml"), nil)
	require.NoError(t, err)
	values, err := e.Resolve(os.LookupEnv)
	require.NoError(t, err)
	require.Equal(t, "from a file", values.Substitute("${s}"))
	require.Equal(t, "it was ********.", values.Hide("it was from a file."))
}

func TestHide(t *testing.T) {
	values := resolve(t, "secrets: {g: {a: {type: env, key: A}, b: {type: env, key: B}, c: {type: env, key: C}, n: 4711}}", map[string]string{
		"A": "p/a \"ü\"\\\n&", "B": "p/a", "C": " ",
	})
	for _, text := range []string{
		"p/a \"ü\"\\\n&", "p%2Fa%20%22%c3%BC%22%5C%0A%26", "p/a+%22ü%22%5c%0a&", `p\/a \"\u00fc\"\\\n\u0026`, `p/a \\\"ü\\\"\\\\\\n&`, "p/a", "4711",
	} {
		require.Equal(t, "<********>", values.Hide("<"+text+">"), text)
	}
	require.Equal(t, "a b", values.Hide("a b"))
	require.Equal(t, map[string]any{"k ********": []any{"********", "********", int64(47), nil, true}},
		values.HideIn(map[string]any{"k p/a": []any{"p/a", int64(4711), int64(47), nil, true}}))

	require.Equal(t, "p/a", resolve(t, "", nil).Hide("p/a"))
}

func TestDecodeJSON(t *testing.T) {
	got, err := experiment.DecodeJSON([]byte(` {"a": [1, 1.0, 9007199254740993, 1e400, 18446744073709551615, "x", null]} `))
	require.NoError(t, err)
	require.Equal(t, map[string]any{"a": []any{int64(1), 1.0, int64(9007199254740993), "1e400", 18446744073709551615.0, "x", nil}}, got)
	for _, text := range []string{"", "{", "1 2", "{}]", "nul"} {
		_, err := experiment.DecodeJSON([]byte(text))
		require.Error(t, err, text)
	}
}

func TestNumbersFromTheEnvironment(t *testing.T) {
	e, err := experiment.Parse([]byte(`title: a
description: b
method: []
configuration: {a: {type: env, key: A, env_var_type: float}}
`), "f.yaml", nil)
	require.NoError(t, err)
	for _, text := range []string{"x", "", "NaN", "Inf", "1e999"} {
		_, err := e.Resolve(func(string) (string, bool) { return text, true })
		require.EqualError(t, err, "f.yaml:4: configuration a: the environment variable A: expected a number, found another text")
	}
}

func TestSeconds(t *testing.T) {
	for _, value := range []any{int64(2), uint64(2), 2.0} {
		d, ok := experiment.Seconds(value)
		require.True(t, ok)
		require.Equal(t, 2*time.Second, d)
	}
	for _, value := range []any{nil, "2", int64(-1), math.NaN(), math.Inf(1), uint64(math.MaxUint64), true} {
		_, ok := experiment.Seconds(value)
		require.False(t, ok, "%v", value)
	}
}

func TestFingerprint(t *testing.T) {
	const text = `title: %s
description: b
configuration: {users: {type: env, key: USERS, default: "20"}}
secrets: {web: {token: {type: env, key: TOKEN}}}
method:
  - {type: action, name: come, provider: {type: process, path: /bin/true, arguments: "%s ${users}"}}
extensions: [{name: other, anything: %s}]
`
	of := func(title, argument, extension string, environment map[string]string) string {
		e, err := experiment.Parse([]byte(fmt.Sprintf(text, title, argument, extension)), "f.yaml", nil)
		require.NoError(t, err)
		values, err := e.Resolve(func(name string) (string, bool) { v, ok := environment[name]; return v, ok })
		require.NoError(t, err)
		fingerprint, err := e.Fingerprint(values)
		require.NoError(t, err)
		require.Regexp(t, "^[0-9a-f]{16}$", fingerprint)
		return fingerprint
	}
	first := of("a", "-n", "1", map[string]string{"TOKEN": "x"})
	require.Equal(t, first, of("another title", "-n", "2", map[string]string{"TOKEN": "y"}), "title, extensions and secrets do not count")
	require.Equal(t, first, of("a", "-n", "1", map[string]string{"TOKEN": "x", "USERS": "20"}), "the default is a value like others")
	require.NotEqual(t, first, of("a", "-n", "1", map[string]string{"TOKEN": "x", "USERS": "200"}))
	require.NotEqual(t, first, of("a", "-m", "1", map[string]string{"TOKEN": "x"}))
}
