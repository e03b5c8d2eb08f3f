package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/deskstorm/deskstorm/broker/allocator"
	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/broker/pool"
	"github.com/deskstorm/deskstorm/broker/store"
)

// tries is how many desktops a login is offered of which each turns out to be dead.
const tries = 3

// undoTimeout bounds giving back what a failed login was given. The login's own context may have ended.
const undoTimeout = 10 * time.Second

// Login takes a user to a desktop. The error is a *client.Error.
func (b *Broker) Login(ctx context.Context, l client.Login) (*client.Session, error) {
	w := &watch{}
	s, err := b.login(ctx, l, w)
	if err != nil {
		return nil, failed(err, w)
	}
	w.end()
	s.Steps = w.steps
	return s, nil
}

func (b *Broker) login(ctx context.Context, l client.Login, w *watch) (*client.Session, error) {
	w.begin(client.StepAuth)
	user, err := b.parts.Directory.Login(ctx, l.User, l.Password)
	if err != nil {
		return nil, directoryError(err)
	}
	w.begin(client.StepMatch)
	rule, ok := b.parts.Allocators.Choose(allocator.Request{User: user, Login: l})
	if !ok {
		return nil, &client.Error{Class: client.NoAllocator, Message: "no allocator matches this user, seat, site and tags, and there is no default"}
	}
	p, ok := b.pools[rule.Pool]
	if !ok {
		return nil, fmt.Errorf("allocator %s: there is no pool %s", rule.Name, rule.Pool)
	}
	token := newToken()
	want := store.Want{Pool: rule.Pool, Kind: rule.Bind, Key: bindingKey(rule.Bind, user.Name, l), Session: store.Session{
		ID: sessionKey(token), User: user.Name, Seat: l.Seat, ThinClient: l.ThinClient, Site: l.Site, Allocator: rule.Name, Began: time.Now(),
	}}
	for range tries {
		var given store.Allocation
		if given, err = b.allocate(ctx, p, want, w); err != nil {
			return nil, err
		}
		var at opened
		if at, err = b.open(ctx, p, given, w); err == nil {
			b.lease(want.Session.ID)
			return &client.Session{ID: token, Console: at.console, Lease: b.parts.Lease,
				Desktop: client.Desktop{ID: given.ServerID, Name: at.name, Pool: rule.Pool, Allocator: rule.Name}}, nil
		}
		b.giveBack(ctx, want.Session.ID, given)
		var dead *deadError
		if !errors.As(err, &dead) || ctx.Err() != nil {
			return nil, err
		}
		// Nobody has lost anything with a desktop that was taken a moment ago, or that the cloud has lost already. Any
		// other one may hold somebody's work, and may only be out of reach: it is the operator's to give it up.
		if !given.Fresh && !dead.gone {
			return nil, err
		}
		if !p.Died(ctx, given.Desktop, dead.Error()) {
			return nil, err
		}
	}
	return nil, err
}

// bindingKey is what a desktop is bound to.
func bindingKey(kind store.BindingKind, user string, l client.Login) string {
	switch kind {
	case store.BindSeat:
		return l.Seat
	case store.BindThinClient:
		return l.ThinClient
	}
	return user
}

// allocate gets the login's desktop, and waits for one that is being built if none is ready.
func (b *Broker) allocate(ctx context.Context, p *pool.Pool, want store.Want, w *watch) (store.Allocation, error) {
	w.begin(client.StepAllocate)
	given, err := b.parts.Store.Allocate(ctx, want, time.Now())
	if errors.Is(err, store.ErrPoolEmpty) && p.Spec().Wait > 0 {
		w.begin(client.StepBoot)
		given, err = b.wait(ctx, p, want)
	}
	if errors.Is(err, store.ErrPoolEmpty) {
		err = emptyError(p)
	}
	if given.Fresh {
		p.Kick()
	}
	return given, err
}

// wait waits for a ready desktop, as long as the pool's specification lets a login wait.
func (b *Broker) wait(ctx context.Context, p *pool.Pool, want store.Want) (store.Allocation, error) {
	place := p.Queue()
	defer place.Leave()
	waiting, cancel := context.WithTimeout(ctx, p.Spec().Wait)
	defer cancel()
	for {
		// The first try is for a desktop that got ready before the place was taken.
		given, err := b.parts.Store.Allocate(ctx, want, time.Now())
		if !errors.Is(err, store.ErrPoolEmpty) {
			return given, err
		}
		if place.Wait(waiting) != nil {
			if ctx.Err() != nil {
				return given, ctx.Err()
			}
			return given, err
		}
	}
}

// giveBack ends the session of a login that failed after it had got a desktop.
func (b *Broker) giveBack(ctx context.Context, session string, given store.Allocation) {
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	after := b.after
	if given.Fresh {
		after = func(string) store.State { return store.Ready } // nobody has used it
	}
	_, err := b.parts.Store.EndSession(undo, session, after, time.Now())
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		// Its lease ends it.
		b.lease(session)
		b.parts.Log.Error("giving back a desktop after a failed login", "desktop", given.ID, "err", err)
		return
	}
	b.changed(given.Pool)
}
