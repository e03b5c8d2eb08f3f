package storage_test

import (
	"context"
	"math"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/exporters/bootstorm/storage"
	"github.com/deskstorm/deskstorm/hypervisor"
	"github.com/deskstorm/deskstorm/hypervisor/qmp"
	"github.com/deskstorm/deskstorm/lab/libvirt"
	"github.com/deskstorm/deskstorm/lab/libvirt/libvirttest"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
)

const (
	deadline = 30 * time.Second
	poll     = 20 * time.Millisecond
)

// measure reads a guest's disk until it did so many requests, of which the first are its boot.
func measure(t *testing.T, load qemutest.DiskLoad, requests uint64) storage.Reading {
	t.Helper()
	reader := storage.QMP{Sockets: qemutest.StartDiskLoadT(t, load)}
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	read := func() (counters storage.Counters, done uint64, at time.Time) {
		counters, err := reader.Read(ctx)
		require.NoError(t, err)
		require.Len(t, counters, 1)
		for _, d := range counters {
			done = d.Reads + d.Writes
		}
		return counters, done, time.Now()
	}
	const boot = 5
	before, first, begun := read()
	for first < boot {
		time.Sleep(poll)
		before, first, begun = read()
	}
	after, last, ended := read()
	for last < first+requests {
		time.Sleep(poll)
		after, last, ended = read()
	}
	return storage.Rate(before, after, ended.Sub(begun))
}

// TestLatencyRisesWithTheLoad slows a guest's disk as a boot storm does: the guest wants more than the storage gives. With one
// request at a time and L let through a second, a request takes 1/L less the guest's own time between two.
func TestLatencyRisesWithTheLoad(t *testing.T) {
	qemutest.Require(t) // of the parts as well, which would leave nothing to compare
	var free, throttled storage.Reading
	t.Run("unthrottled", func(t *testing.T) { free = measure(t, qemutest.DiskLoad{}, 300) })
	const limit = 20
	t.Run("throttled", func(t *testing.T) { throttled = measure(t, qemutest.DiskLoad{IOPS: limit}, 60) })
	t.Logf("unthrottled %.2f ms, %d a second of them throttled %.2f ms: ratio %.0f; queues %.2f and %.2f",
		1000*free.Latency, limit, 1000*throttled.Latency, throttled.Latency/free.Latency, free.Queue, throttled.Queue)

	require.InEpsilon(t, limit, throttled.ReadsPerSecond, 0.15)
	require.InDelta(t, 1.0/limit, throttled.Latency, 0.4/limit)
	require.Greater(t, throttled.Latency, 3*free.Latency)
	require.Equal(t, throttled.Latency, throttled.ReadLatency)
	require.True(t, math.IsNaN(throttled.WriteLatency))
	require.InEpsilon(t, qemutest.LoadRequestSize*throttled.ReadsPerSecond, throttled.BytesPerSecond, 1e-9)
	require.InEpsilon(t, throttled.Latency*throttled.ReadsPerSecond, throttled.Queue, 1e-9, "Little's law")
	require.LessOrEqual(t, throttled.Queue, 1.1, "one request at a time")
	require.True(t, math.IsNaN(throttled.Utilisation))
}

func TestWrites(t *testing.T) {
	r := measure(t, qemutest.DiskLoad{IOPS: 50, Writes: true}, 60)
	require.InEpsilon(t, 50, r.WritesPerSecond, 0.15)
	require.Greater(t, r.WriteLatency, 0.5/50)
	require.Less(t, r.WriteLatency, 1.2/50)
}

func TestQMPWithSomeThatDoNotAnswer(t *testing.T) {
	dir, err := os.MkdirTemp("", "deskstorm-") // shorter than t.TempDir's: a socket's path has 107 bytes at most
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	guest := qemutest.StartDiskLoadT(t, qemutest.DiskLoad{IOPS: 20})
	require.NoError(t, os.Symlink(guest, filepath.Join(dir, "guest.qmp")))
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "left.qmp")})
	require.NoError(t, err)
	left.SetUnlinkOnClose(false)
	require.NoError(t, left.Close())

	reader := storage.QMP{Sockets: filepath.Join(dir, "*.qmp")}
	counters, err := reader.Read(t.Context())
	require.NoError(t, err, "what an ended QEMU left is passed over")
	require.Len(t, counters, 1)

	held, err := net.Listen("unix", filepath.Join(dir, "held.qmp"))
	require.NoError(t, err)
	defer held.Close()
	begun := time.Now()
	counters, err = reader.Read(t.Context())
	require.ErrorIs(t, err, qmp.ErrHeld)
	require.ErrorContains(t, err, "1 of 3 QEMUs did not answer")
	require.ErrorContains(t, err, "held.qmp")
	require.Len(t, counters, 1, "the others are told all the same")
	require.Less(t, time.Since(begun), deadline)

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = reader.Read(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestQMPWithoutGuests(t *testing.T) {
	counters, err := storage.QMP{Sockets: filepath.Join(t.TempDir(), "*", "*.qmp")}.Read(t.Context())
	require.NoError(t, err)
	require.Empty(t, counters)
	_, err = storage.QMP{Sockets: "/nowhere/*/*.qmp"}.Read(t.Context())
	require.ErrorIs(t, err, os.ErrNotExist, "a folder that is not there is no host without guests")
	_, err = storage.QMP{Sockets: filepath.Join(t.TempDir(), "[")}.Read(t.Context())
	require.ErrorIs(t, err, filepath.ErrBadPattern)
}

func TestLibvirt(t *testing.T) {
	daemon := libvirttest.StartT(t, libvirt.Config{})
	reader := storage.Libvirt{URI: daemon.URI()}
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	read := func() storage.Counters {
		counters, err := reader.Read(ctx)
		require.NoError(t, err)
		return counters
	}
	before := read()
	require.Empty(t, before)
	id := libvirttest.BootT(t, daemon, "n2-117", "")
	require.Eventually(t, func() bool {
		for _, d := range read() {
			if d.Reads > 0 && d.Timed && d.ReadTime > 0 && d.QueueTime >= d.ReadTime && !d.Host {
				return true
			}
		}
		return false
	}, deadline, poll)
	booted := read()
	require.Zero(t, storage.Rate(before, booted, time.Second).Disks, "a guest that came")

	require.NoError(t, daemon.Destroy(ctx, id))
	require.NoError(t, daemon.BootAs(ctx, "n2-117", id, ""))
	again := read()
	require.Len(t, again, 1)
	require.Zero(t, storage.Rate(booted, again, time.Second).Disks, "a guest that was started again")
	require.Equal(t, 1, storage.Rate(again, read(), time.Second).Disks)

	require.NoError(t, daemon.Kill())
	_, err := reader.Read(ctx)
	require.ErrorIs(t, err, hypervisor.ErrConnection)
	require.NoError(t, daemon.Restart(ctx))
	read()
}
