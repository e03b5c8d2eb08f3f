package spice_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/qemu"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	"github.com/deskstorm/deskstorm/spice"
	"github.com/deskstorm/deskstorm/spice/wire"
)

// TestRecord records what QEMU's SPICE server sends, as seeds for the fuzz
// targets and tests of this package and of spice/wire:
//
//	DESKSTORM_RECORD=1 go test -run '^TestRecord$' ./spice
func TestRecord(t *testing.T) {
	if os.Getenv("DESKSTORM_RECORD") == "" {
		t.Skip("records testdata when DESKSTORM_RECORD is set")
	}
	bodies := newFolder(t, filepath.Join("wire", "testdata", "qemu"))
	streams := newFolder(t, filepath.Join("testdata", "qemu"))

	day := &tape{}
	desk := qemutest.StartT(t, qemu.Config{Accelerator: "tcg", ImageCompression: "lz"})
	config := spice.Config{Host: desk.Host, Port: desk.Port, DialContext: day.dial}
	s := dial(t, config)
	require.NoError(t, s.Type(t.Context(), "Good morning!\n", spice.Typist{WPM: 1000}))
	for _, trip := range allTrips {
		_, err := s.RoundTrip(t.Context(), trip)
		require.NoError(t, err)
	}
	dial(t, spice.Config{Host: desk.Host, Port: desk.Port})
	require.ErrorIs(t, ended(t, s), spice.ErrEvicted)

	move := &tape{}
	from := qemutest.StartT(t, qemu.Config{Accelerator: "tcg", ImageCompression: "off"})
	to := qemutest.StartT(t, qemu.Config{Accelerator: "tcg", Incoming: true})
	s = dial(t, spice.Config{Host: from.Host, Port: from.Port, DialContext: move.dial})
	require.NoError(t, from.MigrateTo(t.Context(), to))
	var moved *spice.MigratedError
	require.ErrorAs(t, ended(t, s), &moved)

	seen := map[string]int{}
	for i, tape := range []*tape{day, move} {
		suffix := []string{"", "-migration"}[i]
		for _, c := range tape.channels() {
			if i == 0 {
				bodies.write(fmt.Sprintf("link-header-%s.bin", c.name), c.link[:wire.LinkHeaderSize])
				bodies.write(fmt.Sprintf("link-reply-%s.bin", c.name), c.link[wire.LinkHeaderSize:])
				bodies.write(fmt.Sprintf("link-request-%s.bin", c.name), c.request)
			}
			var stream []byte
			for _, m := range c.messages {
				kind := fmt.Sprintf("%s-%d", c.name, m.typ)
				if seen[kind] < 6 && !bodies.has(m.body[:min(len(m.body), maxBody)]) {
					seen[kind]++
					bodies.write(fmt.Sprintf("%s-%d.bin", kind, seen[kind]), m.body[:min(len(m.body), maxBody)])
				}
				if m.typ == wire.MsgPing {
					m.body = m.body[:min(len(m.body), 64)] // a bandwidth test is mostly padding
				}
				if len(stream)+len(m.body) > maxStream || len(m.body) > maxStreamed {
					continue
				}
				stream = append(wire.AppendHeader(stream, m.typ, len(m.body)), m.body...)
			}
			streams.write(c.name+suffix+".stream", stream)
		}
	}
	t.Logf("recorded %d bytes of bodies, %d bytes of streams", bodies.size, streams.size)
	require.Less(t, bodies.size, 300<<10)
	require.Less(t, streams.size, 300<<10)
}

const (
	maxBody     = 4 << 10  // a larger body is cut off in testdata
	maxStream   = 64 << 10 // a stream is not recorded beyond it
	maxStreamed = 16 << 10 // larger messages are left out of streams
)

// folder is a folder of testdata that is written anew.
type folder struct {
	t    *testing.T
	path string
	size int
	sums map[string]bool
}

func newFolder(t *testing.T, path string) *folder {
	require.NoError(t, os.RemoveAll(path))
	require.NoError(t, os.MkdirAll(path, 0o755))
	return &folder{t: t, path: path, sums: map[string]bool{}}
}

