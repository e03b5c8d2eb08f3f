// Package console finds where a desktop's SPICE server listens, and a ticket for it. There are several ways, and which of
// them a cloud has depends on its age and its configuration: Nova's own (SpiceDirect, SpiceHTML5), the compute node's
// libvirtd (Libvirt), or a list that somebody wrote (Static). First asks them in order.
//
// Nova knows of no tickets. Where the compute nodes ask for them (spice_password in qemu.conf), only Libvirt gives consoles
// that can be opened, and it must come before SpiceDirect.
package console

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/deskstorm/deskstorm/broker/client"
)

// What callers decide on, to be tested with errors.Is. Any other error means that the way exists and failed.
var (
	// ErrNotOffered: this way does not exist here, so the next one is asked. From First: no way exists.
	ErrNotOffered = errors.New("this way to the console is not offered")
	// ErrRefused: there is a console, and it cannot be opened: its server does not answer, or refuses the ticket.
	ErrRefused = errors.New("the console refuses")
	// ErrNotRunning: the desktop is shut off or gone, and has no console therefore.
	ErrNotRunning = errors.New("the desktop does not run")
)

// Desktop is what finders go by.
type Desktop struct {
	ServerID string // OpenStack's, a UUID; libvirt's domain has the same one
	Name     string
	Host     string // the compute node's name; empty where the cloud does not tell
}

// Finder is a way to find a desktop's console. It may be used by many goroutines at once.
type Finder interface {
	// Find returns the console, with a ticket of its own where tickets are used: a ticket that an earlier call returned is
	// then no longer good. An error of ErrNotOffered says that there is no such way here.
	Find(context.Context, Desktop) (client.Console, error)
}

// First asks finders in their order. The answer is that of the first one whose error is not ErrNotOffered: a way that
// exists and fails is a fault that the next way would hide. It remembers nothing.
func First(finders ...Finder) Finder { return first(finders) }

type first []Finder

func (f first) Find(ctx context.Context, d Desktop) (client.Console, error) {
	var reasons []string
	for _, finder := range f {
		found, err := finder.Find(ctx, d)
		if !errors.Is(err, ErrNotOffered) {
			return found, err
		}
		reasons = append(reasons, err.Error())
	}
	if reasons == nil {
		reasons = []string{"none is configured"}
	}
	return client.Console{}, fmt.Errorf("%w for %s by any finder: %s", ErrNotOffered, d, strings.Join(reasons, "; "))
}

func (d Desktop) String() string {
	if d.Name == "" {
		return "desktop " + d.ServerID
	}
	return "desktop " + d.Name + " (" + d.ServerID + ")"
}
