package vdi

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"go.k6.io/k6/v2/metrics"
)

// TestMetricsAreDocumented holds docs/metrics.md to what is registered.
func TestMetricsAreDocumented(t *testing.T) {
	registry := metrics.NewRegistry()
	_, err := registerMetrics(registry)
	require.NoError(t, err)
	doc, err := os.ReadFile("../docs/metrics.md")
	require.NoError(t, err)
	for _, m := range registry.All() {
		require.Regexp(t, "(?m)^\\|[^|]*`"+m.Name+"`[^|]*\\| "+m.Type.String()+" ", string(doc))
	}
}
