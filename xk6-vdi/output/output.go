// Package output is the k6 output vdi: `k6 run --out vdi=FILE` writes what was measured as the aggregates of
// package results, a line a series and window, never a line a sample.
//
// FILE may be fd:N, a descriptor inherited from a parent that reads the other end of a pipe. The window is 10 s, or what
// the environment variable K6_VDI_WINDOW says. Windows start at multiples of their length in Unix time, so that
// those of several machines with synchronised clocks coincide.
package output

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"go.k6.io/k6/v2/metrics"
	k6output "go.k6.io/k6/v2/output"

	"github.com/deskstorm/deskstorm/results"
)

const (
	windowVariable = "K6_VDI_WINDOW"
	defaultWindow  = 10 * time.Second
	minWindow      = 100 * time.Millisecond

	// Samples wait at most flushEvery in memory. A window is written lateness after its end, because k6 hands samples
	// over in batches every 50 ms; what comes later still becomes another line of the same window.
	flushEvery = time.Second
	lateness   = 500 * time.Millisecond
)

// Output aggregates samples and writes them window by window.
type Output struct {
	k6output.SampleBuffer // receives samples from k6

	target  string
	window  time.Duration
	open    opener
	logger  logrus.FieldLogger
	flusher *k6output.PeriodicFlusher

	// Used by Start, then by the flusher's goroutine, then by Stop.
	writer  *writer
	windows *windows
}

// New returns the output for `--out vdi=FILE`.
func New(params k6output.Params) (k6output.Output, error) {
	if params.ConfigArgument == "" {
		return nil, errors.New("output vdi: name a file or fd:N, as in --out vdi=results.jsonl")
	}
	window := defaultWindow
	if text, ok := params.Environment[windowVariable]; ok {
		var err error
		if window, err = time.ParseDuration(text); err != nil || window < minWindow {
			return nil, fmt.Errorf("output vdi: %s=%q is not a duration of at least %v", windowVariable, text, minWindow)
		}
	}
	return &Output{
		target: params.ConfigArgument,
		window: window,
		open:   fileOpener(params.FS),
		logger: params.Logger.WithField("output", "vdi"),
	}, nil
}

// Description is shown by k6 before the run.
func (o *Output) Description() string {
	return fmt.Sprintf("vdi (%s, every %v)", o.target, o.window)
}

// Start opens the target and begins to write.
func (o *Output) Start() error {
	file, err := o.open(o.target)
	if err != nil {
		return fmt.Errorf("output vdi: %w", err)
	}
	o.writer = newWriter(file)
	o.windows = newWindows(o.window)
	o.flusher, err = k6output.NewPeriodicFlusher(min(flushEvery, o.window), func() { o.flush(time.Now()) })
	return err
}

// Stop writes what is left, the unfinished window included, and returns the first error there was.
func (o *Output) Stop() error {
	o.flusher.Stop()
	o.write(o.windows.takeAll(time.Now()))
	if n := o.windows.refused; n > 0 {
		o.logger.Warnf("%d samples were no finite numbers and are not counted", n)
	}
	return o.writer.close()
}

func (o *Output) flush(now time.Time) {
	for _, container := range o.GetBufferedSamples() {
		for _, sample := range container.GetSamples() {
			if isKept(sample.Metric.Name) {
				o.windows.add(sample)
			}
		}
	}
	o.write(o.windows.takeBefore(now.Add(-lateness)))
}

func (o *Output) write(aggregates []*results.Aggregate) {
	failed := o.writer.err != nil
	o.writer.write(aggregates)
	if o.writer.err != nil && !failed {
		o.logger.WithError(o.writer.err).Error("Results are lost from here on")
	}
}

// isKept tells the thin clients' metrics, and the three of k6 that say whether the load was the one asked for, from the
// rest, which is k6's other outputs' business.
func isKept(metric string) bool {
	switch metric {
	case metrics.IterationsName, metrics.DroppedIterationsName, metrics.VUsName:
		return true
	}
	return strings.HasPrefix(metric, "vdi_")
}
