package bootstorm

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/deskstorm/deskstorm/exporters/bootstorm/boots"
	"github.com/deskstorm/deskstorm/exporters/bootstorm/storage"
	"github.com/deskstorm/deskstorm/exporters/collector"
)

const (
	hostInterval = 10 * time.Second
	hostTimeout  = 8 * time.Second
)

// busyAllTheTime is the utilisation from which a disk has no more to give.
const busyAllTheTime = 0.98

// host is one whose disks are watched.
type host struct {
	name           string
	reader         storage.Reader
	account        *boots.Account
	slow, drowning time.Duration
	now            func() time.Time

	mu     sync.Mutex // an asking that timed out may still read
	before storage.Counters
	at     time.Time // of before
}

func (h *host) source() collector.Source {
	return collector.Source{Target: "host " + h.name, Interval: hostInterval, Timeout: hostTimeout, Update: h.update}
}

// update tells what the disks did since the last time, of which the first asking has none.
func (h *host) update(ctx context.Context, emit func(prometheus.Metric)) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	after, err := h.reader.Read(ctx)
	now := h.now()
	if len(after) == 0 && err != nil {
		return err
	}
	before, elapsed := h.before, now.Sub(h.at)
	h.before, h.at = after, now
	booting := h.account.Summary(now).ByHost[h.name]
	emit(hostBoots.Value(float64(booting), h.name))
	if before == nil {
		return err
	}
	r := storage.Rate(before, after, elapsed)
	h.emit(emit, r)
	if booting == 0 || known(r) {
		emit(severity.Value(h.severity(booting, r), h.name))
	}
	return err
}

// emit shows what is known.
func (h *host) emit(emit func(prometheus.Metric), r storage.Reading) {
	show := func(f *collector.Family, value float64, labels ...string) {
		if !math.IsNaN(value) {
			emit(f.Value(value, append([]string{h.name}, labels...)...))
		}
	}
	show(hostRate, r.ReadsPerSecond, "read")
	show(hostRate, r.WritesPerSecond, "write")
	show(hostLatency, r.ReadLatency, "read")
	show(hostLatency, r.WriteLatency, "write")
	show(hostUtilisation, r.Utilisation)
	show(hostQueue, r.Queue)
	show(hostInFlight, r.InFlight)
}

// known tells whether a reading says how the disks bear it: requests that have no times, as an old libvirt's, do not.
func known(r storage.Reading) bool {
	return !math.IsNaN(r.Latency) || !math.IsNaN(r.Utilisation) || r.ReadsPerSecond+r.WritesPerSecond == 0
}

// severity joins both sides: slow disks alone are no boot storm, and boots that the disks bear are none yet. A disk that is busy and
// completes nothing has no latency, and is the worst.
func (h *host) severity(booting int, r storage.Reading) float64 {
	stuck := r.Utilisation >= busyAllTheTime
	switch {
	case booting == 0:
		return 0
	case r.Latency >= h.drowning.Seconds() || stuck && !(r.Latency < h.slow.Seconds()):
		return 3
	case r.Latency >= h.slow.Seconds() || stuck:
		return 2
	}
	return 1
}
