package scenarios

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBuiltInProfiles(t *testing.T) {
	require.Equal(t, []string{"callcenter", "idle", "office"}, ProfileNames())
	for _, name := range ProfileNames() {
		p, err := LoadProfile(name)
		require.NoError(t, err)
		require.Equal(t, name, p.Name)
	}
	_, err := LoadProfile("../profile")
	require.ErrorIs(t, err, ErrNoProfile)
	require.ErrorContains(t, err, "callcenter, idle, office")
}

func TestParseProfileRefuses(t *testing.T) {
	const good = `description: x
sources: [me]
wpm: 50
probe_every: 10s
vocabulary: [a]
activities:
  - {name: a, weight: 1, words: {min: 1, max: 2}, think: {median: 1s, p95: 2s}}
`
	_, err := ParseProfile([]byte(good), "good")
	require.NoError(t, err)
	for name, c := range map[string]struct{ from, to, want string }{
		"unknown key":     {"wpm: 50", "wpm: 50\nwmp: 3", `[4:1] unknown field "wmp"`},
		"wrong type":      {"wpm: 50", "wpm: fast", "[3:6]"},
		"no speed":        {"wpm: 50", "wpm: 0", "must be above 0"},
		"probe too often": {"probe_every: 10s", "probe_every: 1s", "at least 5s"},
		"no sources":      {"sources: [me]", "sources: []", "where the figures come from"},
		"no vocabulary":   {"vocabulary: [a]", "vocabulary: []", "no vocabulary"},
		"weight":          {"weight: 1", "weight: 0", "activity 1 (a): weight"},
		"range":           {"min: 1, max: 2", "min: 3, max: 2", "min <= max"},
		"think":           {"median: 1s", "median: 5s", "p95"},
		"end":             {"weight: 1,", "weight: 1, end: return,", "enter, tab or none"},
		"no activities":   {good[strings.Index(good, "activities"):], "activities: []\n", "no activities"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseProfile([]byte(strings.Replace(good, c.from, c.to, 1)), "x")
			require.ErrorContains(t, err, c.want)
		})
	}
}
