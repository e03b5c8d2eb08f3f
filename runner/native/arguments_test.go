package native

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCheck(t *testing.T) {
	f := Function{Name: "f", Kind: Action, Parameters: []Parameter{
		{Name: "text", Type: Text, OneOf: []string{"a", "b"}}, {Name: "count", Type: Integer, Required: true}, {Name: "part", Type: Number},
		{Name: "on", Type: Boolean}, {Name: "for", Type: Duration}, {Name: "names", Type: List}, {Name: "more", Type: Mapping},
	}}
	for _, test := range []struct {
		name  string
		value any
		says  string // empty: it is fine
	}{
		{"text", "a", ""}, {"text", "c", "text: expected one of a, b, found a text that is none"}, {"text", 1, "found a number that is none"},
		{"count", 3.0, ""}, {"count", 3.5, "count: expected a whole number"}, {"count", uint64(1) << 60, "count: expected a whole number"},
		{"count", "3", "found a text that is none"}, {"count", nil, "found nothing"},
		{"part", math.NaN(), "part: expected a number"}, {"part", -1, ""},
		{"on", "true", "on: expected true or false"}, {"on", false, ""},
		{"for", "90s", ""}, {"for", 1.5, ""}, {"for", "-1s", "for: expected a duration"}, {"for", 1e12, "for: expected a duration"},
		{"names", []any{"x"}, ""}, {"names", []any{1}, "names: expected a list of texts, found a list"},
		{"more", map[string]any{}, ""}, {"more", []any{}, "more: expected a mapping"},
		{"other", 1, "other: unknown argument of f; expected text, count, part"},
	} {
		a := Arguments{"count": 1}
		a[test.name] = test.value
		for _, err := range []error{f.Check(a), f.CheckValues(a)} {
			if test.says == "" {
				require.NoError(t, err, "%v", a)
			} else {
				require.ErrorContains(t, err, test.says)
			}
		}
	}
	require.ErrorContains(t, f.Check(Arguments{}), "count: is missing; expected a whole number")
	open := Arguments{"count": "${count}", "for": "${for}s", "text": "${text}"}
	require.NoError(t, f.Check(open), "it may become one")
	for _, name := range []string{"count: expected", "for: expected", "text: expected"} {
		require.ErrorContains(t, f.CheckValues(open), name)
	}
	require.Equal(t, 90*time.Second, Arguments{"for": 90}.Duration("for", 0))
	require.Equal(t, 5, Arguments{}.Integer("count", 5))
}

func TestFind(t *testing.T) {
	table := []Function{{Name: "a", Kind: Action}, {Name: "b", Kind: Probe}, {Name: "c", Kind: Action}}
	_, err := Find(table, "c", Action)
	require.NoError(t, err)
	_, err = Find(table, "b", Action)
	require.EqualError(t, err, "b is a native probe; expected a native action")
	_, err = Find(table, "d", Action)
	require.EqualError(t, err, `there is no native action "d"; there are a, c`)
}
