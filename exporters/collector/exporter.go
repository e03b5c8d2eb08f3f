package collector

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Exporter is the metrics of one subject.
type Exporter struct {
	Name     string    // what its section in the configuration and its label are called: "dhcp"
	Families []*Family // all that it may serve
	Sources  []Source  // whose targets differ
	// Live are metrics that the exporter counts as things happen. Collecting them takes no waiting.
	Live []prometheus.Collector
	// Run works until the context ends: it listens to notifications, say. An earlier return is a failure, and it is called again
	// after a pause. Nil: there is nothing to run.
	Run func(context.Context) error
	// Handlers are what the exporter serves besides /metrics, by pattern (net/http's): "POST /v1/reports".
	Handlers map[string]http.Handler
}

// Source is asked in the background, and what it last emitted is served.
type Source struct {
	Target   string        // what is asked: a network, a broker's node, a host; empty if there is only one
	Interval time.Duration // from one asking's begin to the next one's
	Timeout  time.Duration // after which the context ends, and the asking has failed
	// Update asks. It obeys the context; what it emitted before it failed is served too, because half of the answers tell more
	// than none.
	Update func(ctx context.Context, emit func(prometheus.Metric)) error
}
