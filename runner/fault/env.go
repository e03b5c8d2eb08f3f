package fault

import (
	"context"
	"crypto/rand"
	"strings"

	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/runner/target"
)

// Env is what faults are planned and injected with. With the zero Env, Table is good for names and parameters only.
type Env struct {
	Targets  Targets
	Look     target.Executor // carries out the looks of planning, which change nothing
	Clouds   Clouds          // nil: there are none, and desktops.* are refused
	Guard    Guard
	Injector Injector
	// Services are what the configuration says of services whose names are not just systemd units, see ReadServices.
	Services map[string]Service
	// Relay is the command at targets that relays connections where the kernel cannot delay packets; see package relay. Empty: deskstorm
	// relay.
	Relay []string
	// NewID makes a plan's ID: up to 40 letters, digits, hyphens, dots and underscores. Nil: random ones.
	NewID func() string
}

// Targets says what the configuration knows of targets.
type Targets interface {
	// TargetKind is "local", "ssh", "http" or "cloud". The error of an unknown name says which names there are.
	TargetKind(name string) (string, error)
}

// Clouds are the clouds of targets.
type Clouds interface {
	Cloud(ctx context.Context, target string) (Cloud, error)
}

// Cloud is what faults ask of a cloud; *cloud.Cloud is one.
type Cloud interface {
	Servers(ctx context.Context, filter cloud.Filter) ([]cloud.Server, error)
}

// Injector applies plans so that their undo cannot be lost. Package undo has it.
type Injector interface {
	// Inject returns when the plan is applied. After an error nothing of it is left, or its undo is still tried.
	Inject(ctx context.Context, p Plan) error
	// Undo ends a plan that was injected. One that has ended is fine.
	Undo(ctx context.Context, id string) error
}

func (e Env) newID() string {
	if e.NewID != nil {
		return e.NewID()
	}
	return strings.ToLower(rand.Text()[:10]) // 50 bits
}
