package directory_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/broker/directory"
	sim "github.com/deskstorm/deskstorm/lab/sim/directory"
	"github.com/deskstorm/deskstorm/lab/slapd"
	"github.com/deskstorm/deskstorm/lab/slapd/slapdtest"
)

const (
	deadline = 10 * time.Second // of what should take milliseconds
	maxFails = 3                // wrong passwords that lock an account in OpenLDAP
)

// content is a call centre and some special people.
func content() sim.Config {
	c := sim.Callcenter(120) // no group is empty
	for i := range 25 {
		c.Groups = append(c.Groups, sim.Group{Name: fmt.Sprintf("team%02d", i)})
	}
	many := sim.User{Name: "many", Password: "pass-many"}
	for _, g := range c.Groups[len(c.Groups)-25:] {
		many.Groups = append(many.Groups, g.Name)
	}
	c.Groups = append(c.Groups,
		sim.Group{Name: "ring1", Groups: []string{"ring2"}},
		sim.Group{Name: "ring2", Groups: []string{"ring3"}},
		sim.Group{Name: "ring3", Groups: []string{"ring1", "staff"}})
	c.Users = append(c.Users, many,
		sim.User{Name: "Ann", Password: "pass-ann", OUs: []string{"Sales, North", "N1"}, Groups: []string{"sales", "ring1"}},
		sim.User{Name: "alone", Password: "pass-alone"},
		sim.User{Name: "locked", Password: "pass-locked", Groups: []string{"sales"}, Locked: true})
	return c
}

// configure returns the broker's configuration for a directory with the content.
func configure(c sim.Config, urls ...string) directory.Config {
	return directory.Config{
		URLs:         urls,
		BindDN:       c.ServiceDN,
		BindPassword: c.ServicePassword,
		UserBase:     c.BaseDN,
		GroupBase:    c.GroupBase(),
		Nested:       true,
		Timeout:      deadline,
	}
}

func open(t testing.TB, config directory.Config) *directory.Directory {
	t.Helper()
	d, err := directory.New(config)
	require.NoError(t, err)
	t.Cleanup(d.Close)
	return d
}

func startSim(t testing.TB, c sim.Config) *sim.Server {
	t.Helper()
	s, err := sim.Start(c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func startSlapd(t testing.TB, c sim.Config, config slapd.Config) *slapd.Server {
	t.Helper()
	ldif, err := c.LDIF()
	require.NoError(t, err)
	config.BaseDN, config.LDIF, config.MaxFailures = c.BaseDN, ldif, maxFails
	return slapdtest.StartT(t, config)
}

// onBoth runs a test against the simulated directory and a real one. They return no more than sizeLimit entries, if that
// is not 0.
func onBoth(t *testing.T, sizeLimit int, test func(t *testing.T, config directory.Config)) {
	c := content()
	c.SizeLimit = sizeLimit
	t.Run("simulated", func(t *testing.T) { test(t, configure(c, startSim(t, c).URL)) })
	t.Run("OpenLDAP", func(t *testing.T) { test(t, configure(c, startSlapd(t, c, slapd.Config{SizeLimit: sizeLimit}).URL)) })
}

// proxy passes TCP on until it is told to hold everything back.
type proxy struct {
	URL  string
	mu   sync.Mutex
	held chan struct{} // closed: pass on
}

func startProxy(t *testing.T, url string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{URL: "ldap://" + l.Addr().String(), held: make(chan struct{})}
	close(p.held)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		l.Close()
		running.Wait()
	})
	pass := func(to, from net.Conn) {
		defer to.Close()
		buffer := make([]byte, 4096)
		for {
			n, err := from.Read(buffer)
			p.mu.Lock()
			held := p.held
			p.mu.Unlock()
			select {
			case <-held:
			case <-ctx.Done():
				return
			}
			if _, failed := to.Write(buffer[:n]); err != nil || failed != nil {
				return
			}
		}
	}
	running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", strings.TrimPrefix(url, "ldap://"))
			if err != nil {
				client.Close()
				continue
			}
			context.AfterFunc(ctx, func() { client.Close(); server.Close() })
			running.Go(func() { pass(server, client) })
			running.Go(func() { pass(client, server) })
		}
	})
	return p
}

// hold stops passing anything on, or goes on with it.
func (p *proxy) hold(hold bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if hold {
		p.held = make(chan struct{})
	} else {
		close(p.held)
	}
}

// silent is a server that accepts connections and never says anything.
func silent(t *testing.T) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var running sync.WaitGroup
	t.Cleanup(func() { l.Close(); running.Wait() })
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { defer c.Close(); _, _ = io.Copy(io.Discard, c) })
		}
	})
	return "ldap://" + l.Addr().String()
}

// refusing is the URL of a port nobody listens on.
func refusing(t *testing.T) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return "ldap://" + l.Addr().String()
}

// requireGoroutines waits until there are no more than n.
func requireGoroutines(t *testing.T, n int) {
	t.Helper()
	for end := time.Now().Add(deadline); runtime.NumGoroutine() > n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("goroutines are left:\n%s", stacks[:runtime.Stack(stacks, true)])
		}
	}
}
