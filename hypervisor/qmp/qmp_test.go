package qmp_test

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/hypervisor/qmp"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
)

const (
	deadline = 20 * time.Second
	poll     = 20 * time.Millisecond
)

// bounded is the context of calls that must be answered.
func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	t.Cleanup(cancel)
	return ctx
}

func TestQEMU(t *testing.T) {
	socket := qemutest.StartDiskLoadT(t, qemutest.DiskLoad{})
	ctx := bounded(t)

	status, err := qmp.Status(ctx, socket)
	require.NoError(t, err)
	require.Equal(t, "running", status)

	stats := func() qmp.Disk {
		disks, err := qmp.BlockStats(ctx, socket)
		require.NoError(t, err)
		require.Len(t, disks, 1)
		return disks[0]
	}
	require.Eventually(t, func() bool { return stats().Reads > 10 }, deadline, poll)
	before := stats()
	require.Contains(t, before.Name, "/machine/")
	require.Positive(t, before.ReadTime)
	require.Eventually(t, func() bool { return stats().Reads > before.Reads+10 }, deadline, poll)
	after := stats()
	require.Greater(t, after.ReadTime, before.ReadTime)
	require.Equal(t, qemutest.LoadRequestSize*(after.Reads-before.Reads), after.ReadBytes-before.ReadBytes)
	require.Zero(t, after.Writes+after.Flushes+after.WrittenBytes)

	require.NoError(t, qmp.Execute(ctx, socket, "stop", nil, nil))
	status, err = qmp.Status(ctx, socket)
	require.NoError(t, err)
	require.Equal(t, "paused", status)

	var refused *qmp.Error
	require.ErrorAs(t, qmp.Execute(ctx, socket, "query-weather", nil, nil), &refused)
	require.Equal(t, "CommandNotFound", refused.Class)
	err = qmp.Execute(ctx, socket, "device_del", map[string]string{"id": "none"}, nil)
	require.ErrorAs(t, err, &refused)
	require.ErrorContains(t, err, "QMP device_del on "+socket+": QEMU: ")
}

// TestHeld has another program on the monitor, as libvirt is on its domains'.
func TestHeld(t *testing.T) {
	socket := qemutest.StartDiskLoadT(t, qemutest.DiskLoad{IOPS: 10})
	holder, err := net.Dial("unix", socket)
	require.NoError(t, err)
	defer holder.Close()
	_, err = io.ReadFull(holder, make([]byte, 1)) // of the greeting: it has the monitor now
	require.NoError(t, err)

	for range 4 { // more than may wait at once
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		_, err = qmp.BlockStats(ctx, socket)
		cancel()
		require.ErrorIs(t, err, qmp.ErrHeld)
		require.ErrorContains(t, err, socket)
	}
	require.NoError(t, holder.Close())
	require.Eventually(t, func() bool {
		_, err := qmp.BlockStats(bounded(t), socket)
		return err == nil
	}, deadline, poll, "who waited in vain is not in the way")
}

func TestEndedQEMU(t *testing.T) {
	socket := qemutest.StartDiskLoadT(t, qemutest.DiskLoad{IOPS: 10})
	require.NoError(t, qmp.Execute(bounded(t), socket, "quit", nil, nil))
	require.Eventually(t, func() bool {
		_, err := qmp.Status(bounded(t), socket)
		return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT)
	}, deadline, poll)
}

const (
	greeting = `{"QMP": {"version": {}, "capabilities": ["oob"]}}`
	event    = `{"event": "SPICE_CONNECTED", "data": {}, "timestamp": {"seconds": 1, "microseconds": 2}}`
	agreed   = `{"return": {}, "id": "qmp_capabilities"}`
	running  = `{"return": {"status": "running"}, "id": "query-status"}`
)

