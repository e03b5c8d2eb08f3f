package dhcp

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/deskstorm/deskstorm/probe/dhcp"
)

// SituationsOf are those of a result, without a lease file and with any server allowed.
func SituationsOf(r dhcp.Result, shared bool) string {
	var words []string
	for _, s := range (view{result: &r, shared: shared}).situations() {
		words = append(words, string(s))
	}
	return strings.Join(words, " + ")
}

// SituationsAt are those of a network at some time.
func SituationsAt(n Network, now time.Time) (string, error) {
	var found []string
	watched := &network{Network: n, log: slog.New(slog.DiscardHandler), now: func() time.Time { return now }}
	err := watched.update(context.Background(), func(prometheus.Metric) {})
	for _, s := range watched.before {
		found = append(found, string(s))
	}
	return strings.Join(found, " + "), err
}
