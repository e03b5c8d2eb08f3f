package console_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/broker/client/console"
	"github.com/deskstorm/deskstorm/hypervisor"
	"github.com/deskstorm/deskstorm/lab/libvirt"
	"github.com/deskstorm/deskstorm/lab/libvirt/libvirttest"
	"github.com/deskstorm/deskstorm/spice"
)

const deadline = 20 * time.Second

// host is a compute node with one desktop.
type host struct {
	at          hypervisor.Spice
	err         error // of Spice
	ticketError error

	mu      sync.Mutex
	tickets []string
	expires time.Time
	closed  bool
}

func (h *host) Spice(context.Context, string) (hypervisor.Spice, error) { return h.at, h.err }

func (h *host) SetTicket(_ context.Context, _, ticket string, expires time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tickets, h.expires = append(h.tickets, ticket), expires
	return h.ticketError
}

func (h *host) Close() error { h.closed = true; return nil }

// connector connects to one host and counts how often.
type connector struct {
	host  *host
	err   error
	names []string
}

func (c *connector) connect(_ context.Context, name string) (console.LibvirtHost, error) {
	c.names = append(c.names, name)
	if c.err != nil {
		return nil, c.err
	}
	return c.host, nil
}

func newLibvirt(t *testing.T, config console.LibvirtConfig) *console.Libvirt {
	t.Helper()
	finder, err := console.NewLibvirt(config)
	require.NoError(t, err)
	return finder
}

func TestLibvirtGivesFreshTickets(t *testing.T) {
	h := &host{at: hypervisor.Spice{Host: "node7", Port: 5900, TLSPort: 5901}}
	nodes := &connector{host: h}
	finder := newLibvirt(t, console.LibvirtConfig{Connect: nodes.connect, TicketLifetime: time.Hour, CA: "the CA"})
	seen := make(map[string]bool)
	for range 3 {
		before := time.Now()
		found, err := finder.Find(t.Context(), desktop)
		require.NoError(t, err)
		require.Equal(t, client.Console{Host: "node7", Port: 5900, TLSPort: 5901, CA: "the CA", Ticket: h.tickets[len(h.tickets)-1], Expires: h.expires}, found)
		require.Len(t, found.Ticket, 26, "128 bits in base32")
		require.False(t, seen[found.Ticket])
		seen[found.Ticket] = true
		require.WithinRange(t, found.Expires, before.Add(time.Hour-time.Second), time.Now().Add(time.Hour))
		require.Zero(t, found.Expires.Nanosecond(), "the host cuts to the second")
	}
	require.Equal(t, []string{"node7"}, nodes.names, "the connection is kept")

	require.NoError(t, finder.Close())
	require.True(t, h.closed)
	_, err := finder.Find(t.Context(), desktop)
	require.ErrorContains(t, err, "closed")
	require.Len(t, nodes.names, 1)
}

func TestLibvirtErrors(t *testing.T) {
	fault := errors.New("a fault")
	for name, c := range map[string]struct {
		host *host
		want error
	}{
		"no SPICE":             {&host{err: hypervisor.ErrNoSpice}, console.ErrNotOffered},
		"not running":          {&host{err: hypervisor.ErrNotRunning}, console.ErrNotRunning},
		"on another node":      {&host{err: hypervisor.ErrNoDomain}, hypervisor.ErrNoDomain},
		"unreachable":          {&host{err: hypervisor.ErrConnection}, hypervisor.ErrConnection},
		"the ticket is a fail": {&host{ticketError: fault}, fault},
		"stopped since":        {&host{ticketError: hypervisor.ErrNotRunning}, console.ErrNotRunning},
	} {
		t.Run(name, func(t *testing.T) {
			nodes := &connector{host: c.host}
			found, err := newLibvirt(t, console.LibvirtConfig{Connect: nodes.connect}).Find(t.Context(), desktop)
			require.ErrorIs(t, err, c.want)
			require.Zero(t, found)
			require.Equal(t, c.want == console.ErrNotOffered, errors.Is(err, console.ErrNotOffered))
			for _, ticket := range c.host.tickets {
				require.NotContains(t, err.Error(), ticket)
			}
		})
	}
	t.Run("no node known", func(t *testing.T) {
		nodes := &connector{host: &host{}}
		_, err := newLibvirt(t, console.LibvirtConfig{Connect: nodes.connect}).Find(t.Context(), console.Desktop{ServerID: desktop.ServerID})
		require.ErrorIs(t, err, console.ErrNotOffered)
		require.Empty(t, nodes.names)
	})
	t.Run("no connection", func(t *testing.T) {
		nodes := &connector{host: &host{at: hypervisor.Spice{Port: 1}}, err: fault}
		finder := newLibvirt(t, console.LibvirtConfig{Connect: nodes.connect})
		_, err := finder.Find(t.Context(), desktop)
		require.ErrorIs(t, err, fault)
		require.NotErrorIs(t, err, console.ErrNotOffered)
		nodes.err = nil
		_, err = finder.Find(t.Context(), desktop)
		require.NoError(t, err, "the next one tries again")
	})
}

