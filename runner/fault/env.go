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
	Targets  target.Config
	Look     target.Executor // carries out the looks of planning, which change nothing
	Limits   Limits
	Injector Injector
	// Cloud logs in to the cloud of a target of that kind. Nil: there are none, and desktops.* are refused.
	Cloud func(ctx context.Context, target string) (Cloud, error)
	// Relay returns the command, as an argument vector, that calls relay.Run with the arguments after it at a target whose kernel cannot
	// delay packets: at a local one this program may do. Nil, or one that returns nothing: deskstorm relay.
	Relay func(at target.Target) []string
	// NewID makes a plan's ID: up to 40 letters, digits, hyphens, dots and underscores. Nil: random ones.
	NewID func() string
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
	// Active says whether something of a plan may be left: until its undo has succeeded, however long that takes.
	Active(id string) bool
}

func (e Env) newID() string {
	if e.NewID != nil {
		return e.NewID()
	}
	return strings.ToLower(rand.Text()[:10]) // 50 bits
}

func (e Env) relay(at target.Target) []string {
	if e.Relay != nil {
		if argv := e.Relay(at); len(argv) > 0 {
			return argv
		}
	}
	return []string{"deskstorm", "relay"}
}

func (e Env) guard() Guard { return Guard{Targets: e.Targets, Limits: e.Limits} }

// kindOf is a target's kind as the configuration names it.
func kindOf(t target.Target) string {
	switch {
	case t.Local != nil:
		return "local"
	case t.SSH != nil:
		return "ssh"
	case t.HTTP != nil:
		return "http"
	case t.Cloud != nil:
		return "cloud"
	}
	return "none"
}
