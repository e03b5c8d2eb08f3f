package console

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/hypervisor"
)

// LibvirtHost is a compute node's libvirtd. *hypervisor.Host is one.
type LibvirtHost interface {
	Spice(ctx context.Context, domainUUID string) (hypervisor.Spice, error)
	SetTicket(ctx context.Context, domainUUID, ticket string, expires time.Time) error
	Close() error
}

// DefaultTicketLifetime is long enough for a thin client that has just been given a ticket to open all its channels.
const DefaultTicketLifetime = time.Minute

// MinTicketLifetime is the shortest that lifetimes may be: tickets expire at whole seconds, give or take one.
const MinTicketLifetime = 3 * time.Second

// LibvirtConfig says how Libvirt reaches the compute nodes and what it gives out.
type LibvirtConfig struct {
	// Connect connects to the libvirtd of a compute node. It is called once for each, and again after it failed;
	// ConnectTo makes one from a URI.
	Connect func(ctx context.Context, host string) (LibvirtHost, error)
	// TicketLifetime is how long a ticket can be used to open a desktop; what is open stays open. The compute nodes' clocks
	// count. 0 means DefaultTicketLifetime.
	TicketLifetime time.Duration
	// CA is put into consoles that are served over TLS: the authority of the compute nodes' SPICE certificates, in PEM form.
	CA string
}

// ConnectTo connects to the libvirt URI that uri makes of a compute node's name, with the name in place of each %s:
// qemu+tls://%s/system. A URI without one is for all desktops.
func ConnectTo(uri string) func(ctx context.Context, host string) (LibvirtHost, error) {
	return func(ctx context.Context, host string) (LibvirtHost, error) {
		connected, err := hypervisor.Connect(ctx, strings.ReplaceAll(uri, "%s", host))
		if err != nil {
			return nil, err // not connected, which is a nil *Host and would be a LibvirtHost
		}
		return connected, nil
	}
}

// Libvirt asks the libvirtd of a desktop's compute node.
type Libvirt struct {
	config LibvirtConfig
	now    func() time.Time

	mu    sync.Mutex
	nodes map[string]*node
	done  bool
}

// node is a compute node. Its mutex is a channel, because who waits for a connect must be able to give up.
type node struct {
	connecting chan struct{}
	host       LibvirtHost // nil until connected
}

// NewLibvirt returns a finder that asks the libvirtd of a desktop's compute node, and, where its SPICE server takes tickets,
// gives it a new one. Connections are kept and shared; Close closes them.
//
// It is not offered for desktops whose compute node the cloud does not tell, and for desktops without SPICE.
func NewLibvirt(config LibvirtConfig) (*Libvirt, error) {
	if config.Connect == nil {
		return nil, errors.New("consoles by libvirt: no way to connect to compute nodes is configured")
	}
	if config.TicketLifetime == 0 {
		config.TicketLifetime = DefaultTicketLifetime
	}
	if config.TicketLifetime < MinTicketLifetime {
		return nil, fmt.Errorf("consoles by libvirt: the ticket lifetime %v is shorter than %v", config.TicketLifetime, MinTicketLifetime)
	}
	return &Libvirt{config: config, now: time.Now, nodes: make(map[string]*node)}, nil
}

// Find is Finder's.
func (l *Libvirt) Find(ctx context.Context, d Desktop) (client.Console, error) {
	found, err := l.find(ctx, d)
	if err != nil {
		return client.Console{}, fmt.Errorf("libvirt: %w", err)
	}
	return found, nil
}

func (l *Libvirt) find(ctx context.Context, d Desktop) (client.Console, error) {
	if d.Host == "" {
		return client.Console{}, fmt.Errorf("%w: the compute node of %s is not known", ErrNotOffered, d)
	}
	host, err := l.host(ctx, d.Host)
	if err != nil {
		return client.Console{}, err
	}
	at, err := host.Spice(ctx, d.ServerID)
	if err != nil {
		return client.Console{}, classified(err)
	}
	found := client.Console{Host: at.Host, Port: at.Port, TLSPort: at.TLSPort}
	if at.TLSPort != 0 {
		found.CA = l.config.CA
	}
	// SetTicket cuts to the second, so what is promised is cut too.
	ticket, expires := rand.Text(), l.now().Add(l.config.TicketLifetime).Truncate(time.Second)
	switch err := host.SetTicket(ctx, d.ServerID, ticket, expires); {
	case errors.Is(err, hypervisor.ErrNoTicketing):
		return found, nil
	case err != nil:
		return client.Console{}, classified(err)
	}
	found.Ticket, found.Expires = ticket, expires
	return found, nil
}

// classified gives a compute node's error the meaning that it has for a console. A node that does not have the desktop means
// nothing about the desktop: it may just have been migrated.
func classified(err error) error {
	switch {
	case errors.Is(err, hypervisor.ErrNoSpice):
		return fmt.Errorf("%w: %w", ErrNotOffered, err)
	case errors.Is(err, hypervisor.ErrNotRunning):
		return fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	return err
}

// host returns the connection to a compute node.
func (l *Libvirt) host(ctx context.Context, name string) (LibvirtHost, error) {
	l.mu.Lock()
	n := l.nodes[name]
	if n == nil {
		n = &node{connecting: make(chan struct{}, 1)}
		l.nodes[name] = n
	}
	l.mu.Unlock()

	select {
	case n.connecting <- struct{}{}:
		defer func() { <-n.connecting }()
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the connection to compute node %s: %w", name, context.Cause(ctx))
	}
	if l.closed() {
		return nil, errClosed
	}
	if n.host == nil {
		host, err := l.config.Connect(ctx, name)
		if err != nil {
			return nil, err
		}
		n.host = host
	}
	return n.host, nil
}

var errClosed = errors.New("the finder is closed")

func (l *Libvirt) closed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.done
}

// Close closes all connections. It waits for connects that are going on, which their contexts bound.
func (l *Libvirt) Close() error {
	l.mu.Lock()
	l.done = true
	nodes := l.nodes
	l.nodes = make(map[string]*node)
	l.mu.Unlock()
	var errs []error
	for _, n := range nodes {
		n.connecting <- struct{}{}
		if n.host != nil {
			errs = append(errs, n.host.Close())
		}
		<-n.connecting
	}
	return errors.Join(errs...)
}
