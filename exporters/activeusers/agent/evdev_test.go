package agent

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/deskstorm/deskstorm/internal/activity"
)

// event is a struct input_event as the kernel writes it.
func event(kind, code uint16, value int32) []byte {
	b := make([]byte, eventSize)
	binary.NativeEndian.PutUint64(b, 1_790_000_000)
	binary.NativeEndian.PutUint16(b[typeOffset:], kind)
	binary.NativeEndian.PutUint16(b[18:], code)
	binary.NativeEndian.PutUint32(b[valueOffset:], uint32(value))
	return b
}

// tap is a key that goes down, repeats and comes up, as a keyboard says it: with its scan code.
func tap(code uint16) (events []byte) {
	const evMsc, scan = 4, 4
	for _, value := range []int32{1, 2, 2, 0} {
		events = append(events, event(evMsc, scan, int32(code))...)
		events = append(events, event(evKey, code, value)...)
		events = append(events, event(evSyn, 0, 0)...)
	}
	return events
}

// move is one movement of a mouse on both axes.
func move(x, y int32) (events []byte) {
	events = append(events, event(evRel, 0, x)...)
	events = append(events, event(evRel, 1, y)...)
	return append(events, event(evSyn, 0, 0)...)
}

func TestCount(t *testing.T) {
	for _, c := range []struct {
		name   string
		events []byte
		want   uint64
	}{
		{"nothing", nil, 0},
		{"a key", tap(30), 1},
		{"a movement on two axes", move(3, -2), 1},
		{"a click while moving", append(append(event(evRel, 0, 1), event(evKey, 0x110, 1)...), event(evSyn, 0, 0)...), 2},
		{"a movement whose end has not come", event(evRel, 0, 1), 0},
		{"a lock's light", append(event(0x11, 1, 1), event(evSyn, 0, 0)...), 0},
		{"half an event", tap(30)[:eventSize-1], 0},
	} {
		var d device
		require.Equal(t, c.want, d.count(c.events), c.name)
	}
}

// kept keeps all that an agent sends.
type kept struct {
	mu      sync.Mutex
	reports []activity.Report
}

func (k *kept) Send(_ context.Context, reports []activity.Report) ([]activity.Result, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.reports = append(k.reports, reports...)
	results := make([]activity.Result, len(reports))
	for i := range results {
		results[i] = activity.Accepted
	}
	return results, nil
}

// fifo makes an input device that the test writes.
func fifo(t *testing.T, dir, name string) *os.File {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, unix.Mkfifo(path, 0o600))
	f, err := os.OpenFile(path, os.O_RDWR, 0) // does not wait for a reader
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// typed runs an agent while devices write what is given, and returns what it sent.
func typed(t *testing.T, keyboard, mouse []byte, want uint64) []activity.Report {
	t.Helper()
	c := Default()
	c.Client, c.InputDir, c.Proc, c.Sys = "tc-1", t.TempDir(), t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(c.InputDir, "event9"), tap(1), 0o600)) // no device
	k, m := fifo(t, c.InputDir, "event0"), fifo(t, c.InputDir, "event1")
	to := &kept{}
	ctx, cancel := context.WithCancel(t.Context())
	in := newInputs(c.InputDir, slog.New(slog.DiscardHandler))
	done := make(chan struct{})
	go func() { in.run(ctx); close(done) }()
	_, err := k.Write(keyboard)
	require.NoError(t, err)
	_, err = m.Write(mouse)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return in.events.Load() >= want }, 10*time.Second, time.Millisecond)
	cancel()
	<-done
	a := &agent{config: c, run: "run", from: time.Now(), inputs: in, display: &display{}, queue: &queue{limit: 10}}
	a.report(true)
	require.NoError(t, (&sender{queue: a.queue, to: to}).flush(t.Context()))
	return to.reports
}

// Two people type different things at the same pace: what leaves the client is the same, but for the time.
func TestNoKeyLeaves(t *testing.T) {
	var reports []activity.Report
	for _, text := range []string{"my password", "another one"} {
		var keyboard, mouse []byte
		for i, r := range text {
			keyboard = append(keyboard, tap(uint16(r))...)
			mouse = append(mouse, move(int32(r), int32(i))...)
		}
		reports = append(reports, typed(t, keyboard, mouse, 22)...)
	}
	require.Len(t, reports, 2)
	var said [2]string
	for i, r := range reports {
		require.Equal(t, uint64(22), r.Events)
		require.WithinDuration(t, time.Now(), r.LastInput, time.Minute)
		r.From, r.To, r.LastInput, r.State.DiskFree = time.Time{}, time.Time{}, time.Time{}, nil
		text, err := json.Marshal(r)
		require.NoError(t, err)
		said[i] = string(text)
	}
	require.Equal(t, said[0], said[1])
}

// Devices come and go.
func TestHotPlug(t *testing.T) {
	dir := t.TempDir()
	var log strings.Builder
	in := newInputs(dir, slog.New(slog.NewTextHandler(&log, nil)))
	in.scan()
	require.Contains(t, log.String(), "is the agent in the group input?")
	mouse := fifo(t, dir, "event4")
	in.scan()
	in.scan()
	require.Len(t, in.open, 1)
	_, err := mouse.Write(move(1, 1))
	require.NoError(t, err)
	_, err = mouse.Write(move(1, 1)[:10]) // cut off by the unplugging
	require.NoError(t, err)
	require.Eventually(t, func() bool { return in.events.Load() == 1 }, 10*time.Second, time.Millisecond)
	require.NoError(t, os.Remove(mouse.Name()))
	require.NoError(t, mouse.Close())
	in.readers.Wait()
	require.Empty(t, in.open)
	again := fifo(t, dir, "event4")
	in.scan()
	_, err = again.Write(tap(30))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return in.events.Load() == 2 }, 10*time.Second, time.Millisecond)
	events, last := in.take()
	require.Equal(t, uint64(2), events)
	require.WithinDuration(t, time.Now(), last, time.Minute)
	events, _ = in.take()
	require.Zero(t, events)
	require.NoError(t, again.Close())
	in.readers.Wait()
}

func BenchmarkCount(b *testing.B) {
	var events []byte
	for range 16 {
		events = append(events, move(1, 1)...)
	}
	var d device
	b.SetBytes(int64(len(events)))
	for b.Loop() {
		d.count(events)
	}
}