func TestLibvirtRefusesConfigurations(t *testing.T) {
	_, err := console.NewLibvirt(console.LibvirtConfig{})
	require.ErrorContains(t, err, "no way to connect")
	_, err = console.NewLibvirt(console.LibvirtConfig{Connect: (&connector{}).connect, TicketLifetime: time.Second})
	require.ErrorContains(t, err, "shorter than 3s")
}

// TestLibvirtConnectsOnceForMany also shows that who waits for another's connect can give up.
func TestLibvirtConnectsOnceForMany(t *testing.T) {
	connecting, connected := make(chan struct{}), make(chan struct{})
	calls := 0
	finder := newLibvirt(t, console.LibvirtConfig{Connect: func(context.Context, string) (console.LibvirtHost, error) {
		calls++
		close(connecting)
		<-connected
		return &host{}, nil
	}})
	var group sync.WaitGroup
	find := func() {
		if _, err := finder.Find(t.Context(), desktop); err != nil {
			t.Error(err)
		}
	}
	group.Go(find)
	<-connecting
	for range 5 {
		group.Go(find)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := finder.Find(ctx, desktop)
	require.ErrorIs(t, err, context.Canceled)
	close(connected)
	group.Wait()
	require.Equal(t, 1, calls)
}

func TestConnectTo(t *testing.T) {
	connect := console.ConnectTo("qemu+ssh://%s/system")
	got, err := connect(t.Context(), "node7")
	require.ErrorContains(t, err, "qemu+ssh://node7/system")
	require.True(t, got == nil, "no LibvirtHost that holds a nil")
}

// TestLibvirtAndAnswers goes the whole way on real daemons and SPICE servers, with tickets and without.
func TestLibvirtAndAnswers(t *testing.T) {
	for name, ticketing := range map[string]bool{"with tickets": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			daemon := libvirttest.StartT(t, libvirt.Config{Ticketing: ticketing})
			id := libvirttest.BootT(t, daemon, "n2-117", libvirt.Graphics)
			finder := newLibvirt(t, console.LibvirtConfig{Connect: console.ConnectTo(daemon.URI())})
			defer func() { require.NoError(t, finder.Close()) }()
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			defer cancel()
			found, err := finder.Find(ctx, console.Desktop{ServerID: id, Host: "node7"})
			require.NoError(t, err)
			require.Equal(t, ticketing, found.Ticket != "")
			require.Equal(t, ticketing, !found.Expires.IsZero())
			require.NoError(t, console.Answers(ctx, found))

			session, err := spice.Dial(ctx, spice.Config{Host: found.Host, Port: found.Port, Ticket: found.Ticket})
			require.NoError(t, err)
			again, err := finder.Find(ctx, console.Desktop{ServerID: id, Host: "node7"})
			require.NoError(t, err)
			require.NoError(t, console.Answers(ctx, again))
			select {
			case <-session.Done():
				t.Fatal("asking whether the console answers ended a thin client's session")
			default:
			}
			require.NoError(t, session.Close())
			if ticketing {
				require.ErrorIs(t, console.Answers(ctx, found), console.ErrRefused, "the second ticket replaced the first")
			}

			_, err = finder.Find(ctx, console.Desktop{ServerID: uuid.NewString(), Host: "node7"})
			require.ErrorIs(t, err, hypervisor.ErrNoDomain)
			require.NoError(t, daemon.Close())
			require.ErrorIs(t, console.Answers(ctx, again), console.ErrRefused, "nobody listens any more")
		})
	}
}
