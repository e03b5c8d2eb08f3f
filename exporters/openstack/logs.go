package openstack

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/deskstorm/deskstorm/exporters/collector"
)

var (
	logEvents = collector.Counter("deskstorm_openstack_log_events_total",
		"Records of the level that were appended to the service's log files, tracebacks counted once.", "service", "level")
	logSkipped = collector.Counter("deskstorm_openstack_log_skipped_bytes_total",
		"What of the service's log files was passed over because it was written faster than it may be read.", "service")
	logFiles = collector.Gauge("deskstorm_openstack_log_files",
		"Log files of the service that are read.", "service")
)

// Limits of a service's logs.
const (
	logInterval = 5 * time.Second
	logTimeout  = 5 * time.Second
	maxFiles    = 200
	// maxRead is what is read of a service's files in an interval, in bytes: 3 MB a second.
	maxRead = 16 << 20
)

// logs are a service's files. One goroutine reads them.
type logs struct {
	Logs
	begun   bool // the files that were there at the beginning are known
	tails   map[string]*tail
	counts  map[string]float64 // by level
	skipped float64
}

func newLogs(l Logs) *logs {
	return &logs{Logs: l, tails: map[string]*tail{}, counts: map[string]float64{}}
}

func (l *logs) source() collector.Source {
	return collector.Source{Target: "logs/" + l.Service, Interval: logInterval, Timeout: logTimeout, Update: l.update}
}

// update reads what was appended since the last one. Files that were there at the first are read from their end on.
func (l *logs) update(ctx context.Context, emit func(prometheus.Metric)) error {
	var errs []error
	if err := l.find(); err != nil {
		errs = append(errs, err)
	}
	left := int64(maxRead)
	for path, t := range l.tails {
		if err := ctx.Err(); err != nil {
			errs = append(errs, err)
			break
		}
		// A share for each, so that one that floods does not keep the others from being read.
		share := max(left/int64(len(l.tails)), maxLine)
		read, skipped, gone, err := t.read(share, func(line []byte) {
			if level := level(line); level != "" {
				l.counts[level]++
			}
		})
		left = max(left-read, 0)
		l.skipped += float64(skipped)
		if err != nil {
			errs = append(errs, fmt.Errorf("reading the log %s: %w", path, err))
		}
		if gone {
			delete(l.tails, path)
		}
	}
	for _, level := range levels {
		emit(logEvents.Value(l.counts[level], l.Service, level))
	}
	emit(logSkipped.Value(l.skipped, l.Service))
	emit(logFiles.Value(float64(len(l.tails)), l.Service))
	return errors.Join(errs...)
}

// find looks for files that are new.
func (l *logs) find() error {
	var errs []error
	found := 0
	for _, pattern := range l.Files {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			return err // the configuration's check has found it before
		}
		found += len(paths)
		for _, path := range paths {
			if l.tails[path] != nil {
				continue
			}
			if len(l.tails) == maxFiles {
				errs = append(errs, fmt.Errorf("%s has more than %d log files; only these are read", l.Service, maxFiles))
				break
			}
			t := &tail{path: path}
			if !l.begun {
				if err := t.begin(); err != nil {
					errs = append(errs, err)
					continue
				}
			}
			l.tails[path] = t
		}
	}
	l.begun = true
	if found == 0 && len(l.tails) == 0 {
		errs = append(errs, fmt.Errorf("there are no log files %q of %s", l.Files, l.Service))
	}
	return errors.Join(errs...)
}
