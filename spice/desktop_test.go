package spice_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/qemu"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	"github.com/deskstorm/deskstorm/spice"
	"github.com/deskstorm/deskstorm/spice/screen"
	"github.com/deskstorm/deskstorm/spice/wire"
)

// desktop is a desktop that the client is tested on: a real one under QEMU or
// a simulated one.
type desktop struct {
	config spice.Config  // how to open it
	hang   func()        // hangs the guest, not the server
	typed  func() string // of a simulated desktop: what the guest took
	resume func()        // of a simulated desktop: lets it go on
	kill   func()        // ends the server as SIGKILL does
}

// setup says how a desktop is served.
type setup struct {
	ticket string
	tls    bool // a TLS port beside the plain one
	secure bool // the plain port refuses every channel
}

// onBoth runs a test on a simulated desktop and on a real one. The real one is
// skipped with -short.
func onBoth(t *testing.T, s setup, test func(t *testing.T, d desktop)) {
	t.Run("screen", func(t *testing.T) { test(t, simulated(t, s)) })
	t.Run("qemu", func(t *testing.T) { test(t, real(t, s)) })
}

func simulated(t *testing.T, s setup) desktop {
	c := screen.Config{Ticket: s.ticket}
	d := desktop{config: spice.Config{Host: "127.0.0.1", Ticket: s.ticket}}
	if s.tls {
		files, authority := qemutest.TLSFiles(t)
		pair, err := tls.LoadX509KeyPair(filepath.Join(files.Dir, "server-cert.pem"), filepath.Join(files.Dir, "server-key.pem"))
		require.NoError(t, err)
		c.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
		d.config.CA = pool(authority)
	}
	if s.secure {
		c.Secure = []wire.ChannelType{wire.Main, wire.Display, wire.Inputs, wire.Cursor}
	}
	farm, err := screen.NewFarm(1, c)
	require.NoError(t, err)
	t.Cleanup(farm.Close)
	one := farm.Desktops()[0]
	d.typed = one.Typed
	d.config.Port = one.Addr().(*net.TCPAddr).Port
	if s.tls {
		d.config.TLSPort = one.TLSAddr().(*net.TCPAddr).Port
	}
	d.hang = func() { one.Hang(true) }
	d.resume = func() { one.Hang(false) }
	d.kill = one.Kill
	return d
}

func real(t *testing.T, s setup) desktop {
	qemutest.Require(t)
	// TCG boots the guest in 0.3 s; the test of KVM is one of its own.
	c := qemu.Config{Ticket: s.ticket, Accelerator: "tcg"}
	d := desktop{config: spice.Config{Ticket: s.ticket}}
	if s.tls {
		files, authority := qemutest.TLSFiles(t)
		files.AllChannels = s.secure
		c.TLS = files
		d.config.CA = pool(authority)
	}
	q := qemutest.StartT(t, c)
	d.config.Host, d.config.Port, d.config.TLSPort = q.Host, q.Port, q.TLSPort
	d.hang = func() { require.NoError(t, q.Hang(t.Context())) }
	d.kill = func() { q.Kill() }
	return d
}

func pool(pem []byte) *x509.CertPool {
	p := x509.NewCertPool()
	p.AppendCertsFromPEM(pem)
	return p
}

// dial opens a session that is closed when the test ends.
func dial(t *testing.T, c spice.Config) *spice.Session {
	t.Helper()
	s, err := tryDial(t, c)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func tryDial(t *testing.T, c spice.Config) (*spice.Session, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return spice.Dial(ctx, c)
}

// ended waits for a session's end and returns why.
func ended(t *testing.T, s *spice.Session) error {
	t.Helper()
	select {
	case <-s.Done():
		return s.Err()
	case <-time.After(20 * time.Second):
		t.Fatal("the session goes on")
		return nil
	}
}
