package sim

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/deskstorm/deskstorm/lab/qemu"
)

// Guests are desktops under QEMU. The lab shuts each down with its server, and all when it closes.
type Guests struct {
	config qemu.Config

	mu       sync.Mutex
	desktops map[string]*qemu.Desktop // by the server's id
	failed   []error
}

// NewGuests makes guests of one configuration.
func NewGuests(c qemu.Config) *Guests {
	return &Guests{config: c, desktops: map[string]*qemu.Desktop{}}
}

// Boot implements Desktops: it returns when the guest takes keys.
func (g *Guests) Boot(ctx context.Context, serverID string) (Console, error) {
	g.Shutdown(serverID) // one that was killed
	d, err := qemu.Start(ctx, g.config)
	if err != nil {
		return Console{}, fmt.Errorf("booting the guest of server %s: %w", serverID, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.desktops[serverID] = d
	return Console{Host: d.Host, Port: d.Port, TLSPort: d.TLSPort}, nil
}

// Shutdown implements Desktops.
func (g *Guests) Shutdown(serverID string) {
	g.mu.Lock()
	d := g.desktops[serverID]
	delete(g.desktops, serverID)
	g.mu.Unlock()
	if d == nil {
		return
	}
	if err := d.Close(); err != nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.failed = append(g.failed, err)
	}
}

// Kill implements Desktops.
func (g *Guests) Kill(serverID string) bool {
	d := g.Desktop(serverID)
	if d == nil {
		return false
	}
	d.Kill()
	return true
}

// Desktop is a server's guest; nil if it has none.
func (g *Guests) Desktop(serverID string) *qemu.Desktop {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.desktops[serverID]
}

// Err is what went wrong with shutting guests down, such as files that could not be removed.
func (g *Guests) Err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return errors.Join(g.failed...)
}
