package wire_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/spice/wire"
)

// seed adds the bodies that match pattern, recorded from QEMU (TestRecord in
// package spice), and those of this package's own Append functions.
func seed(f *testing.F, pattern string) {
	f.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "qemu", pattern))
	require.NoError(f, err)
	require.NotEmpty(f, files, pattern)
	for _, name := range files {
		b, err := os.ReadFile(name)
		require.NoError(f, err)
		f.Add(b)
	}
	for _, x := range formats() {
		f.Add(x.body)
	}
}

// check runs a parser: it gives a value or an *Error within the body.
func check[T any](t *testing.T, body []byte, parse func([]byte) (T, error)) (T, bool) {
	t.Helper()
	v, err := parse(body)
	if err == nil {
		return v, true
	}
	var e *wire.Error
	require.True(t, errors.As(err, &e), "%T", err)
	require.GreaterOrEqual(t, e.Offset, 0)
	require.LessOrEqual(t, e.Offset, len(body))
	return v, false
}

// same is check, and that what was read is written and read again the same.
func same[T any](t *testing.T, body []byte, parse func([]byte) (T, error), write func(T, []byte) []byte) {
	t.Helper()
	v, ok := check(t, body, parse)
	if !ok {
		return
	}
	again, err := parse(write(v, nil))
	require.NoError(t, err)
	require.Equal(t, v, again)
}

func FuzzLinkHeader(f *testing.F) {
	seed(f, "link-header-*")
	f.Fuzz(func(t *testing.T, b []byte) {
		if size, ok := check(t, b, wire.ParseLinkHeader); ok {
			require.LessOrEqual(t, size, 4096)
		}
	})
}

func FuzzLinkRequest(f *testing.F) {
	seed(f, "link-request-*")
	f.Fuzz(func(t *testing.T, b []byte) {
		same(t, b, wire.ParseLinkRequest, func(m wire.LinkRequest, b []byte) []byte { return m.Append(b)[wire.LinkHeaderSize:] })
	})
}

func FuzzLinkReply(f *testing.F) {
	seed(f, "link-reply-*")
	f.Fuzz(func(t *testing.T, b []byte) {
		same(t, b, wire.ParseLinkReply, func(m wire.LinkReply, b []byte) []byte { return m.Append(b)[wire.LinkHeaderSize:] })
	})
}

// FuzzBase reads the messages of every channel.
func FuzzBase(f *testing.F) {
	seed(f, "*-[1-8]-*")
	f.Fuzz(func(t *testing.T, b []byte) {
		same(t, b, wire.ParseSetAck, wire.SetAck.Append)
		same(t, b, wire.ParsePing, wire.Ping.Append)
		same(t, b, wire.ParseDisconnecting, wire.Disconnecting.Append)
		same(t, b, wire.ParseNotify, wire.Notify.Append)
		same(t, b, wire.ParseWaitForChannels, func(w []wire.Wait, b []byte) []byte { return wire.AppendWaitForChannels(b, w) })
	})
}

func FuzzMain(f *testing.F) {
	seed(f, "main-*")
	f.Fuzz(func(t *testing.T, b []byte) {
		same(t, b, wire.ParseInit, wire.Init.Append)
		same(t, b, wire.ParseChannelsList, func(ids []wire.ChannelID, b []byte) []byte { return wire.AppendChannelsList(b, ids) })
		same(t, b, wire.ParseMouseMode, wire.MouseMode.Append)
		if to, ok := check(t, b, wire.ParseDestination); ok {
			require.NotEmpty(t, to.Host)
			require.LessOrEqual(t, len(to.Host), len(b))
		}
	})
}

func FuzzDisplay(f *testing.F) {
	seed(f, "display-*")
	f.Fuzz(func(t *testing.T, b []byte) {
		same(t, b, wire.ParseSurfaceCreate, wire.SurfaceCreate.Append)
		if base, ok := check(t, b, wire.ParseDrawBase); ok {
			require.GreaterOrEqual(t, base.Box.Pixels(), 0)
			require.Equal(t, base.Box.Empty(), base.Box.Pixels() == 0)
		}
		check(t, b, wire.ParseDrawFill)
		check(t, b, wire.ParseDrawCopy)
	})
}

func FuzzInputs(f *testing.F) {
	seed(f, "inputs-*")
	f.Fuzz(func(t *testing.T, b []byte) {
		same(t, b, wire.ParseModifiers, func(m wire.Lock, b []byte) []byte { return wire.AppendModifiers(b, m) })
		same(t, b, wire.ParseKey, func(k uint32, b []byte) []byte { return wire.AppendKey(b, k) })
	})
}
