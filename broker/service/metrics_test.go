package service_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/lab/sim/directory"
)

// Every metric is in the guide, the guide has no other, and Prometheus' linter likes them.
func TestMetricsAreDocumented(t *testing.T) {
	world := newWorld(t, "sqlite://"+filepath.Join(t.TempDir(), "broker.db"), sim.Config{})
	url := world.serve()
	session, err := world.driver.Login(t.Context(), client.Login{User: "agent0001", Password: directory.Password("agent0001")})
	require.NoError(t, err)
	require.NoError(t, world.driver.ReportBroken(t.Context(), session, "a test"))

	response, err := http.Get(url + "/metrics")
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	problems, err := promlint.New(strings.NewReader(string(text))).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)

	guide, err := os.ReadFile("../../docs/broker.md")
	require.NoError(t, err)
	names := func(pattern, text string) []string {
		var all []string
		for _, found := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			all = append(all, found[1])
		}
		slices.Sort(all)
		return slices.Compact(all)
	}
	// A counter that has counted nothing is not served.
	silent := []string{"deskstorm_broker_builds_failed_total", "deskstorm_broker_desktops_spared_total",
		"deskstorm_broker_inspections_failed_total", "deskstorm_broker_orphans_deleted_total", "deskstorm_broker_desktop_replaced_seconds"}
	served := names(`(?m)^# TYPE (deskstorm_broker_\w+)`, string(text))
	described := names("(?m)^\\| `(deskstorm_broker_\\w+)", string(guide))
	require.Subset(t, described, served)
	require.Subset(t, append(served, silent...), described)
}
