package storage

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRate(t *testing.T) {
	nan := math.NaN()
	host := func(reads, writes uint64, read, write, queue, busy time.Duration) Disk {
		return Disk{Reads: reads, Writes: writes, ReadBytes: reads * 4096, WrittenBytes: writes * 4096,
			Timed: true, ReadTime: read, WriteTime: write, QueueTime: queue, Host: true, BusyTime: busy, InFlight: 3, wrap: timesEnd}
	}
	guest := func(reads uint64, read time.Duration) Disk {
		return Disk{Reads: reads, ReadBytes: reads * 4096, Timed: true, ReadTime: read, QueueTime: read}
	}
	untimed := func(reads uint64) Disk { return Disk{Reads: reads, ReadBytes: reads * 4096} }
	unknown := Reading{Latency: nan, ReadLatency: nan, WriteLatency: nan, Utilisation: nan, Queue: nan, InFlight: nan,
		ReadsPerSecond: nan, WritesPerSecond: nan, BytesPerSecond: nan}
	for name, c := range map[string]struct {
		before, after Counters
		elapsed       time.Duration // 0: 10 s
		want          Reading
	}{
		"no time between":   {before: Counters{"a": guest(1, 0)}, after: Counters{"a": guest(2, 1)}, elapsed: -1, want: unknown},
		"the first reading": {after: Counters{"a": guest(1000, time.Hour)}, want: unknown},
		"no guest":          {want: Reading{Latency: nan, ReadLatency: nan, WriteLatency: nan, Utilisation: nan, InFlight: nan}},
		"the extreme boot storm: 0.2 s a request, 100 % busy": {
			before: Counters{"sda": host(1000, 500, 10*time.Second, 5*time.Second, 15*time.Second, 9*time.Second)},
			after:  Counters{"sda": host(1600, 700, 130*time.Second, 45*time.Second, 175*time.Second, 19*time.Second)},
			want: Reading{Disks: 1, Latency: 0.2, ReadLatency: 0.2, WriteLatency: 0.2, Utilisation: 1, Queue: 16, InFlight: 3,
				ReadsPerSecond: 60, WritesPerSecond: 20, BytesPerSecond: 80 * 4096},
		},
		"several disks: the busiest, and all together": {
			before: Counters{"sda": host(0, 0, 0, 0, 0, 0), "sdb": host(0, 0, 0, 0, 0, 0)},
			after: Counters{"sda": host(100, 0, time.Second, 0, time.Second, time.Second),
				"sdb": host(100, 100, 3*time.Second, 2*time.Second, 6*time.Second, 5*time.Second)},
			want: Reading{Disks: 2, Latency: 0.02, ReadLatency: 0.02, WriteLatency: 0.02, Utilisation: 0.5, Queue: 0.7,
				InFlight: 6, ReadsPerSecond: 20, WritesPerSecond: 10, BytesPerSecond: 30 * 4096},
		},
		"a disk that stands still": {
			before: Counters{"sda": host(100, 0, time.Second, 0, time.Second, time.Second)},
			after:  Counters{"sda": host(100, 0, time.Second, 0, time.Second, 11*time.Second+time.Millisecond)},
			want:   Reading{Disks: 1, Latency: nan, ReadLatency: nan, WriteLatency: nan, Utilisation: 1, InFlight: 3},
		},
		"guests: one goes on, one came, one went, one was started again": {
			before: Counters{"a 1": guest(100, time.Second), "b 2": guest(100, time.Second), "c 3": guest(9, time.Second)},
			after:  Counters{"a 1": guest(200, 2*time.Second), "c 5": guest(1000, time.Minute), "d 4": guest(1e9, time.Hour)},
			want: Reading{Disks: 1, Latency: 0.01, ReadLatency: 0.01, WriteLatency: nan, Utilisation: nan, Queue: 0.1,
				InFlight: nan, ReadsPerSecond: 10, BytesPerSecond: 10 * 4096},
		},
		"counters that begin anew": {
			before: Counters{"a": guest(1000, time.Hour), "b": guest(100, time.Second)},
			after:  Counters{"a": guest(10, time.Second), "b": guest(100, time.Second)},
			want:   Reading{Disks: 1, Latency: nan, ReadLatency: nan, WriteLatency: nan, Utilisation: nan, InFlight: nan},
		},
		"all begin anew": {
			before: Counters{"a": guest(1000, time.Hour)}, after: Counters{"a": guest(10, time.Second)}, want: unknown,
		},
		"more requests and less time": {
			before: Counters{"a": guest(10, time.Hour)}, after: Counters{"a": guest(1000, time.Second)}, want: unknown,
		},
		"times that went round": {
			before: Counters{"sda": host(100, 0, timesEnd-time.Second, 0, timesEnd-time.Second, timesEnd-time.Second)},
			after:  Counters{"sda": host(200, 0, time.Second, 0, time.Second, 4*time.Second)},
			want: Reading{Disks: 1, Latency: 0.02, ReadLatency: 0.02, WriteLatency: nan, Utilisation: 0.5, Queue: 0.2, InFlight: 3,
				ReadsPerSecond: 10, BytesPerSecond: 10 * 4096},
		},
		"a rebooted host with more requests than before": {
			before: Counters{"sda": host(100, 0, time.Minute, 0, time.Minute, time.Minute)},
			after:  Counters{"sda": host(200, 0, time.Second, 0, time.Second, time.Second)},
			want:   unknown,
		},
		"without times": {
			before: Counters{"a": untimed(100)}, after: Counters{"a": untimed(200)},
			want: Reading{Disks: 1, Latency: nan, ReadLatency: nan, WriteLatency: nan, Utilisation: nan, Queue: nan, InFlight: nan,
				ReadsPerSecond: 10, BytesPerSecond: 10 * 4096},
		},
		"some without times": {
			before: Counters{"a": untimed(100), "b": guest(100, 0)}, after: Counters{"a": untimed(200), "b": guest(200, time.Second)},
			want: Reading{Disks: 2, Latency: 0.01, ReadLatency: 0.01, WriteLatency: nan, Utilisation: nan, Queue: 0.1, InFlight: nan,
				ReadsPerSecond: 20, BytesPerSecond: 20 * 4096},
		},
	} {
		t.Run(name, func(t *testing.T) {
			elapsed := c.elapsed
			if elapsed == 0 {
				elapsed = 10 * time.Second
			}
			// NaN does not equal itself; its text does.
			require.Equal(t, fmt.Sprintf("%+v", c.want), fmt.Sprintf("%+v", Rate(c.before, c.after, elapsed)))
		})
	}
}

