package fault

import (
	"context"
	"fmt"

	"github.com/deskstorm/deskstorm/runner/native"
)

// The bounds of a rate, in kbit/s: what tbf's burst makes sense with.
const (
	lowestRate  = 8
	highestRate = 100_000_000
)

// queueTime is how long packets may wait in the queue before a slow link, as in a common router.
const queueTime = "100ms"

func netRate() kind {
	return kind{
		name: "net.rate",
		doc:  "slows a network: across a device packets wait in a queue (tc tbf), those of a service are dropped above the rate (nft limit)",
		parameters: append(trafficParameters(),
			native.Parameter{Name: "kbit", Type: native.Integer, Required: true, Doc: "the rate, in kbit/s, each way on its own"}),
		host: func(ctx context.Context, r *request) error {
			t, err := r.traffic(0)
			if err != nil {
				return err
			}
			rate := r.Integer("kbit", 0)
			if rate < lowestRate || rate > highestRate {
				return native.Wrong("kbit", "expected %d to %d", lowestRate, highestRate)
			}
			// A tenth of a second's worth, and some whole packets.
			burst := max(rate*1000/8/10, 16<<10)
			if t.isDevice() {
				r.whats("what is sent across %s is slowed to %d kbit/s", t.device, rate)
				return r.queues(ctx, t.device, "tbf", "rate", fmt.Sprintf("%dkbit", rate), "burst", fmt.Sprint(burst), "latency", queueTime)
			}
			r.whats("%s above %d kbit/s are dropped", t, rate)
			return r.filters(ctx, t.everywhere(fmt.Sprintf("limit rate over %d bytes/second burst %d bytes counter drop", rate*1000/8, burst)))
		},
	}
}

// isDevice tells whether the traffic is all that a device sends.
func (t traffic) isDevice() bool {
	return t.device != "" && !t.address.IsValid() && t.port == 0 && t.direction == both
}
