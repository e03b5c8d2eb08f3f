package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/broker/client/console"
	"github.com/deskstorm/deskstorm/broker/pool"
	"github.com/deskstorm/deskstorm/broker/store"
	"github.com/deskstorm/deskstorm/cloud"
)

// What the broker writes on its servers, beside the mark of the cloud's owner.
const (
	desktopKey = "deskstorm_desktop" // metadata: the desktop's id in the broker's records
	poolKey    = "deskstorm_pool"    // metadata
	poolTag    = "deskstorm-pool"    // tag poolTag=POOL
)

// Nova is OpenStack's servers as Machines.
type Nova struct {
	cloud    *cloud.Cloud
	owner    string
	consoles console.Finder

	mu  sync.Mutex
	ids map[string]string // of flavors, images and networks, by their names
}

// NewNova makes Machines of a cloud that marks what it makes with owner.
func NewNova(c *cloud.Cloud, owner string, consoles console.Finder) *Nova {
	return &Nova{cloud: c, owner: owner, consoles: consoles, ids: map[string]string{}}
}

// Build asks for a server.
func (n *Nova) Build(ctx context.Context, desktopID string, spec pool.Spec) (string, error) {
	s := cloud.ServerSpec{
		Name:             pool.ServerName(store.Desktop{ID: desktopID, Pool: spec.Name}),
		Metadata:         map[string]string{desktopKey: desktopID, poolKey: spec.Name},
		Tags:             []string{poolTag + "=" + spec.Name},
		AvailabilityZone: spec.AvailabilityZone,
		UserData:         spec.UserData,
	}
	var err error
	if s.FlavorID, err = n.id(ctx, "flavor", spec.Flavor, n.cloud.Flavor); err != nil {
		return "", err
	}
	if s.ImageID, err = n.id(ctx, "image", spec.Image, n.cloud.Image); err != nil {
		return "", err
	}
	for _, name := range spec.Networks {
		network, err := n.id(ctx, "network", name, n.cloud.Network)
		if err != nil {
			return "", err
		}
		s.Networks = append(s.Networks, network)
	}
	server, err := n.cloud.CreateServer(ctx, s)
	if err != nil {
		n.forget()
	}
	return server.ID, err
}

// id finds what a name stands for, and remembers it until a build fails: it may have been made anew.
func (n *Nova) id(ctx context.Context, kind, name string, find func(context.Context, string) (string, error)) (string, error) {
	n.mu.Lock()
	known, ok := n.ids[kind+" "+name]
	n.mu.Unlock()
	if ok {
		return known, nil
	}
	id, err := find(ctx, name)
	if err != nil {
		return "", err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ids[kind+" "+name] = id
	return id, nil
}

func (n *Nova) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.ids)
}

// State asks for one server.
func (n *Nova) State(ctx context.Context, serverID string) (pool.Machine, error) {
	s, err := n.cloud.Server(ctx, serverID)
	if errors.Is(err, cloud.ErrNotFound) {
		return pool.Machine{}, fmt.Errorf("%w: %w", pool.ErrGone, err)
	}
	return machine(s), err
}

// All lists the servers that carry the broker's and the pool's mark.
func (n *Nova) All(ctx context.Context, name string) ([]pool.Machine, error) {
	servers, err := n.cloud.Servers(ctx, cloud.Filter{Tags: []string{cloud.OwnerTag + "=" + n.owner, poolTag + "=" + name}})
	var all []pool.Machine
	for _, s := range servers {
		all = append(all, machine(s))
	}
	return all, err
}

func machine(s cloud.Server) pool.Machine {
	return pool.Machine{ServerID: s.ID, Name: s.Name, DesktopID: s.Metadata[desktopKey], Host: s.Host, Status: pool.Status(s.Status),
		Fault: s.Fault, Created: s.Created}
}

// Delete asks for a server's end.
func (n *Nova) Delete(ctx context.Context, serverID string) error {
	return n.cloud.DeleteServer(ctx, serverID)
}

// Start starts a server that was shut down. One that is in between is fine: another login may have started it.
func (n *Nova) Start(ctx context.Context, serverID string) error {
	err := n.cloud.StartServer(ctx, serverID)
	if errors.Is(err, cloud.ErrConflict) {
		return nil
	}
	return err
}

// Answers says whether the SPICE server of a desktop that nobody uses answers.
func (n *Nova) Answers(ctx context.Context, m pool.Machine) error {
	at, err := n.consoles.Find(ctx, console.Desktop{ServerID: m.ServerID, Name: m.Name, Host: m.Host})
	if err != nil {
		var refused *client.Error
		if errors.As(consoleError(err), &refused) {
			return err
		}
		return fmt.Errorf("%w: %w", pool.ErrUnsure, err) // the cloud's failure is not the desktop's
	}
	return console.Answers(ctx, at)
}
