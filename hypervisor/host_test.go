package hypervisor_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/hypervisor"
	"github.com/deskstorm/deskstorm/lab/libvirt"
	"github.com/deskstorm/deskstorm/lab/libvirt/libvirttest"
	"github.com/deskstorm/deskstorm/spice"
)

const (
	deadline = 20 * time.Second
	poll     = 20 * time.Millisecond
)

func connect(t testing.TB, uri string) *hypervisor.Host {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	host, err := hypervisor.Connect(ctx, uri)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, host.Close()) })
	return host
}

// bounded is the context of calls that must be answered.
func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	t.Cleanup(cancel)
	return ctx
}

// reach asks the SPICE server whether it takes a ticket.
func reach(t *testing.T, at hypervisor.Spice, ticket string) error {
	return spice.Reach(bounded(t), spice.Config{Host: at.Host, Port: at.Port, Ticket: ticket})
}

func TestSpice(t *testing.T) {
	daemon := libvirttest.StartT(t, libvirt.Config{})
	host := connect(t, daemon.URI())
	ctx := bounded(t)

	t.Run("the port that libvirt chose", func(t *testing.T) {
		id := libvirttest.BootT(t, daemon, "n2-117", libvirt.Graphics)
		at, err := host.Spice(ctx, id)
		require.NoError(t, err)
		require.Equal(t, "127.0.0.1", at.Host)
		require.Zero(t, at.TLSPort)
		session, err := spice.Dial(ctx, spice.Config{Host: at.Host, Port: at.Port})
		require.NoError(t, err)
		require.NoError(t, session.Close())
	})
	t.Run("no ticketing", func(t *testing.T) {
		id := libvirttest.BootT(t, daemon, "n2-118", libvirt.Graphics)
		err := host.SetTicket(ctx, id, "correct horse", time.Time{})
		require.ErrorIs(t, err, hypervisor.ErrNoTicketing)
		require.NotContains(t, err.Error(), "horse")
		at, err := host.Spice(ctx, id)
		require.NoError(t, err)
		require.NoError(t, reach(t, at, ""), "the desktop is as it was")
	})
	t.Run("listening everywhere", func(t *testing.T) {
		id := libvirttest.BootT(t, daemon, "n2-119", `<graphics type='spice' autoport='yes' listen='0.0.0.0'/>`)
		at, err := host.Spice(ctx, id)
		require.NoError(t, err)
		require.NotEmpty(t, at.Host)
		require.NotEqual(t, "0.0.0.0", at.Host)
	})
	t.Run("no SPICE", func(t *testing.T) {
		id := libvirttest.BootT(t, daemon, "n2-120", "")
		_, err := host.Spice(ctx, id)
		require.ErrorIs(t, err, hypervisor.ErrNoSpice)
		require.ErrorIs(t, host.SetTicket(ctx, id, "ticket", time.Time{}), hypervisor.ErrNoSpice)
	})
	t.Run("not running", func(t *testing.T) {
		id, err := daemon.Define(ctx, "n2-121", libvirt.Graphics)
		require.NoError(t, err)
		_, err = host.Spice(ctx, id)
		require.ErrorIs(t, err, hypervisor.ErrNotRunning)
		require.ErrorIs(t, host.SetTicket(ctx, id, "ticket", time.Time{}), hypervisor.ErrNotRunning)
	})
	t.Run("unknown", func(t *testing.T) {
		id := uuid.NewString()
		_, err := host.Spice(ctx, id)
		require.ErrorIs(t, err, hypervisor.ErrNoDomain)
		require.ErrorContains(t, err, id)
		require.ErrorContains(t, err, daemon.URI())
		_, err = host.Spice(ctx, "n2-117")
		require.ErrorContains(t, err, `"n2-117" is no UUID`)
	})
}