// TestPeers has peers say what QEMU says only sometimes, or never.
func TestPeers(t *testing.T) {
	for name, c := range map[string]struct{ says, want string }{
		"events between answers":       {greeting + event + agreed + event + event + running, ""},
		"another command's answer":     {greeting + agreed + `{"id": "stop", "return": {}}` + running, ""},
		"a refused negotiation":        {greeting + `{"id": "qmp_capabilities", "error": {"desc": "no"}}`, "qmp_capabilities: QEMU: no"},
		"nothing":                      {"", "is this a QMP socket?"},
		"a monitor for people":         {"QEMU 7.2.22 monitor - type 'help'\r\n(qemu) ", "is this a QMP socket?"},
		"another protocol":             {`{"hello": "world"}`, "this is no QMP socket"},
		"an end after the greeting":    {greeting, "waiting for the answer"},
		"an end after the negotiation": {greeting + agreed, "waiting for the answer"},
		"an answer without a return":   {greeting + agreed + `{"id": "query-status"}`, "decoding its answer"},
		"an answer of another shape":   {greeting + agreed + `{"id": "query-status", "return": [1]}`, "decoding its answer"},
		"no end":                       {greeting + agreed + strings.Repeat(event+strings.Repeat(" ", 1<<20), 17), "waiting for the answer"},
	} {
		t.Run(name, func(t *testing.T) {
			status, err := qmp.Status(bounded(t), peer(t, c.says))
			if c.want == "" {
				require.NoError(t, err)
				require.Equal(t, "running", status)
				return
			}
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestBlockStatsOfNegativeCounters(t *testing.T) {
	says := greeting + agreed + `{"id": "query-blockstats", "return": [{"device": "disk", "stats": {"rd_operations": -1}}]}`
	_, err := qmp.BlockStats(bounded(t), peer(t, says))
	require.ErrorContains(t, err, "decoding its answer")
}

func TestNames(t *testing.T) {
	says := greeting + agreed + `{"id": "query-blockstats", "return": [
		{"device": "disk0", "node-name": "#block1", "stats": {"wr_operations": 1, "wr_bytes": 2, "wr_total_time_ns": 3}},
		{"device": "", "qdev": "/machine/peripheral/vda/virtio-backend", "node-name": "n",
			"stats": {"flush_operations": 4, "flush_total_time_ns": 5}},
		{"device": "", "node-name": "n2", "stats": {}}]}`
	disks, err := qmp.BlockStats(bounded(t), peer(t, says))
	require.NoError(t, err)
	require.Equal(t, []qmp.Disk{
		{Name: "disk0", BlockCounters: qmp.BlockCounters{Writes: 1, WrittenBytes: 2, WriteTime: 3}},
		{Name: "/machine/peripheral/vda/virtio-backend", BlockCounters: qmp.BlockCounters{Flushes: 4, FlushTime: 5}},
		{Name: "n2"},
	}, disks)
}

func TestSilentPeer(t *testing.T) {
	for name, says := range map[string]string{
		"before the greeting":   "",
		"after it":              greeting,
		"after the negotiation": greeting + agreed,
	} {
		t.Run(name, func(t *testing.T) {
			socket := listen(t, func(conn net.Conn) {
				io.WriteString(conn, says)
				io.Copy(io.Discard, conn)
			})
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_, err := qmp.Status(ctx, socket)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			if says == "" {
				require.ErrorIs(t, err, qmp.ErrHeld)
			} else {
				require.NotErrorIs(t, err, qmp.ErrHeld)
			}
		})
	}
}

func TestArgumentsThatAreNoJSON(t *testing.T) {
	err := qmp.Execute(bounded(t), "none", "stop", func() {}, nil)
	require.ErrorContains(t, err, "QMP stop on none: encoding it")
}

// peer listens on a socket, says something to each who comes, and hangs up.
func peer(t *testing.T, says string) (socket string) {
	return listen(t, func(conn net.Conn) {
		io.WriteString(conn, says)
		conn.(*net.UnixConn).CloseWrite()
		io.Copy(io.Discard, conn)
	})
}

func listen(t *testing.T, serve func(net.Conn)) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serve(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-done
	})
	return socket
}
