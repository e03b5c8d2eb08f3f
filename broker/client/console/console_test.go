package console_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/broker/client/console"
	"github.com/deskstorm/deskstorm/cloud"
)

var desktop = console.Desktop{ServerID: "5c1f5a39-4f77-4f0e-8a4f-2f4f5cbbd9a3", Name: "n2-117", Host: "node7"}

type finder func(context.Context, console.Desktop) (client.Console, error)

func (f finder) Find(ctx context.Context, d console.Desktop) (client.Console, error) {
	return f(ctx, d)
}

// fixed is a finder with one answer.
func fixed(host string, err error) console.Finder {
	return finder(func(context.Context, console.Desktop) (client.Console, error) { return client.Console{Host: host}, err })
}

func TestFirst(t *testing.T) {
	fault := errors.New("a fault")
	absent := fmt.Errorf("not here: %w", console.ErrNotOffered)
	for name, c := range map[string]struct {
		finders []console.Finder
		host    string
		err     error
	}{
		"the first":                  {finders: []console.Finder{fixed("a", nil), fixed("b", nil)}, host: "a"},
		"the next where one is none": {finders: []console.Finder{fixed("", absent), fixed("b", nil)}, host: "b"},
		"a fault is final":           {finders: []console.Finder{fixed("", absent), fixed("", fault), fixed("c", nil)}, err: fault},
		"a refusal is final":         {finders: []console.Finder{fixed("", console.ErrRefused), fixed("b", nil)}, err: console.ErrRefused},
		"none":                       {finders: []console.Finder{fixed("", absent), fixed("", absent)}, err: console.ErrNotOffered},
		"none at all":                {err: console.ErrNotOffered},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := console.First(c.finders...).Find(t.Context(), desktop)
			require.ErrorIs(t, err, c.err)
			require.Equal(t, c.host, found.Host)
		})
	}
	_, err := console.First(fixed("", absent), fixed("", absent)).Find(t.Context(), desktop)
	require.ErrorContains(t, err, "desktop n2-117 (5c1f5a39-4f77-4f0e-8a4f-2f4f5cbbd9a3)")
	require.ErrorContains(t, err, "not here")
}

func TestFirstRemembersNothing(t *testing.T) {
	offered := false
	first := console.First(finder(func(context.Context, console.Desktop) (client.Console, error) {
		if !offered {
			return client.Console{}, console.ErrNotOffered
		}
		return client.Console{Host: "a"}, nil
	}), fixed("b", nil))
	found, err := first.Find(t.Context(), desktop)
	require.NoError(t, err)
	require.Equal(t, "b", found.Host)
	offered = true
	found, err = first.Find(t.Context(), desktop)
	require.NoError(t, err)
	require.Equal(t, "a", found.Host)
}

func TestStatic(t *testing.T) {
	byID, byName := client.Console{Host: "a", Port: 1, Ticket: "t"}, client.Console{Host: "b", TLSPort: 2}
	consoles := map[string]client.Console{desktop.ServerID: byID, "n2-118": byName, "": {Host: "c"}}
	static := console.Static(consoles)
	clear(consoles)
	found, err := static.Find(t.Context(), desktop)
	require.NoError(t, err)
	require.Equal(t, byID, found)
	found, err = static.Find(t.Context(), console.Desktop{ServerID: "other", Name: "n2-118"})
	require.NoError(t, err)
	require.Equal(t, byName, found)
	_, err = static.Find(t.Context(), console.Desktop{ServerID: "other"})
	require.ErrorIs(t, err, console.ErrNotOffered)
}

// nova answers for one server.
type nova struct {
	at  cloud.ConsoleAddress
	err error
}

func (n nova) SpiceDirect(_ context.Context, id string) (cloud.ConsoleAddress, error) {
	if id != desktop.ServerID {
		return cloud.ConsoleAddress{}, cloud.ErrNotFound
	}
	return n.at, n.err
}

func (n nova) SpiceHTML5(ctx context.Context, id string) (cloud.ConsoleAddress, error) {
	return n.SpiceDirect(ctx, id)
}

var (
	_ console.DirectNova = (*cloud.Cloud)(nil)
	_ console.HTML5Nova  = (*cloud.Cloud)(nil)
)

func TestNova(t *testing.T) {
	at := cloud.ConsoleAddress{Host: "192.0.2.7", Port: 5900, TLSPort: 5901}
	for name, c := range map[string]struct {
		nova nova
		want client.Console
		err  error
	}{
		"found":         {nova: nova{at: at}, want: client.Console{Host: "192.0.2.7", Port: 5900, TLSPort: 5901}},
		"not offered":   {nova: nova{err: &cloud.Error{Err: cloud.ErrNotOffered}}, err: console.ErrNotOffered},
		"deleted":       {nova: nova{err: &cloud.Error{Err: cloud.ErrNotFound}}, err: console.ErrNotRunning},
		"shut off":      {nova: nova{err: &cloud.Error{Err: cloud.ErrConflict}}, err: console.ErrNotRunning},
		"down":          {nova: nova{err: &cloud.Error{Err: cloud.ErrUnavailable}}, err: cloud.ErrUnavailable},
		"not permitted": {nova: nova{err: &cloud.Error{Err: cloud.ErrForbidden}}, err: cloud.ErrForbidden},
	} {
		for kind, f := range map[string]console.Finder{"spice-direct": console.SpiceDirect(c.nova), "spice-html5": console.SpiceHTML5(c.nova)} {
			t.Run(name+" "+kind, func(t *testing.T) {
				found, err := f.Find(t.Context(), desktop)
				require.ErrorIs(t, err, c.err)
				require.Equal(t, c.want, found)
				if c.err != nil {
					require.ErrorContains(t, err, kind)
				}
				require.Equal(t, c.err == console.ErrNotOffered, errors.Is(err, console.ErrNotOffered))
			})
		}
	}
}
