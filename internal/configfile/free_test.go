package configfile_test

import (
	"testing"

	"github.com/goccy/go-yaml/ast"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/configfile"
)

func TestFree(t *testing.T) {
	r, n := configfile.Parse([]byte(`
a: [text, "12", 'yes', 12, 9223372036854775808, -1.5, true, null, ~, {}, []]
b: |
  lines
  of text
c: {d: {e: 0x1f}}
`), "f.yaml", "a file")
	got := r.Free(n)
	require.NoError(t, r.Err())
	require.Equal(t, map[string]any{
		"a": []any{"text", "12", "yes", int64(12), uint64(1) << 63, -1.5, true, nil, nil, map[string]any{}, []any{}},
		"b": "lines\nof text\n",
		"c": map[string]any{"d": map[string]any{"e": int64(31)}},
	}, got)
	require.Equal(t, 2, configfile.Line(n))
}

func TestFreeMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"a: yes":        "f.yaml:1:4: a: expected true, false, or a text in quotes, found yes",
		"on: 1":         "f.yaml:1:1: on: expected true, false, or a text in quotes, found on",
		"a: 1e3":        "f.yaml:1:4: a: expected a number in digits",
		"a: 12:30":      "f.yaml:1:4: a: expected a text in quotes, found 12:30",
		"a: .inf":       "f.yaml:1:4: a: expected a text, a number, true or false, a list or a mapping, found the number .inf",
		"a: &x [1]":     "f.yaml:1:4: a: expected a text, a number, true or false, a list or a mapping, found an anchor or alias",
		"a: !!str 1":    "f.yaml:1:4: a: expected a text, a number, true or false, a list or a mapping, found a tag",
		"a: {1: b}":     "f.yaml:1:5: expected a key that is text, found the number 1; put it in quotes",
		"a: [[[.nan]]]": "f.yaml:1:7: a[0][0][0]: expected a text",
	} {
		r, n := configfile.Parse([]byte(text), "f.yaml", "a file")
		r.Free(n)
		require.ErrorContains(t, r.Err(), want)
	}
}

func TestItems(t *testing.T) {
	r, n := configfile.Parse([]byte("a: []\nb: [1, 2]\nc: 1\n"), "f.yaml", "a file")
	var got []any
	items := r.Items(func(n ast.Node) { got = append(got, r.Free(n)) })
	r.Mapping(n, configfile.Keys{"a": items, "b": items, "c": items})
	require.Equal(t, []any{int64(1), int64(2)}, got)
	require.EqualError(t, r.Err(), "f.yaml:3:4: c: expected a list, found the number 1")
}

func TestByteOrderMark(t *testing.T) {
	r, n := configfile.Parse([]byte("\ufeffa: 1\n"), "f.yaml", "a file")
	require.Equal(t, map[string]any{"a": int64(1)}, r.Free(n))
	require.NoError(t, r.Err())
}