func TestSetTicket(t *testing.T) {
	daemon := libvirttest.StartT(t, libvirt.Config{Ticketing: true})
	host := connect(t, daemon.URI())
	ctx := bounded(t)
	id := libvirttest.BootT(t, daemon, "n2-117", `<graphics type='spice' autoport='yes' keymap='de' defaultMode='insecure'>
		<listen type='address' address='127.0.0.1'/><image compression='auto_lz'/><clipboard copypaste='no'/></graphics>`)
	at, err := host.Spice(ctx, id)
	require.NoError(t, err)
	refused := func(ticket string) bool { return errors.Is(reach(t, at, ticket), spice.ErrPermissionDenied) }
	require.True(t, refused(""), "before there is a ticket nobody gets in")

	t.Run("taken", func(t *testing.T) {
		require.NoError(t, host.SetTicket(ctx, id, `s&p<i'c"e`, time.Now().Add(time.Hour)))
		session, err := spice.Dial(ctx, spice.Config{Host: at.Host, Port: at.Port, Ticket: `s&p<i'c"e`})
		require.NoError(t, err)
		require.True(t, refused("another"))
		require.True(t, refused(""))

		require.NoError(t, host.SetTicket(ctx, id, "second", time.Time{}))
		require.NoError(t, reach(t, at, "second"))
		require.True(t, refused(`s&p<i'c"e`), "a new ticket replaces the old one")
		select {
		case <-session.Done():
			t.Fatal("a new ticket ended the session of the old one")
		default:
		}
		require.NoError(t, session.Close())
	})
	t.Run("of any length", func(t *testing.T) {
		longest := strings.Repeat("x", 59)
		require.NoError(t, host.SetTicket(ctx, id, longest, time.Time{}))
		require.NoError(t, reach(t, at, longest))
	})
	t.Run("expires", func(t *testing.T) {
		expires := time.Now().Add(4 * time.Second)
		require.NoError(t, host.SetTicket(ctx, id, "soon", expires))
		require.NoError(t, reach(t, at, "soon"))
		require.Eventually(t, func() bool { return refused("soon") }, deadline, poll)
		// Whole seconds are counted twice, by libvirt and by spice-server.
		require.WithinDuration(t, expires, time.Now(), 2*time.Second)
	})
	t.Run("expired", func(t *testing.T) {
		require.NoError(t, host.SetTicket(ctx, id, "late", time.Now().Add(-time.Hour)))
		require.True(t, refused("late"))
		require.NoError(t, host.SetTicket(ctx, id, "renewed", time.Now().Add(time.Hour)))
		require.NoError(t, reach(t, at, "renewed"))
	})
	t.Run("nothing else changes", func(t *testing.T) {
		description, err := daemon.Description(ctx, id)
		require.NoError(t, err)
		for _, kept := range []string{"keymap='de'", "defaultMode='insecure'", "compression='auto_lz'", "copypaste='no'"} {
			require.Contains(t, description, kept)
		}
		after, err := host.Spice(ctx, id)
		require.NoError(t, err)
		require.Equal(t, at, after)
	})
	t.Run("no ticket", func(t *testing.T) {
		for _, ticket := range []string{"", strings.Repeat("hush ", 12), "hush\x00", "hush\n", "hüsh"} {
			err := host.SetTicket(ctx, id, ticket, time.Time{})
			require.ErrorContains(t, err, "a ticket has")
			require.NotContains(t, err.Error(), "sh\x00")
			require.NotContains(t, err.Error(), "hush")
		}
	})
	t.Run("by many at once", func(t *testing.T) {
		var group sync.WaitGroup
		for i := range 20 {
			group.Go(func() {
				if err := host.SetTicket(ctx, id, fmt.Sprintf("ticket %d", i), time.Now().Add(time.Hour)); err != nil {
					t.Error(err)
				}
				if _, err := host.Spice(ctx, id); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		taken := 0
		for i := range 20 {
			if reach(t, at, fmt.Sprintf("ticket %d", i)) == nil {
				taken++
			}
		}
		require.Equal(t, 1, taken)
	})
}

func TestTicketOfTheDomainsOwn(t *testing.T) {
	daemon := libvirttest.StartT(t, libvirt.Config{})
	host := connect(t, daemon.URI())
	ctx := bounded(t)
	id := libvirttest.BootT(t, daemon, "n2-117",
		`<graphics type='spice' autoport='yes' listen='127.0.0.1' passwd='first' connected='fail'/>`)
	at, err := host.Spice(ctx, id)
	require.NoError(t, err)
	session, err := spice.Dial(ctx, spice.Config{Host: at.Host, Port: at.Port, Ticket: "first"})
	require.NoError(t, err)
	err = host.SetTicket(ctx, id, "hush hush", time.Time{})
	require.ErrorContains(t, err, "set_password", "this domain's ticket must not change under a client")
	require.NotErrorIs(t, err, hypervisor.ErrNoTicketing)
	require.NotContains(t, err.Error(), "hush")
	require.NoError(t, session.Close())
	require.Eventually(t, func() bool { return host.SetTicket(ctx, id, "second", time.Time{}) == nil }, deadline, poll)
	require.NoError(t, reach(t, at, "second"))
}

func TestReconnects(t *testing.T) {
	daemon := libvirttest.StartT(t, libvirt.Config{Ticketing: true})
	host := connect(t, daemon.URI())
	ctx := bounded(t)
	id := libvirttest.BootT(t, daemon, "n2-117", libvirt.Graphics)
	before, err := host.Spice(ctx, id)
	require.NoError(t, err)

	require.NoError(t, daemon.Kill())
	_, err = host.Spice(ctx, id)
	require.ErrorIs(t, err, hypervisor.ErrConnection)
	require.ErrorContains(t, err, daemon.URI())

	require.NoError(t, daemon.Restart(ctx))
	after, err := host.Spice(ctx, id)
	require.NoError(t, err)
	require.Equal(t, before, after)

	require.NoError(t, daemon.Kill())
	require.NoError(t, daemon.Restart(ctx))
	require.NoError(t, host.SetTicket(ctx, id, "ticket", time.Time{}), "a restart between two calls is not seen")
	require.NoError(t, reach(t, after, "ticket"))
}

func TestConnectFails(t *testing.T) {
	ctx := bounded(t)
	uri := "qemu+unix:///system?socket=" + filepath.Join(t.TempDir(), "none")
	_, err := hypervisor.Connect(ctx, uri)
	require.ErrorIs(t, err, hypervisor.ErrConnection)
	require.ErrorContains(t, err, uri)

	for name, c := range map[string]struct{ answer, want string }{
		"another protocol": {"SSH-2.0-OpenSSH_9.2p1\r\n", "this is no libvirtd"},
		"a short packet":   {"\x00\x00\x00\x03", "a packet of 3 bytes"},
		"nothing":          {"", "opening qemu:///system"},
	} {
		t.Run(name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer listener.Close()
			go func() {
				for {
					conn, err := listener.Accept()
					if err != nil {
						return
					}
					io.WriteString(conn, c.answer)
					io.CopyN(io.Discard, conn, 1) // else what was not read resets the connection
					conn.Close()
				}
			}()
			uri := "qemu+tcp://" + listener.Addr().String() + "/system"
			_, err = hypervisor.Connect(ctx, uri)
			require.ErrorIs(t, err, hypervisor.ErrConnection)
			require.ErrorContains(t, err, uri)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestConnectEndsWithItsContext(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	require.NoError(t, err)
	defer listener.Close()
	for _, transport := range []string{"tcp", "tls"} {
		t.Run(transport, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			pki := libvirttest.TLSFilesT(t)
			uri := fmt.Sprintf("qemu+%s://%s/system", transport, listener.Addr())
			if transport == "tls" {
				uri += "?pkipath=" + pki
			}
			_, err := hypervisor.Connect(ctx, uri)
			require.ErrorIs(t, err, context.DeadlineExceeded)
		})
	}
}

func TestStalledConnection(t *testing.T) {
	daemon := libvirttest.StartT(t, libvirt.Config{})
	id := libvirttest.BootT(t, daemon, "n2-117", libvirt.Graphics)
	proxy := startProxy(t, daemon.Socket)
	goroutines := runtime.NumGoroutine()
	host := connect(t, "qemu+tcp://"+proxy.address+"/session")

	proxy.stall()
	patient, stop := context.WithCancel(t.Context())
	other := make(chan error, 1)
	go func() {
		_, err := host.Spice(patient, id)
		other <- err
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := host.Spice(ctx, id)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NotErrorIs(t, err, hypervisor.ErrConnection)
	select {
	case err := <-other:
		t.Fatalf("one call's deadline ended another call: %v", err)
	default:
	}
	require.Equal(t, 1, proxy.open(), "the other call still waits on it")

	_, err = host.Spice(bounded(t), id)
	require.NoError(t, err, "the next call goes over a new connection")
	require.Equal(t, 2, proxy.open())
	stop()
	require.ErrorIs(t, <-other, context.Canceled)
	require.Eventually(t, func() bool { return proxy.open() == 1 }, deadline, poll, "the last caller closes a stalled connection")
	require.NoError(t, host.Close())
	for end := time.Now().Add(deadline); runtime.NumGoroutine() > goroutines; time.Sleep(poll) {
		if time.Now().After(end) {
			all := make([]byte, 1<<20)
			t.Fatalf("goroutines are left:\n%s", all[:runtime.Stack(all, true)])
		}
	}
}

func TestClose(t *testing.T) {
	daemon := libvirttest.StartT(t, libvirt.Config{})
	proxy := startProxy(t, daemon.Socket)
	host := connect(t, "qemu+tcp://"+proxy.address+"/session")
	proxy.stall()
	waiting := make(chan error, 1)
	go func() {
		_, err := host.Spice(bounded(t), uuid.NewString())
		waiting <- err
	}()
	require.Eventually(t, func() bool { return proxy.swallowed() }, deadline, poll)
	require.NoError(t, host.Close())
	require.ErrorIs(t, <-waiting, hypervisor.ErrClosed)
	_, err := host.Spice(bounded(t), uuid.NewString())
	require.ErrorIs(t, err, hypervisor.ErrClosed)
	require.NoError(t, host.Close())
}

func TestTLS(t *testing.T) {
	pki := libvirttest.TLSFilesT(t)
	daemon := libvirttest.StartT(t, libvirt.Config{TLSDir: pki})
	id := libvirttest.BootT(t, daemon, "n2-117", libvirt.Graphics)
	ctx := bounded(t)
	uri := fmt.Sprintf("qemu+tls://localhost:%d/session?pkipath=", daemon.TLSPort)
	host := connect(t, uri+pki)
	_, err := host.Spice(ctx, id)
	require.NoError(t, err)

	t.Run("listening everywhere", func(t *testing.T) {
		id := libvirttest.BootT(t, daemon, "n2-118", `<graphics type='spice' autoport='yes' listen='0.0.0.0'/>`)
		at, err := host.Spice(ctx, id)
		require.NoError(t, err)
		require.Equal(t, "localhost", at.Host)
		require.NoError(t, reach(t, at, ""))
	})
	t.Run("an authority that the server is not of", func(t *testing.T) {
		_, err := hypervisor.Connect(ctx, uri+libvirttest.TLSFilesT(t))
		require.ErrorIs(t, err, hypervisor.ErrConnection)
		require.ErrorContains(t, err, "certificate")
	})
	t.Run("a client that the server does not know", func(t *testing.T) {
		mixed := libvirttest.TLSFilesT(t)
		authority, err := os.ReadFile(filepath.Join(pki, "cacert.pem"))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(mixed, "cacert.pem"), authority, 0o600))
		_, err = hypervisor.Connect(ctx, uri+mixed)
		require.ErrorIs(t, err, hypervisor.ErrConnection)
		require.ErrorContains(t, err, "client's certificate "+mixed)
	})
	t.Run("another name", func(t *testing.T) {
		_, err := hypervisor.Connect(ctx, strings.Replace(uri, "localhost", "127.0.0.2", 1)+pki)
		require.ErrorIs(t, err, hypervisor.ErrConnection)
	})
	t.Run("no files", func(t *testing.T) {
		_, err := hypervisor.Connect(ctx, uri+"/nowhere")
		require.ErrorContains(t, err, "/nowhere/cacert.pem")
	})
}

// proxy stands between a client and a daemon.
type proxy struct {
	address string

	mu      sync.Mutex
	conns   map[*proxied]bool
	swallow bool // what was read while stalled has come
}

type proxied struct{ stalled bool }

func startProxy(t *testing.T, socket string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	p := &proxy{address: listener.Addr().String(), conns: make(map[*proxied]bool)}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", socket)
			if err != nil {
				client.Close()
				continue
			}
			c := &proxied{}
			p.mu.Lock()
			p.conns[c] = true
			p.mu.Unlock()
			go p.copy(c, client, server)
			go p.copy(c, server, client)
		}
	}()
	return p
}

func (p *proxy) copy(c *proxied, to, from net.Conn) {
	defer func() {
		to.Close()
		from.Close()
		p.mu.Lock()
		delete(p.conns, c)
		p.mu.Unlock()
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		p.mu.Lock()
		stalled := c.stalled
		p.swallow = p.swallow || stalled
		p.mu.Unlock()
		if !stalled {
			to.Write(buffer[:n])
		}
	}
}

// stall makes the connections that are open pass nothing on any more, as a firewall does that has forgotten them.
func (p *proxy) stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.stalled = true
	}
}

func (p *proxy) swallowed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.swallow
}

func (p *proxy) open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}
