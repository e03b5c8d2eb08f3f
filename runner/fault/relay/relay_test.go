package relay_test

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/runner/fault/relay"
)

func TestBadArguments(t *testing.T) {
	good := relay.Config{Listen: "127.0.0.1:0", Upstream: "127.0.0.1:1", Delay: time.Second}
	for name, change := range map[string]func(c *relay.Config){
		"listen":   func(c *relay.Config) { c.Listen = "" },
		"upstream": func(c *relay.Config) { c.Upstream = "somewhere" },
		"negative": func(c *relay.Config) { c.Delay = -1 },
		"jitter":   func(c *relay.Config) { c.Jitter = 2 * time.Second },
	} {
		c := good
		change(&c)
		require.ErrorContains(t, relay.Run(t.Context(), c.Args()), "reading the relay's arguments", name)
	}
	for _, args := range [][]string{{"--what"}, append(good.Args(), "more"), nil} {
		require.ErrorContains(t, relay.Run(t.Context(), args), "reading the relay's arguments")
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	good.Listen = taken.Addr().String()
	require.ErrorContains(t, relay.Run(t.Context(), good.Args()), "starting the relay")
}

// TestRelay: much data, both ways at once, comes whole and in order, a delay later; the relay's end ends connections.
func TestRelay(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer server.Close()
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	at := free.Addr().String()
	require.NoError(t, free.Close())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	c := relay.Config{Listen: at, Upstream: server.Addr().String(), Delay: 30 * time.Millisecond, Jitter: 5 * time.Millisecond}
	go func() { done <- relay.Run(ctx, c.Args()) }()
	var conn net.Conn
	require.Eventually(t, func() bool { conn, err = net.Dial("tcp", at); return err == nil }, 10*time.Second, 5*time.Millisecond)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
	sent := make([]byte, 4<<20)
	for i := range sent {
		sent[i] = byte(i * 7 / 3)
	}
	began := time.Now()
	go func() { _, _ = conn.Write(sent) }()
	got := make([]byte, len(sent))
	_, err = io.ReadFull(conn, got[:1])
	require.NoError(t, err)
	require.GreaterOrEqual(t, time.Since(began), 50*time.Millisecond)
	_, err = io.ReadFull(conn, got[1:])
	require.NoError(t, err)
	require.Equal(t, sent, got)
	cancel()
	require.NoError(t, <-done)
	_, err = conn.Read(got)
	require.Error(t, err)
}
