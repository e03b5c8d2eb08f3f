package api_test

import (
	"context"
	"time"

	"github.com/deskstorm/deskstorm/broker/api"
	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/broker/store"
)

// What must appear in no log, error or metric.
const (
	secretSession  = "s/ess ion-that-nobody-may-see" // with what a path has to encode
	secretPassword = "password-that-nobody-may-see"
	secretTicket   = "ticket-that-nobody-may-see"
	operatorToken  = "token-that-nobody-may-see"
	personalUser   = "anna"
)

var (
	monday = time.Date(2026, 11, 2, 7, 0, 0, 0, time.UTC)

	session = client.Session{
		ID:      secretSession,
		Desktop: client.Desktop{ID: "6f1a", Name: "desktop-1", Pool: "office", Allocator: "sales"},
		Console: client.Console{Host: "node17", Port: 5900, TLSPort: 5901, Ticket: secretTicket, Expires: monday, CA: "PEM", Subject: "CN=node17"},
		Steps: []client.Timing{
			{Step: client.StepAuth, Took: 3 * time.Millisecond}, {Step: client.StepMatch, Took: 20 * time.Microsecond},
			{Step: client.StepAllocate, Took: 2 * time.Millisecond}, {Step: client.StepBoot, Took: 0},
			{Step: client.StepConsole, Took: 4 * time.Millisecond},
		},
		Lease: 10 * time.Minute,
	}
	desktop = store.Desktop{ID: "d1", Pool: "office", Spec: "a1", ServerID: "6f1a", State: store.Assigned, Created: monday, Changed: monday}
)

// fake is a Broker that answers the same each time, or fails.
type fake struct {
	err   error
	login func(context.Context, client.Login) (*client.Session, error) // nil: the session

	got []any // what the last call was given
}

func (f *fake) say(args ...any) error {
	f.got = args
	return f.err
}

func (f *fake) Login(ctx context.Context, l client.Login) (*client.Session, error) {
	if f.login != nil {
		return f.login(ctx, l)
	}
	if err := f.say(l); err != nil {
		return nil, err
	}
	s := session
	return &s, nil
}

func (f *fake) Session(_ context.Context, id string) (store.Session, error) {
	return store.Session{ID: "hash", User: personalUser, Seat: "N2-117", DesktopID: "d1", Allocator: "sales", Began: monday}, f.say("session", id)
}

func (f *fake) Console(_ context.Context, id string) (client.Console, error) {
	return client.Console{Host: "node17", Port: 5900}, f.say("console", id)
}

func (f *fake) Renew(_ context.Context, id string) error  { return f.say("renew", id) }
func (f *fake) Logout(_ context.Context, id string) error { return f.say("logout", id) }

func (f *fake) ReportBroken(_ context.Context, id, reason string) error {
	return f.say("report", id, reason)
}

func (f *fake) Desktops(_ context.Context, pool string, state store.State) ([]store.Desktop, error) {
	broken := desktop
	broken.Broken, broken.Reason, broken.Ready, broken.Draining = monday, "no answer", monday, true
	return []store.Desktop{desktop, broken}, f.say("desktops", pool, state)
}

func (f *fake) DesktopBroken(_ context.Context, id, reason string) error {
	return f.say("broken", id, reason)
}
func (f *fake) Drain(_ context.Context, id string) error   { return f.say("drain", id) }
func (f *fake) Release(_ context.Context, id string) error { return f.say("release", id) }

func (f *fake) Bindings(_ context.Context, kind store.BindingKind, key string) ([]store.Binding, error) {
	return []store.Binding{{Kind: store.BindSeat, Key: "N2-117", Pool: "office", DesktopID: "d1", Created: monday}}, f.say("bindings", kind, key)
}

func (f *fake) Rebind(_ context.Context, b store.Binding) (store.Binding, error) {
	err := f.say("rebind", b)
	b.Created = monday
	return b, err
}

func (f *fake) Unbind(_ context.Context, kind store.BindingKind, key, pool string) error {
	return f.say("unbind", kind, key, pool)
}

func (f *fake) Pools(context.Context) ([]api.PoolStatus, error) {
	return []api.PoolStatus{{Name: "office", Ready: 5, Max: 50, Desktops: map[store.State]int{store.Ready: 4}, Booting: 1}}, f.say("pools")
}

func (f *fake) Check(context.Context) error { return f.say("check") }
