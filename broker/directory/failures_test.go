package directory_test

import (
	"context"
	"crypto/x509"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/broker/directory"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	sim "github.com/deskstorm/deskstorm/lab/sim/directory"
	"github.com/deskstorm/deskstorm/lab/slapd"
)

var slapdPlain = slapd.Config{}

func login(t *testing.T, d *directory.Directory) error {
	t.Helper()
	_, err := d.Login(t.Context(), "agent0001", sim.Password("agent0001"))
	if err != nil {
		require.NotContains(t, err.Error(), sim.Password("agent0001"))
	}
	return err
}

func TestTLS(t *testing.T) {
	files, authority := qemutest.TLSFiles(t)
	_, stranger := qemutest.TLSFiles(t)
	c := content()
	s := startSlapd(t, c, slapd.Config{TLSDir: files.Dir})
	pool := func(pem []byte) *x509.CertPool {
		pool := x509.NewCertPool()
		require.True(t, pool.AppendCertsFromPEM(pem))
		return pool
	}
	strangerFile := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(strangerFile, stranger, 0o600))
	for name, test := range map[string]struct {
		url      string
		startTLS bool
		roots    *x509.CertPool
		file     string
		want     string // empty: it works
	}{
		"ldaps":                        {url: s.TLSURL, roots: pool(authority)},
		"StartTLS":                     {url: s.URL, startTLS: true, roots: pool(authority)},
		"ldaps with a file":            {url: s.TLSURL, file: filepath.Join(files.Dir, "ca-cert.pem")},
		"both":                         {url: s.TLSURL, roots: pool(authority), file: strangerFile},
		"ldaps, wrong authority":       {url: s.TLSURL, roots: pool(stranger), want: "unknown authority"},
		"StartTLS, wrong authority":    {url: s.URL, startTLS: true, file: strangerFile, want: "unknown authority"},
		"ldaps, the system's":          {url: s.TLSURL, want: "unknown authority"},
		"plain port taken for ldaps":   {url: "ldaps" + s.URL[len("ldap"):], roots: pool(authority), want: "TLS"},
		"ldaps port taken for plain":   {url: "ldap" + s.TLSURL[len("ldaps"):], want: "connecting"},
		"ldaps port taken for StarTLS": {url: "ldap" + s.TLSURL[len("ldaps"):], startTLS: true, roots: pool(authority), want: "StartTLS"},
	} {
		t.Run(name, func(t *testing.T) {
			config := configure(c, test.url)
			config.StartTLS, config.RootCAs, config.CAFile = test.startTLS, test.roots, test.file
			err := login(t, open(t, config))
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, directory.ErrDown)
			require.ErrorContains(t, err, test.want)
		})
	}
	t.Run("StartTLS is not offered", func(t *testing.T) {
		config := configure(c, startSlapd(t, c, slapdPlain).URL)
		config.StartTLS = true
		err := login(t, open(t, config))
		require.ErrorIs(t, err, directory.ErrDown)
		require.ErrorContains(t, err, "StartTLS")
	})
}

func TestRestartedBetweenLogins(t *testing.T) {
	c := content()
	s := startSlapd(t, c, slapdPlain)
	d := open(t, configure(c, s.URL))
	var group sync.WaitGroup
	for range 8 { // leaves several connections
		group.Go(func() { _, _ = d.Login(t.Context(), "agent0001", sim.Password("agent0001")) })
	}
	group.Wait()
	for range 3 {
		require.NoError(t, s.Restart(t.Context()))
		require.NoError(t, login(t, d))
	}
	s.Kill()
	require.ErrorIs(t, login(t, d), directory.ErrDown)
	require.ErrorIs(t, d.Check(t.Context()), directory.ErrDown)
	require.NoError(t, s.Restart(t.Context()))
	require.NoError(t, login(t, d))
}

// TestConnectionsClosedWhileIdle waits for OpenLDAP to close them, which takes it seconds.
func TestConnectionsClosedWhileIdle(t *testing.T) {
	c := content()
	s := startSlapd(t, c, slapd.Config{IdleTimeout: time.Second})
	p := startProxy(t, s.URL)
	before := runtime.NumGoroutine()
	d := open(t, configure(c, p.URL))
	require.NoError(t, login(t, d))
	require.Greater(t, runtime.NumGoroutine(), before)
	requireGoroutines(t, before) // of the connections' ends, here and in the proxy
	require.NoError(t, login(t, d))
}

func TestDown(t *testing.T) {
	c := content()
	s := startSim(t, c)
	d := open(t, configure(c, s.URL))
	require.NoError(t, login(t, d))
	require.NoError(t, s.Down(true))
	require.ErrorIs(t, login(t, d), directory.ErrDown)
	require.ErrorContains(t, login(t, d), "refused")
	require.NoError(t, s.Down(false))
	require.NoError(t, login(t, d))
}

