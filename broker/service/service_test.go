package service_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/broker/config"
	"github.com/deskstorm/deskstorm/broker/service"
	"github.com/deskstorm/deskstorm/hypervisor"
	"github.com/deskstorm/deskstorm/lab/libvirt"
	"github.com/deskstorm/deskstorm/lab/libvirt/libvirttest"
	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/lab/sim/directory"
	"github.com/deskstorm/deskstorm/spice"
)

// serve runs a broker in this process until the test ends, and returns its URL.
func (w *world) serve() string {
	w.t.Helper()
	c, err := config.Load(w.file)
	require.NoError(w.t, err)
	s, err := service.Open(w.t.Context(), c, slog.New(slog.DiscardHandler))
	require.NoError(w.t, err)
	serving, stop := context.WithCancel(context.WithoutCancel(w.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(serving) }()
	w.t.Cleanup(func() {
		stop()
		require.NoError(w.t, <-ended)
	})
	return s.URL
}

func login(user string) client.Login {
	return client.Login{User: user, Password: directory.Password(user)}
}

func TestServesTLS(t *testing.T) {
	dir := libvirttest.TLSFilesT(t)
	world := newWorld(t, "sqlite://"+filepath.Join(t.TempDir(), "broker.db"), sim.Config{},
		"tls: {cert_file: "+filepath.Join(dir, "servercert.pem")+", key_file: "+filepath.Join(dir, "serverkey.pem")+"}")
	url := world.serve()
	require.True(t, strings.HasPrefix(url, "https://"), url)
	pem, err := os.ReadFile(filepath.Join(dir, "cacert.pem"))
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(pem))
	driver := client.NewBroker(client.BrokerConfig{URL: url, TLS: &tls.Config{RootCAs: pool}})
	defer driver.Close()
	s, err := driver.Login(t.Context(), login("agent0001"))
	require.NoError(t, err)
	require.NoError(t, driver.Logout(t.Context(), s))

	distrustful := client.NewBroker(client.BrokerConfig{URL: url})
	defer distrustful.Close()
	_, err = distrustful.Login(t.Context(), login("agent0001"))
	var failed *client.Error
	require.ErrorAs(t, err, &failed)
	require.Equal(t, client.BrokerDown, failed.Class)
	require.Contains(t, failed.Message, "does not prove who it is")
}

// domains are the simulated Nova's servers as real ones of libvirt.
type domains struct {
	t      *testing.T
	daemon *libvirt.Daemon
	host   *hypervisor.Host
}

func (d domains) Boot(ctx context.Context, serverID string) (sim.Console, error) {
	if err := d.daemon.BootAs(ctx, serverID, serverID, libvirt.Graphics); err != nil {
		return sim.Console{}, err
	}
	at, err := d.host.Spice(ctx, serverID)
	return sim.Console{Host: at.Host, Port: at.Port}, err
}

func (d domains) Shutdown(serverID string) {
	// One that is not there has been shut down.
	_ = d.daemon.Destroy(context.WithoutCancel(d.t.Context()), serverID)
}

func (domains) Kill(string) bool { return false }

// The way to a desktop whose compute node asks for tickets: the broker sets a new one at each login, and it expires.
func TestTicketsOfLibvirt(t *testing.T) {
	daemon := libvirttest.StartT(t, libvirt.Config{Ticketing: true})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	host, err := hypervisor.Connect(ctx, daemon.URI())
	require.NoError(t, err)
	defer host.Close()
	world := newWorld(t, "sqlite://"+filepath.Join(t.TempDir(), "broker.db"), sim.Config{Desktops: domains{t, daemon, host}},
		`console: {order: [libvirt, spice-html5], libvirt: {uri: "`+daemon.URI()+`", ticket_lifetime: 10s}}`)
	world.serve()
	// The first desktops boot while the login waits.
	var s *client.Session
	require.Eventually(t, func() bool {
		s, err = world.driver.Login(ctx, login("agent0001"))
		return err == nil
	}, time.Minute, 100*time.Millisecond, "%v", err)
	require.NotEmpty(t, s.Console.Ticket)
	require.WithinDuration(t, time.Now().Add(10*time.Second), s.Console.Expires, 5*time.Second)
	dial := func(at client.Console, ticket string) error {
		session, err := spice.Dial(ctx, spice.Config{Host: at.Host, Port: at.Port, Ticket: ticket})
		if err == nil {
			session.Close()
		}
		return err
	}
	require.ErrorIs(t, dial(s.Console, ""), spice.ErrPermissionDenied)
	require.NoError(t, dial(s.Console, s.Console.Ticket))
	again, err := world.driver.Console(ctx, s)
	require.NoError(t, err)
	require.NotEqual(t, s.Console.Ticket, again.Ticket)
	require.ErrorIs(t, dial(again, s.Console.Ticket), spice.ErrPermissionDenied, "the one before is no longer good")
	require.NoError(t, dial(again, again.Ticket))
	require.Eventually(t, func() bool { return dial(again, again.Ticket) != nil }, 30*time.Second, 500*time.Millisecond, "it does not expire")
	require.NoError(t, world.driver.Logout(ctx, s))
}
