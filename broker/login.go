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

// A login is offered so many desktops of which each turns out to be dead or unreachable, in so long a time.
const (
	tries  = 3
	trying = 10 * time.Second
)

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
		return nil, directoryError(err, l.User)
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
	begun := time.Now()
	for try := 1; ; try++ {
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
		// Giving a desktop up ends its session and binding too.
		givenUp := ctx.Err() == nil && expendable(given, rule.Bind, err) && p.Died(ctx, given.Desktop, err.Error())
		if !givenUp {
			b.giveBack(ctx, want.Session.ID, given)
		}
		// A fresh one that was given back is the last in the line now.
		if ctx.Err() != nil || !givenUp && !given.Fresh || try == tries || time.Since(begun) > trying {
			return nil, err
		}
	}
}

// expendable says whether a desktop whose console could not be opened can be given up for another one. Nobody loses
// anything with one that was taken a moment ago, that the cloud has lost already, or that is bound for a session only and
// dead. Any other one may hold somebody's work, and may only be out of reach: it is the operator's to give it up.
func expendable(given store.Allocation, kind store.BindingKind, err error) bool {
	var dead *deadError
	if errors.As(err, &dead) {
		return given.Fresh || dead.gone || kind == store.BindSession
	}
	var known *client.Error
	return given.Fresh && errors.As(err, &known) && known.Class == client.ConsoleRefused
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
	began := time.Now()
	want.BoundOnly = p.Waiting() > 0 // a new desktop is for who has waited longest
	given, err := b.parts.Store.Allocate(ctx, want, began)
	if errors.Is(err, store.ErrPoolEmpty) && p.Spec().Wait > 0 {
		w.begin(client.StepBoot)
		given, err = b.wait(ctx, p, want)
	}
	if errors.Is(err, store.ErrPoolEmpty) {
		err = b.emptyError(ctx, p, began)
	} else if err != nil {
		// A commit whose answer was lost may have happened.
		b.undo(ctx, want.Session.ID, func(ctx context.Context) error {
			_, err := b.parts.Store.EndSession(ctx, want.Session.ID, b.after, time.Now())
			return err
		})
		p.Kick()
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
	want.BoundOnly = false
	for {
		if place.Wait(waiting) != nil {
			if ctx.Err() != nil {
				return store.Allocation{}, ctx.Err()
			}
			return store.Allocation{}, store.ErrPoolEmpty
		}
		given, err := b.parts.Store.Allocate(ctx, want, time.Now())
		if !errors.Is(err, store.ErrPoolEmpty) {
			return given, err
		}
	}
}

// giveBack takes back what a login was given that failed then. A session that it had taken over goes on.
func (b *Broker) giveBack(ctx context.Context, session string, given store.Allocation) {
	if given.Before.ID != "" {
		b.lease(given.Before.ID) // it may have ended meanwhile
	}
	b.undo(ctx, session, func(ctx context.Context) error {
		return b.parts.Store.Undo(ctx, session, given, time.Now())
	})
	b.changed(given.Pool)
}

// undo ends a failed login's session, if there is one, although the login's own time may be over.
func (b *Broker) undo(ctx context.Context, session string, end func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	if err := end(ctx); err != nil && !errors.Is(err, store.ErrNotFound) {
		b.lease(session) // whose end ends it
		b.parts.Log.Error("giving back a desktop after a failed login", "err", err)
	}
}