func (f *folder) has(b []byte) bool { return f.sums[string(b)] }

func (f *folder) write(name string, b []byte) {
	f.sums[string(b)] = true
	f.size += len(b)
	require.NoError(f.t, os.WriteFile(filepath.Join(f.path, name), b, 0o644))
}

// tape keeps what goes over a session's connections.
type tape struct {
	mu    sync.Mutex
	conns []*taped
}

func (r *tape) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c := &taped{Conn: conn}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns = append(r.conns, c)
	return c, nil
}

type taped struct {
	net.Conn
	mu        sync.Mutex
	got, sent bytes.Buffer
}

func (c *taped) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got.Write(b[:n])
	return n, err
}

func (c *taped) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent.Write(b)
	return c.Conn.Write(b)
}

// recorded is a channel's part of a tape: the link phase and whole messages.
type recorded struct {
	name          string
	request, link []byte
	messages      []recordedMessage
}

type recordedMessage struct {
	typ  uint16
	body []byte
}

// channels takes the tape apart. What a session asked for after its end, to
// find out its cause, is left out.
func (r *tape) channels() []recorded {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []recorded
	seen := map[wire.ChannelType]bool{}
	for _, c := range r.conns {
		c.mu.Lock()
		sent, got := c.sent.Bytes(), c.got.Bytes()
		c.mu.Unlock()
		size, err := wire.ParseLinkHeader(sent)
		if err != nil {
			continue
		}
		request, err := wire.ParseLinkRequest(sent[wire.LinkHeaderSize:][:size])
		if err != nil || seen[request.Channel.Type] {
			continue
		}
		seen[request.Channel.Type] = true
		x := recorded{name: request.Channel.Type.String(), request: sent[wire.LinkHeaderSize:][:size]}
		if size, err = wire.ParseLinkHeader(got); err != nil {
			continue
		}
		x.link, got = got[:wire.LinkHeaderSize+size], got[wire.LinkHeaderSize+size+4:]
		for len(got) >= wire.HeaderSize {
			typ, size := wire.Header(got)
			if len(got) < wire.HeaderSize+int(size) {
				break
			}
			x.messages = append(x.messages, recordedMessage{typ, got[wire.HeaderSize:][:size]})
			got = got[wire.HeaderSize+int(size):]
		}
		all = append(all, x)
	}
	return all
}

// TestRecordedStreams: a session's messages as they were recorded hold what
// the tests that use them rely on.
func TestRecordedStreams(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", "qemu", "*.stream"))
	require.NoError(t, err)
	require.Len(t, files, 8, "four channels of two sessions")
	for _, file := range files {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		types := map[uint16]int{}
		for len(b) > 0 {
			require.GreaterOrEqual(t, len(b), wire.HeaderSize, file)
			typ, size := wire.Header(b)
			require.GreaterOrEqual(t, len(b), wire.HeaderSize+int(size), file)
			b = b[wire.HeaderSize+int(size):]
			types[typ]++
		}
		want := map[string][]uint16{
			"main":              {wire.MsgMainInit, wire.MsgMainChannelsList, wire.MsgPing, wire.MsgNotify},
			"main-migration":    {wire.MsgMainInit, wire.MsgMainChannelsList, wire.MsgMainMigrateSwitchHost},
			"display":           {wire.MsgSetAck, wire.MsgDisplaySurfaceCreate, wire.MsgDisplayDrawCopy},
			"inputs":            {wire.MsgInputsInit, wire.MsgInputsKeyModifiers, wire.MsgInputsMouseMotionAck},
			"cursor":            {wire.MsgCursorInit},
			"display-migration": {wire.MsgSetAck}, "inputs-migration": {wire.MsgInputsInit}, "cursor-migration": {wire.MsgCursorInit},
		}[strings.TrimSuffix(filepath.Base(file), ".stream")]
		require.NotEmpty(t, want, file)
		for _, typ := range want {
			require.Positive(t, types[typ], "message %d in %s", typ, file)
		}
	}
}
