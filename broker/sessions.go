package broker

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"time"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/broker/pool"
	"github.com/deskstorm/deskstorm/broker/store"
)

// newToken makes what a thin client shows to end its session: 128 random bits.
func newToken() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// sessionKey is the session's id in the database, from which nobody can make the token.
func sessionKey(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:16])
}

// Session returns what is known of a session.
func (b *Broker) Session(ctx context.Context, token string) (store.Session, error) {
	s, err := b.parts.Store.Session(ctx, sessionKey(token))
	return s, b.outcome(err)
}

// Renew makes a session last for another lease.
func (b *Broker) Renew(ctx context.Context, token string) error {
	key := sessionKey(token)
	// Another login may have taken the desktop over, or an operator released it; the thin client learns it here.
	if _, err := b.parts.Store.Session(ctx, key); err != nil {
		return b.outcome(err)
	}
	b.lease(key)
	b.mu.Lock()
	b.renewed = time.Now()
	b.mu.Unlock()
	return nil
}

// Console says where a session's desktop is, with a new ticket.
func (b *Broker) Console(ctx context.Context, token string) (client.Console, error) {
	w := &watch{}
	d, err := b.desktopOf(ctx, token)
	if err != nil {
		return client.Console{}, b.outcome(err)
	}
	p, ok := b.pools[d.Pool]
	if !ok {
		return client.Console{}, b.outcome(store.ErrNotFound)
	}
	at, err := b.open(ctx, p, store.Allocation{Desktop: d}, w)
	if err != nil {
		return client.Console{}, failed(err, w)
	}
	return at.console, nil
}

// Logout ends a session.
func (b *Broker) Logout(ctx context.Context, token string) error {
	return b.outcome(b.end(ctx, sessionKey(token)))
}

func (b *Broker) end(ctx context.Context, key string) error {
	d, err := b.parts.Store.EndSession(ctx, key, b.after, time.Now())
	if err == nil || errors.Is(err, store.ErrNotFound) {
		b.mu.Lock()
		delete(b.leases, key)
		b.mu.Unlock()
	}
	if err == nil {
		b.changed(d.Pool)
	}
	return err
}

// ReportBroken is a thin client's word that its desktop does not work: it gets another one at its next login.
func (b *Broker) ReportBroken(ctx context.Context, token, reason string) error {
	d, err := b.desktopOf(ctx, token)
	if err != nil {
		return b.outcome(err)
	}
	p, ok := b.pools[d.Pool]
	if !ok {
		return b.operatorBroken(ctx, d, reason)
	}
	if err := p.Report(ctx, d, reason); !errors.Is(err, pool.ErrSpared) {
		return b.outcome(err)
	}
	return nil // It was heard and counted; too many say so at once.
}

func (b *Broker) desktopOf(ctx context.Context, token string) (store.Desktop, error) {
	s, err := b.parts.Store.Session(ctx, sessionKey(token))
	if err != nil {
		return store.Desktop{}, err
	}
	return b.parts.Store.Desktop(ctx, s.DesktopID)
}

// operatorBroken gives a desktop up, whatever its state.
func (b *Broker) operatorBroken(ctx context.Context, d store.Desktop, reason string) error {
	if p, ok := b.pools[d.Pool]; ok {
		return b.outcome(p.Condemn(ctx, d, reason))
	}
	_, err := b.parts.Store.SetBroken(ctx, d.ID, "", reason, time.Now())
	return b.outcome(err)
}

// outcome classifies what went wrong outside of a login.
func (b *Broker) outcome(err error) error {
	if err == nil {
		return nil
	}
	return classify(err)
}

// lease begins a session's lease.
func (b *Broker) lease(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.leases[key] = time.Now().Add(b.parts.Lease)
}

// leaseAll begins the leases of the sessions that an earlier broker left. Leases are not in the database: renewing one
// must write nothing, and a broker that was away cannot know who tried.
func (b *Broker) leaseAll(ctx context.Context) error {
	sessions, err := b.parts.Store.Sessions(ctx)
	if err != nil {
		return err
	}
	for _, s := range sessions {
		b.lease(s.ID)
	}
	return nil
}

// endSessions ends those whose lease is over.
func (b *Broker) endSessions(ctx context.Context) {
	tick := time.NewTicker(b.parts.Lease / 4)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		keys, silence := b.overdue(time.Now())
		if silence {
			b.parts.Log.Error("many sessions are not renewed and none is: is the network to the thin clients cut? They are kept",
				"sessions", len(keys))
			continue
		}
		for _, key := range keys {
			if !b.isOver(key, time.Now()) {
				continue // renewed while others were ended
			}
			err := b.end(ctx, key)
			if err == nil {
				b.parts.Log.Info("a session was not renewed and has ended")
			} else if !errors.Is(err, store.ErrNotFound) && ctx.Err() == nil {
				b.parts.Log.Error("ending a session that was not renewed", "err", err)
			}
		}
	}
}

// manySessions is from how many on it is less likely that all thin clients were switched off than that they cannot reach the
// broker. People work on then: SPICE does not come this way.
const manySessions = 100

// overdue are the sessions whose lease is over, and whether nobody at all has renewed one in that time.
func (b *Broker) overdue(now time.Time) (keys []string, silence bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, ends := range b.leases {
		if now.After(ends) {
			keys = append(keys, key)
		}
	}
	return keys, len(keys) >= manySessions && now.Sub(b.renewed) > b.parts.Lease
}

func (b *Broker) isOver(key string, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	ends, ok := b.leases[key]
	return ok && now.After(ends)
}
