package fault

import (
	"context"
	"fmt"
	"math"

	"github.com/deskstorm/deskstorm/runner/native"
)

// lossUnit is what a loss is counted in: parts of a million.
const lossUnit = 1_000_000

func netLoss() kind {
	return kind{
		name: "net.loss", doc: "drops a part of a service's packets, each by chance",
		parameters: append(trafficParameters(),
			native.Parameter{Name: "percent", Type: native.Number, Required: true, Doc: "how many of the packets, above 0 to 100"}),
		host: func(ctx context.Context, r *request) error {
			t, err := r.traffic(0)
			if err != nil {
				return err
			}
			percent := r.Number("percent", 0)
			parts := math.Round(percent / 100 * lossUnit)
			if parts < 1 || percent > 100 {
				return native.Wrong("percent", "expected 0.0001 to 100, found %g", percent)
			}
			r.whats("%g %% of %s are dropped", percent, t)
			return r.filters(ctx, t.everywhere(fmt.Sprintf("numgen random mod %d < %.0f counter drop", lossUnit, parts)))
		},
	}
}
