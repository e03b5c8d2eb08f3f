package probes

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDocumentation holds docs/probes.md to the table and to the configuration.
func TestDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../docs/probes.md")
	require.NoError(t, err)
	documented := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z.]+)` \\| ([^|]*)\\|").FindAllStringSubmatch(string(text), -1) {
		documented[row[1]] = strings.ReplaceAll(strings.TrimSpace(row[2]), "`", "")
	}
	for _, f := range Table(Env{}) {
		var names []string
		for _, p := range f.Parameters {
			if p.Name != fieldName {
				names = append(names, p.Name)
			}
		}
		require.Contains(t, documented, f.Name)
		require.Equal(t, strings.Join(names, ", "), documented[f.Name], f.Name)
		delete(documented, f.Name)
	}
	require.Empty(t, documented, "not there")

	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	c := mustRead(t, blocks[len(blocks)-1][1])
	require.Equal(t, "old", c.Logins[1].Name)
	require.Equal(t, 20, c.Desktops.Most)
}
