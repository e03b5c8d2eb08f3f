package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/deskstorm/deskstorm/broker/api"
	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/broker/store"
)

// Desktops lists those of a pool in a state, of all if empty.
func (b *Broker) Desktops(ctx context.Context, pool string, state store.State) ([]store.Desktop, error) {
	all, err := b.parts.Store.Desktops(ctx, pool, state)
	return all, b.asked(err)
}

// DesktopBroken is an operator's word that a desktop does not work.
func (b *Broker) DesktopBroken(ctx context.Context, desktopID, reason string) error {
	d, err := b.parts.Store.Desktop(ctx, desktopID)
	if err != nil {
		return b.asked(err)
	}
	return b.operatorBroken(ctx, d, reason)
}

// Drain lets a desktop go when its last session ends, at once if it has none.
func (b *Broker) Drain(ctx context.Context, desktopID string) error {
	return b.asked(b.change(ctx, desktopID, func(id string) error {
		return b.parts.Store.Drain(ctx, id, "", time.Now())
	}))
}

// Release ends a desktop's binding and session.
func (b *Broker) Release(ctx context.Context, desktopID string) error {
	return b.asked(b.change(ctx, desktopID, func(id string) error {
		return b.parts.Store.Release(ctx, id, b.after, time.Now())
	}))
}

// change changes a desktop and tells its pool.
func (b *Broker) change(ctx context.Context, desktopID string, f func(id string) error) error {
	d, err := b.parts.Store.Desktop(ctx, desktopID)
	if err != nil {
		return err
	}
	if err := f(d.ID); err != nil {
		return err
	}
	b.changed(d.Pool)
	return nil
}

// Bindings lists those of a kind and key, of all if empty.
func (b *Broker) Bindings(ctx context.Context, kind store.BindingKind, key string) ([]store.Binding, error) {
	all, err := b.parts.Store.Bindings(ctx, kind, key)
	return all, b.asked(err)
}

// Rebind gives a key another desktop from its next login on.
func (b *Broker) Rebind(ctx context.Context, binding store.Binding) (store.Binding, error) {
	d, err := b.parts.Store.Desktop(ctx, binding.DesktopID)
	if err != nil {
		return binding, b.asked(err)
	}
	binding.DesktopID = d.ID
	made, err := b.parts.Store.Rebind(ctx, binding, b.after, time.Now())
	b.changed(binding.Pool)
	return made, b.asked(err)
}

// Unbind ends a key's binding in a pool.
func (b *Broker) Unbind(ctx context.Context, kind store.BindingKind, key, pool string) error {
	err := b.parts.Store.Unbind(ctx, pool, kind, key, b.after, time.Now())
	b.changed(pool)
	return b.asked(err)
}

// Pools tells how each pool stands, in the order of their names.
func (b *Broker) Pools(ctx context.Context) ([]api.PoolStatus, error) {
	var all []api.PoolStatus
	for _, name := range slices.Sorted(maps.Keys(b.pools)) {
		p := b.pools[name]
		status := api.PoolStatus{Name: name, Ready: p.Spec().Ready, Max: p.Spec().Max, Booting: p.Boots(), Desktops: map[store.State]int{}}
		counts, err := b.parts.Store.Counts(ctx, name, p.Spec().ID())
		if err != nil {
			return nil, b.asked(err)
		}
		for _, c := range counts {
			status.Desktops[c.State] += c.Desktops
			if c.Draining {
				status.Draining += c.Desktops
			}
		}
		all = append(all, status)
	}
	return all, nil
}

// asked classifies what went wrong with something an operator asked for.
func (b *Broker) asked(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrNotFound):
		return &client.Error{Class: api.NotFound, Message: err.Error(), Err: err}
	case errors.Is(err, store.ErrBusy):
		return &client.Error{Class: client.DesktopBusy, Message: fmt.Sprintf("%v, or it is not a ready one of that pool", store.ErrBusy), Err: err}
	}
	return classify(err)
}
