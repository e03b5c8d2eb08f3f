package openstack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/exporters/collector"
)

var (
	apiUp = collector.Gauge("deskstorm_openstack_api_up",
		"1 if the last question of the operation was answered as it should be: version, list, and Keystone's token.", "service", "operation")
	apiDuration = collector.Histogram("deskstorm_openstack_api_request_duration_seconds",
		"How long the questions took that were answered as they should be, as seen from here.",
		[]float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30}, "service", "operation")
	apiRequests = collector.Counter("deskstorm_openstack_api_requests_total",
		"Questions by result: success, unauthorized, forbidden, client_error, throttled, server_error, unreachable, timeout, other.",
		"service", "operation", "result")
)

// results of questions.
var results = []string{
	"success", "unauthorized", "forbidden", "client_error", "throttled", "server_error", "unreachable", "timeout", other,
}

// updateAPI asks one service's questions, one after the other. A question that the round's time does not suffice for has failed.
func (e *asker) updateAPI(ctx context.Context, service string, emit func(prometheus.Metric)) error {
	begun := time.Now()
	c, err := e.plain.Cloud(ctx)
	if err != nil {
		if service == "keystone" { // the others were not asked
			e.record(service, "token", begun, err, emit)
		}
		return err
	}
	canaries, err := c.Canaries(service)
	if err != nil {
		return err
	}
	// Each has its share of what time is left, so that the second is asked when the first hangs.
	deadline, bounded := ctx.Deadline()
	var errs []error
	for i, canary := range canaries {
		share, cancel := ctx, context.CancelFunc(func() {})
		if bounded {
			share, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(len(canaries)-i))
		}
		begun := time.Now()
		err := canary.Ask(share)
		cancel()
		e.record(service, canary.Operation, begun, err, emit)
		if err != nil {
			errs = append(errs, fmt.Errorf("the %s of %s: %w", canary.Operation, service, err))
		}
	}
	return errors.Join(errs...)
}

func (e *asker) record(service, operation string, begun time.Time, err error, emit func(prometheus.Metric)) {
	took := time.Since(begun)
	for _, result := range results {
		e.requests.WithLabelValues(service, operation, result).Add(0) // so that an error's rate is seen from its first on
	}
	e.requests.WithLabelValues(service, operation, resultOf(err)).Inc()
	answered := 0.0
	if err == nil {
		answered = 1
		e.durations.WithLabelValues(service, operation).Observe(took.Seconds())
	}
	emit(apiUp.Value(answered, service, operation))
}

func resultOf(err error) string {
	var failed *cloud.Error
	switch {
	case err == nil:
		return "success"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "timeout"
	case !errors.As(err, &failed):
		return other
	case failed.Status == 0 && errors.Is(err, cloud.ErrUnavailable):
		return "unreachable"
	case failed.Status == http.StatusUnauthorized || failed.Status == 0 && errors.Is(err, cloud.ErrUnauthorized):
		return "unauthorized"
	case failed.Status == http.StatusForbidden:
		return "forbidden"
	case failed.Status == http.StatusTooManyRequests:
		return "throttled"
	case failed.Status >= 500:
		return "server_error"
	case failed.Status >= 400:
		return "client_error"
	}
	return other
}