// FuzzRate: whatever counters do, no figure is negative, and none is larger than what they can have counted.
func FuzzRate(f *testing.F) {
	f.Add(uint64(1), uint64(2), int64(1), int64(2), true)
	f.Add(uint64(2), uint64(1), int64(timesEnd)-1, int64(1), false)
	f.Fuzz(func(t *testing.T, n, m uint64, u, v int64, kernel bool) {
		disk := func(n uint64, d int64) Disk {
			disk := Disk{Reads: n, ReadBytes: n, Timed: true, ReadTime: time.Duration(d), QueueTime: time.Duration(d)}
			if kernel {
				disk.Host, disk.BusyTime, disk.wrap = true, disk.QueueTime, timesEnd
			}
			return disk
		}
		if kernel {
			u, v = int64(uint64(u)%uint64(timesEnd)), int64(uint64(v)%uint64(timesEnd))
		}
		r := Rate(Counters{"a": disk(n, u)}, Counters{"a": disk(m, v)}, time.Second)
		for _, figure := range []float64{r.Latency, r.ReadLatency, r.Queue, r.Utilisation, r.ReadsPerSecond, r.BytesPerSecond} {
			require.False(t, figure < 0 || math.IsInf(figure, 0), "%+v", r)
		}
		require.False(t, r.Utilisation > 1)
		require.False(t, r.ReadsPerSecond > float64(m))
		if kernel {
			require.False(t, r.Queue > timesEnd.Seconds()/2)
		}
	})
}
