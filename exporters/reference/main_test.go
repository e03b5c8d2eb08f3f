package main

import (
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/exporters"
	"github.com/deskstorm/deskstorm/exporters/collector"
)

func TestReferenceIsCurrent(t *testing.T) {
	var b strings.Builder
	write(&b)
	kept, err := os.ReadFile("../../docs/exporter-metrics.md")
	require.NoError(t, err)
	require.Equal(t, b.String(), string(kept), "run go generate ./exporters/...")
}

// TestFamilies lints all that could ever be served, not only what a test's exporter happens to serve.
func TestFamilies(t *testing.T) {
	var text strings.Builder
	seen := map[string]bool{}
	names, families := exporters.Families()
	for i, name := range names {
		require.NotEmpty(t, families[i], name)
		for _, f := range families[i] {
			require.False(t, seen[f.Name], f.Name)
			seen[f.Name] = true
			require.True(t, strings.HasPrefix(f.Name, "deskstorm_"+name+"_"), f.Name)
			require.True(t, strings.HasSuffix(f.Help, "."), "%s: %s", f.Name, f.Help)
			sample := f.Name + " 1\n"
			if f.Kind == collector.HistogramKind {
				sample = f.Name + "_bucket{le=\"+Inf\"} 1\n" + f.Name + "_sum 1\n" + f.Name + "_count 1\n"
			}
			text.WriteString("# HELP " + f.Name + " " + f.Help + "\n# TYPE " + f.Name + " " + string(f.Kind) + "\n" + sample)
		}
	}
	problems, err := promlint.New(strings.NewReader(text.String())).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)
}
