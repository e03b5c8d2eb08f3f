package up

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/deskstorm/deskstorm/broker/client/openstack"
	"github.com/deskstorm/deskstorm/lab/control"
	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/lab/sim/lease"
)

// startControl serves the lab's own switches on a port of their own, which no fault hits.
func (c *Cloud) startControl(ctx context.Context, o Options) error {
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listening for the lab's control: %w", err)
	}
	switches := control.New(control.Config{Sim: c.Sim, Directory: c.Directory, Site: siteOf, Seed: o.Seed})
	server := &http.Server{Handler: switches, ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	c.Control = "http://" + listener.Addr().String()
	c.closers = append(c.closers, func() error {
		_ = server.Close() // its only clients are who asks to break what ends now
		err := <-served
		switches.Close()
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return fmt.Errorf("serving the lab's control: %w", err)
	})
	return nil
}

// siteOf is a desktop's by the seat whose own it is; other desktops are at no site.
func siteOf(s sim.Server) string {
	site, _, _ := strings.Cut(s.Metadata[openstack.SeatKey], "-")
	return site
}

// leasesEvery is how late a lease's change may be in the files.
const leasesEvery = time.Second

// startLeases keeps the lease files as Neutron's dnsmasq would have them.
func (c *Cloud) startLeases(log *slog.Logger) {
	files := lease.NewFiles(c.path("dhcp"))
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(leasesEvery)
		defer tick.Stop()
		failing := false
		for {
			leases, _ := c.Sim.Leases()
			err := files.Write(leases)
			if err != nil && !failing && log != nil {
				log.Error("the lab's lease files are not up to date", "error", err)
			}
			failing = err != nil
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	}()
	c.closers = append(c.closers, func() error {
		close(stop)
		<-ended
		return files.Remove()
	})
}
