package exporters

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/configfile"
)

func TestExample(t *testing.T) {
	c, err := Load("exporter.yaml")
	require.NoError(t, err)
	var names []string
	for _, s := range c.sections {
		names = append(names, s.name)
	}
	require.Equal(t, Names(), names, "the example has every exporter, in the table's order")
}

// TestExampleNamesEveryKey puts an unknown key into each mapping of the example, whose error names the known ones.
func TestExampleNamesEveryKey(t *testing.T) {
	text, err := os.ReadFile("exporter.yaml")
	require.NoError(t, err)
	lines := strings.Split(string(text), "\n")
	opens := regexp.MustCompile(`^( *)(- )?[a-z_]+:( *#.*)?$`)
	tried := 0
	for i, line := range lines {
		m := opens.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		next := strings.TrimLeft(lines[i+1], " ")
		indent := len(lines[i+1]) - len(next)
		if strings.HasPrefix(next, "- ") && !regexp.MustCompile(`^- [a-z_]+:`).MatchString(next) {
			continue // a list of values or of mappings in brackets
		}
		at := i + 1
		if strings.HasPrefix(next, "- ") {
			indent, at = indent+2, i+2
		}
		changed := strings.Join(append(append(append([]string{}, lines[:at]...), strings.Repeat(" ", indent)+"nope: 1"), lines[at:]...), "\n")
		_, err := Parse([]byte(changed), "f")
		if err == nil {
			require.Contains(t, line, "groups:", "a mapping of free names")
			continue
		}
		if strings.Contains(line, "groups:") {
			continue
		}
		require.ErrorContains(t, err, "nope: unknown key; expected ", "line %d: %s", i+1, line)
		_, known, _ := strings.Cut(err.Error(), "expected ")
		known, _, _ = strings.Cut(known, "\n")
		for _, key := range strings.Split(known, ", ") {
			require.Regexp(t, `(?m)[ {-]`+key+`:`, " "+string(text), "a key of line %d: %s", i+1, line)
		}
		tried++
	}
	require.Greater(t, tried, 12)
}

func TestMistakes(t *testing.T) {
	for text, want := range map[string][]string{
		"":                      {"f:1:1: expected the exporters' configuration, found an empty file"},
		"{}":                    {"f:1:1: expected a section for at least one of activeusers, bootstorm, dhcp, openstack, ports, rabbitmq, found none"},
		"dhpc: {}\nports: 5\n":  {"f:1:1: dhpc: unknown key; expected activeusers, ", "f:2:8: ports: expected a mapping, found the number 5"},
		"ports: {grace: 5}\n":   {"f:1:16: ports.grace: expected a duration"},
		"bootstorm: {cloud: [}": {"f:1:", "not YAML"},
	} {
		_, err := Parse([]byte(text), "f")
		for _, says := range want {
			require.ErrorContains(t, err, says, text)
		}
		require.True(t, errors.As(err, new(*configfile.Error)), text)
	}
	_, err := Load(filepath.Join(t.TempDir(), "none.yaml"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestOpen(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	c, err := Parse([]byte("ports: {}\nopenstack: {cloud: {name: none, file: nowhere.yaml}}\n"), "f")
	require.NoError(t, err)
	made, err := c.Open([]string{"ports"}, log)
	require.NoError(t, err)
	require.Len(t, made, 1)
	require.Equal(t, "ports", made[0].Name)
	for names, says := range map[string]string{
		"":                "opening the exporter openstack: ",
		"ports openstack": "nowhere.yaml",
		"dhcp":            "the exporter dhcp has no section in the configuration; add dhcp: to it",
		"ports dhpc":      `there is no exporter "dhpc"; there are activeusers, bootstorm, dhcp, openstack, ports, rabbitmq`,
	} {
		_, err := c.Open(strings.Fields(names), log)
		require.ErrorContains(t, err, says, names)
	}
	require.NoError(t, c.Check(nil))
	require.NoError(t, c.Check([]string{"openstack"}), "a check asks nothing")
	require.ErrorContains(t, c.Check([]string{"openstack", "dhcp"}), "no section")
}
