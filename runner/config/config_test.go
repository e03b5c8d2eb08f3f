package config_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/runner/config"
)

func TestExample(t *testing.T) {
	c, err := config.Load("deskstorm.yaml")
	require.NoError(t, err)
	require.Equal(t, "/var/lib/deskstorm/runner", c.State)
	require.Equal(t, []string{"control-1", "desktops", "lab", "this-machine"}, c.Targets.Names())
	require.Equal(t, []string{"oncall"}, c.Schedule.Jobs[0].Notify)
	require.Equal(t, []string{"oncall", "tickets", "team"}, c.Schedule.Jobs[1].Notify)
}

// TestExampleNamesEveryKey puts an unknown key into each mapping of the example, whose error names the known ones.
func TestExampleNamesEveryKey(t *testing.T) {
	text, err := os.ReadFile("deskstorm.yaml")
	require.NoError(t, err)
	lines := strings.Split(string(text), "\n")
	opens := regexp.MustCompile(`^ *(- )?[a-z0-9_-]+:( *#.*)?$`)
	inBrackets := regexp.MustCompile(`\{[a-z_]+:`)
	tried := 0
	try := func(i int, changed string) {
		_, err := config.Parse([]byte(changed), "/f")
		if err == nil {
			return // a mapping of free names
		}
		_, known, ok := strings.Cut(err.Error(), "nope: unknown key; expected ")
		if !ok {
			return // likewise; another mistake is not made here
		}
		known, _, _ = strings.Cut(known, "\n")
		for _, key := range strings.Split(known, ", ") {
			require.Regexp(t, `(?m)[ {#-]`+key+`:`, " "+string(text), "a key of line %d: %s", i+1, lines[i])
		}
		tried++
	}
	for i, line := range lines {
		if at := inBrackets.FindStringIndex(line); at != nil && !strings.HasPrefix(strings.TrimLeft(line, " "), "#") {
			changed := append([]string{}, lines...)
			changed[i] = line[:at[0]+1] + "nope: 1, " + line[at[0]+1:]
			try(i, strings.Join(changed, "\n"))
		}
		if !opens.MatchString(line) || i+1 == len(lines) {
			continue
		}
		next := strings.TrimLeft(lines[i+1], " ")
		indent, at := len(lines[i+1])-len(next), i+1
		if strings.HasPrefix(next, "- ") {
			indent, at = indent+2, i+2
		}
		try(i, strings.Join(append(append(append([]string{}, lines[:at]...), strings.Repeat(" ", indent)+"nope: 1"), lines[at:]...), "\n"))
	}
	require.Greater(t, tried, 35)
}

func TestMistakesAreAllTold(t *testing.T) {
	for text, want := range map[string][]string{
		"":              {"/f:1:1: expected deskstorm's configuration, found an empty file"},
		"tragets: {}\n": {"/f:1:1: tragets: unknown key; expected broker, "},
		"limits: {longest: 5}\nschedule:\n  a: {experiment: smoke, cron: \"0 2 * * *\", notify: [nobody]}\n": {
			"/f:1:19: limits.longest: expected a duration", `/f:3:54: schedule.a.notify[0]: the section notify has no receiver "nobody"`},
	} {
		_, err := config.Parse([]byte(text), "/f")
		for _, w := range want {
			require.ErrorContains(t, err, w, text)
		}
	}
}

func TestDefault(t *testing.T) {
	c, err := config.Default()
	require.NoError(t, err)
	require.True(t, filepath.IsAbs(c.State))
	require.Empty(t, c.Targets, "nothing may be broken")
	require.True(t, c.History.Database.Given())
}