func TestFailover(t *testing.T) {
	c := content()
	real := startSlapd(t, c, slapdPlain)
	first, second := startSim(t, c), startSim(t, c)
	d := open(t, configure(c, refusing(t), first.URL, second.URL, real.URL))
	require.NoError(t, login(t, d))
	require.NotZero(t, first.Counts().Binds)
	require.Zero(t, second.Counts().Connections)

	require.NoError(t, first.Down(true))
	require.NoError(t, login(t, d))
	require.NotZero(t, second.Counts().Binds)
	require.NoError(t, first.Down(false))
	connections := first.Counts().Connections
	require.NoError(t, login(t, d))
	require.Equal(t, connections, first.Counts().Connections, "it stays where it works")

	require.NoError(t, first.Down(true))
	require.NoError(t, second.Down(true))
	require.NoError(t, login(t, d), "the real one")
	real.Kill()
	err := login(t, d)
	require.ErrorIs(t, err, directory.ErrDown)
	require.ErrorContains(t, err, first.URL)
	require.ErrorContains(t, err, real.URL)
	require.NoError(t, second.Down(false))
	require.NoError(t, login(t, d))
}

// TestFailoverFromASilentServer has a first server that accepts connections and never answers.
func TestFailoverFromASilentServer(t *testing.T) {
	c := content()
	s := startSim(t, c)
	config := configure(c, silent(t), s.URL)
	config.Timeout = 2 * time.Second
	require.NoError(t, login(t, open(t, config)))
	config.URLs = config.URLs[:1]
	config.Timeout = 50 * time.Millisecond
	err := login(t, open(t, config))
	require.ErrorIs(t, err, directory.ErrSlow)
	require.NotErrorIs(t, err, directory.ErrDown)
}

// TestSlow stops what goes to and from the directory, before it is connected to and after.
func TestSlow(t *testing.T) {
	c := content()
	real := startSlapd(t, c, slapdPlain)
	p := startProxy(t, real.URL)
	const patience = 200 * time.Millisecond
	for name, test := range map[string]struct {
		connected bool
		timeout   time.Duration
		patience  time.Duration
	}{
		"a new connection, the operation's timeout":    {false, patience, deadline},
		"a new connection, the caller's timeout":       {false, deadline, patience},
		"a pooled connection, the operation's timeout": {true, patience, deadline},
		"a pooled connection, the caller's timeout":    {true, deadline, patience},
	} {
		t.Run(name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			config := configure(c, p.URL)
			config.Timeout = test.timeout
			d := open(t, config)
			if test.connected {
				require.NoError(t, login(t, d))
			}
			p.hold(true)
			ctx, cancel := context.WithTimeout(t.Context(), test.patience)
			defer cancel()
			began := time.Now()
			_, err := d.Login(ctx, "agent0001", sim.Password("agent0001"))
			took := time.Since(began)
			p.hold(false)
			require.ErrorIs(t, err, directory.ErrSlow)
			require.NotErrorIs(t, err, directory.ErrDown)
			require.Less(t, took, deadline/2)
			works := func() bool { return login(t, d) == nil } // at once, unless this machine is slow too
			require.Eventually(t, works, deadline, time.Millisecond, "it works again")
			d.Close()
			requireGoroutines(t, before)
		})
	}
}

// TestAllConnectionsBusy has logins wait for a connection, no longer than they may.
func TestAllConnectionsBusy(t *testing.T) {
	c := content()
	s := startSim(t, c)
	config := configure(c, s.URL)
	config.MaxConns = 1
	d := open(t, config)
	require.NoError(t, login(t, d))
	s.Slow(time.Hour)
	searches := s.Counts().Searches
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() {
		_, err := d.Login(ctx, "agent0001", sim.Password("agent0001"))
		if err == nil {
			t.Error("a login of an hour succeeded")
		}
	})
	defer cancel()
	require.Eventually(t, func() bool { return s.Counts().Searches > searches }, deadline, time.Millisecond)
	short, end := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer end()
	_, err := d.Login(short, "agent0002", sim.Password("agent0002"))
	require.ErrorIs(t, err, directory.ErrSlow)
	require.ErrorContains(t, err, "waiting for one of 1 connections")
}

func TestCallerGivesUp(t *testing.T) {
	c := content()
	s := startSim(t, c)
	d := open(t, configure(c, s.URL))
	require.NoError(t, login(t, d))
	s.Slow(time.Hour)
	searches := s.Counts().Searches
	ctx, cancel := context.WithCancel(t.Context())
	context.AfterFunc(t.Context(), cancel)
	failed := make(chan error, 1)
	go func() {
		_, err := d.Login(ctx, "agent0001", sim.Password("agent0001"))
		failed <- err
	}()
	require.Eventually(t, func() bool { return s.Counts().Searches > searches }, deadline, time.Millisecond)
	cancel()
	err := <-failed
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, directory.ErrSlow)
	require.NotErrorIs(t, err, directory.ErrDown)
	s.Slow(0)
	require.NoError(t, login(t, d))
}

// TestClose closes with logins under way.
func TestClose(t *testing.T) {
	c := content()
	before := runtime.NumGoroutine()
	s := startSim(t, c)
	d := open(t, configure(c, s.URL))
	require.NoError(t, login(t, d))
	s.Slow(time.Hour)
	searches := s.Counts().Searches
	failed := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := d.Login(t.Context(), "agent0001", sim.Password("agent0001"))
			failed <- err
		}()
	}
	require.Eventually(t, func() bool { return s.Counts().Searches > searches }, deadline, time.Millisecond)
	d.Close()
	require.ErrorIs(t, <-failed, directory.ErrDown)
	require.ErrorIs(t, <-failed, directory.ErrDown)
	d.Close()
	require.ErrorIs(t, login(t, d), directory.ErrDown)
	require.ErrorIs(t, d.Check(t.Context()), directory.ErrDown)
	require.NoError(t, s.Close())
	requireGoroutines(t, before)
}
