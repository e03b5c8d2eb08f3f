package store_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/broker/store"
	"github.com/deskstorm/deskstorm/lab/postgres"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
)

// databases runs a test on an empty database of each kind.
func databases(t *testing.T, test func(t *testing.T, s *store.Store)) {
	t.Run("SQLite", func(t *testing.T) {
		test(t, open(t, "sqlite://"+filepath.Join(t.TempDir(), "a b?c#.db")))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		test(t, open(t, startPostgres(t)))
	})
}

// startPostgres starts a server with an empty database, and returns its DSN.
func startPostgres(t *testing.T) string {
	t.Helper()
	qemutest.RequireProgram(t, postgres.Program(), "postgresql")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	server, err := postgres.Start(ctx)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	return server.DSN
}

func open(t *testing.T, dsn string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func keep(string) store.State    { return store.Ready }
func replace(string) store.State { return store.Deleting }

// addReady makes desktops of a pool that are ready, in the order of their ids.
func addReady(t *testing.T, s *store.Store, pool string, ids ...string) {
	t.Helper()
	n, err := s.AddDesktops(t.Context(), pool, "spec", 1000, ids, noon)
	require.NoError(t, err)
	require.Equal(t, len(ids), n)
	for i, id := range ids {
		require.NoError(t, s.SetServer(t.Context(), id, "server-"+id))
		d, err := s.SetReady(t.Context(), id, noon.Add(time.Duration(i)*time.Second))
		require.NoError(t, err)
		require.Equal(t, store.Ready, d.State)
	}
}

func want(session, user string, kind store.BindingKind) store.Want {
	return store.Want{Session: store.Session{ID: session, User: user, Seat: "S1", ThinClient: "tc", Site: "north", Allocator: "agents", Began: noon},
		Pool: "standard", Kind: kind, Key: user}
}

func state(t *testing.T, s *store.Store, id string) store.State {
	t.Helper()
	d, err := s.Desktop(t.Context(), id)
	require.NoError(t, err)
	return d.State
}

func TestAllocate(t *testing.T) {
	databases(t, func(t *testing.T, s *store.Store) {
		_, err := s.Allocate(t.Context(), want("s0", "ada", store.BindUser), noon)
		require.ErrorIs(t, err, store.ErrPoolEmpty)
		addReady(t, s, "standard", "d1", "d2", "d3")
		addReady(t, s, "other", "o1")

		ada, err := s.Allocate(t.Context(), want("s1", "ada", store.BindUser), noon)
		require.NoError(t, err)
		require.True(t, ada.Fresh)
		byServer, err := s.Desktop(t.Context(), "server-d1")
		require.NoError(t, err)
		require.Equal(t, "d1", byServer.ID)
		require.Equal(t, store.Desktop{ID: "d1", Pool: "standard", Spec: "spec", ServerID: "server-d1", State: store.Assigned,
			Created: noon, Ready: noon, Changed: noon}, ada.Desktop)
		bob, err := s.Allocate(t.Context(), want("s2", "bob", store.BindUser), noon)
		require.NoError(t, err)
		require.Equal(t, "d2", bob.ID)

		// The same user again gets the same desktop, and the first session has ended.
		again, err := s.Allocate(t.Context(), want("s3", "ada", store.BindUser), noon)
		require.NoError(t, err)
		require.Equal(t, "d1", again.ID)
		require.False(t, again.Fresh)
		_, err = s.Session(t.Context(), "s1")
		require.ErrorIs(t, err, store.ErrNotFound)
		session, err := s.Session(t.Context(), "s3")
		require.NoError(t, err)
		require.Equal(t, store.Session{ID: "s3", User: "ada", Seat: "S1", ThinClient: "tc", Site: "north", DesktopID: "d1", Allocator: "agents", Began: noon}, session)

		// A user's binding outlives the session.
		_, err = s.EndSession(t.Context(), "s3", replace, noon)
		require.NoError(t, err)
		require.Equal(t, store.Assigned, state(t, s, "d1"))
		_, err = s.EndSession(t.Context(), "s3", replace, noon)
		require.ErrorIs(t, err, store.ErrNotFound)

		// A key of another kind is another one.
		seat := want("s4", "ada", store.BindSeat)
		third, err := s.Allocate(t.Context(), seat, noon)
		require.NoError(t, err)
		require.Equal(t, "d3", third.ID)
		_, err = s.Allocate(t.Context(), want("s5", "eve", store.BindUser), noon)
		require.ErrorIs(t, err, store.ErrPoolEmpty)
		require.Equal(t, store.Ready, state(t, s, "o1"), "another pool's")
	})
}

func TestSessionBindingEndsWithTheSession(t *testing.T) {
	for name, test := range map[string]struct {
		after func(string) store.State
		state store.State
	}{"kept": {keep, store.Ready}, "replaced": {replace, store.Deleting}} {
		t.Run(name, func(t *testing.T) {
			databases(t, func(t *testing.T, s *store.Store) {
				addReady(t, s, "standard", "d1")
				_, err := s.Allocate(t.Context(), want("s1", "ada", store.BindSession), noon)
				require.NoError(t, err)
				d, err := s.EndSession(t.Context(), "s1", test.after, noon)
				require.NoError(t, err)
				require.Equal(t, "d1", d.ID)
				require.Equal(t, test.state, state(t, s, "d1"))
				bindings, err := s.Bindings(t.Context(), "", "")
				require.NoError(t, err)
				require.Empty(t, bindings)
			})
		})
	}
}

func TestBrokenAndDrained(t *testing.T) {
	databases(t, func(t *testing.T, s *store.Store) {
		addReady(t, s, "standard", "d1", "d2", "d3", "d4")
		login := func(session, user string) string {
			d, err := s.Allocate(t.Context(), want(session, user, store.BindUser), noon)
			require.NoError(t, err)
			return d.ID
		}
		require.Equal(t, "d1", login("s1", "ada"))

		news, err := s.SetBroken(t.Context(), "d1", "", "no answer", noon)
		require.NoError(t, err)
		require.True(t, news)
		news, err = s.SetBroken(t.Context(), "d1", "", "no answer", noon)
		require.NoError(t, err)
		require.False(t, news, "told twice")
		require.Equal(t, store.Deleting, state(t, s, "d1"))
		require.Equal(t, "d2", login("s2", "ada"), "another desktop for the broken one")

		// Drained in use: until the session ends. Then the user's next desktop is another one.
		require.NoError(t, s.Drain(t.Context(), "d2", "", noon))
		require.Equal(t, store.Assigned, state(t, s, "d2"))
		_, err = s.EndSession(t.Context(), "s2", keep, noon)
		require.NoError(t, err)
		require.Equal(t, store.Deleting, state(t, s, "d2"))
		require.Equal(t, "d3", login("s3", "ada"))

		// Drained in use and logged in again: the old one is given up at once.
		require.NoError(t, s.Drain(t.Context(), "d3", "", noon))
		require.Equal(t, "d4", login("s4", "ada"))
		require.Equal(t, store.Deleting, state(t, s, "d3"))

		// Drained while ready: at once. While it is built: as soon as it is.
		addReady(t, s, "standard", "d5")
		require.NoError(t, s.Drain(t.Context(), "d5", "", noon))
		require.Equal(t, store.Deleting, state(t, s, "d5"))
		_, err = s.AddDesktops(t.Context(), "standard", "spec", 1000, []string{"d6"}, noon)
		require.NoError(t, err)
		require.NoError(t, s.Drain(t.Context(), "d6", "", noon))
		require.Equal(t, store.Building, state(t, s, "d6"))
		d, err := s.SetReady(t.Context(), "d6", noon)
		require.NoError(t, err)
		require.Equal(t, store.Deleting, d.State)

		require.NoError(t, s.Remove(t.Context(), "d6"))
		require.NoError(t, s.Remove(t.Context(), "d4"), "one in use stays")
		require.Equal(t, store.Assigned, state(t, s, "d4"))
		require.ErrorIs(t, s.SetServer(t.Context(), "d6", "x"), store.ErrNotFound)
	})
}

func TestBindings(t *testing.T) {
	databases(t, func(t *testing.T, s *store.Store) {
		addReady(t, s, "standard", "d1", "d2", "d3")
		_, err := s.Allocate(t.Context(), want("s1", "ada", store.BindUser), noon)
		require.NoError(t, err)
		_, err = s.Allocate(t.Context(), want("s2", "bob", store.BindUser), noon)
		require.NoError(t, err)

		_, err = s.Rebind(t.Context(), store.Binding{Kind: store.BindUser, Key: "ada", Pool: "standard", DesktopID: "d2"}, keep, noon)
		require.ErrorIs(t, err, store.ErrBusy, "it is bob's")
		require.Equal(t, store.Assigned, state(t, s, "d1"), "a refused change changes nothing")
		_, err = s.EndSession(t.Context(), "s1", keep, noon)
		require.NoError(t, err)
		b, err := s.Rebind(t.Context(), store.Binding{Kind: store.BindUser, Key: "ada", Pool: "standard", DesktopID: "d3"}, keep, noon)
		require.NoError(t, err)
		require.Equal(t, noon, b.Created)
		require.Equal(t, store.Ready, state(t, s, "d1"))
		d, err := s.Allocate(t.Context(), want("s3", "ada", store.BindUser), noon)
		require.NoError(t, err)
		require.Equal(t, "d3", d.ID)

		all, err := s.Bindings(t.Context(), store.BindUser, "")
		require.NoError(t, err)
		require.Len(t, all, 2)
		one, err := s.Bindings(t.Context(), "", "bob")
		require.NoError(t, err)
		require.Equal(t, []store.Binding{{Kind: store.BindUser, Key: "bob", Pool: "standard", DesktopID: "d2", Created: noon}}, one)

		require.NoError(t, s.Unbind(t.Context(), "standard", store.BindUser, "bob", replace, noon))
		require.Equal(t, store.Assigned, state(t, s, "d2"), "bob works on")
		_, err = s.EndSession(t.Context(), "s2", replace, noon)
		require.NoError(t, err)
		require.Equal(t, store.Deleting, state(t, s, "d2"))
		require.ErrorIs(t, s.Unbind(t.Context(), "standard", store.BindUser, "bob", replace, noon), store.ErrNotFound)
		require.NoError(t, s.Release(t.Context(), "d3", keep, noon))
		require.Equal(t, store.Ready, state(t, s, "d3"))
		sessions, err := s.Sessions(t.Context())
		require.NoError(t, err)
		require.Empty(t, sessions)
	})
}

func TestLimitOfAPool(t *testing.T) {
	databases(t, func(t *testing.T, s *store.Store) {
		n, err := s.AddDesktops(t.Context(), "standard", "spec", 3, []string{"a", "b"}, noon)
		require.NoError(t, err)
		require.Equal(t, 2, n)
		n, err = s.AddDesktops(t.Context(), "standard", "spec", 3, []string{"c", "d"}, noon)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		n, err = s.AddDesktops(t.Context(), "standard", "spec", 2, []string{"e"}, noon)
		require.NoError(t, err)
		require.Zero(t, n)
		counts, err := s.Counts(t.Context(), "standard", "spec")
		require.NoError(t, err)
		require.Equal(t, []store.Count{{State: store.Building, Desktops: 3}}, counts)
	})
}

// Many logins at once: each user has one desktop, and no desktop has two users.
func TestConcurrentLogins(t *testing.T) {
	databases(t, func(t *testing.T, s *store.Store) {
		const users, ready, logins = 30, 40, 8
		var ids []string
		for i := range ready {
			ids = append(ids, fmt.Sprintf("d%02d", i))
		}
		addReady(t, s, "standard", ids...)
		type given struct{ user, desktop string }
		all := make(chan given, users*logins)
		var wg sync.WaitGroup
		for login := range logins {
			for u := range users {
				wg.Go(func() {
					user := fmt.Sprintf("u%02d", u)
					d, err := s.Allocate(t.Context(), want(fmt.Sprintf("s-%d-%d", login, u), user, store.BindUser), noon)
					if err != nil {
						t.Errorf("%s: %v", user, err)
						return
					}
					all <- given{user, d.ID}
				})
			}
		}
		wg.Wait()
		close(all)
		desktopOf, userOf := map[string]string{}, map[string]string{}
		for g := range all {
			require.Contains(t, []string{"", g.desktop}, desktopOf[g.user], "a user with two desktops")
			require.Contains(t, []string{"", g.user}, userOf[g.desktop], "a desktop with two users")
			desktopOf[g.user], userOf[g.desktop] = g.desktop, g.user
		}
		require.Len(t, desktopOf, users)
		free, err := s.Desktops(t.Context(), "standard", store.Ready)
		require.NoError(t, err)
		require.Len(t, free, ready-users, "none was lost on the way")
	})
}

// People whose thin clients log in and out side by side, as two of one user do: the locks of both are taken in one order, so
// that neither waits for PostgreSQL to find a deadlock, which takes it a second.
func TestLoginsBesideLogouts(t *testing.T) {
	databases(t, func(t *testing.T, s *store.Store) {
		addReady(t, s, "standard", "d1", "d2", "d3")
		var clients sync.WaitGroup
		for client := range 4 {
			clients.Go(func() {
				for i := range 40 {
					id := fmt.Sprintf("s-%d-%d", client, i)
					_, err := s.Allocate(t.Context(), want(id, fmt.Sprint("u", client/2), store.BindSession), noon)
					if err == nil {
						_, err = s.EndSession(t.Context(), id, keep, noon)
					}
					if err != nil && !errors.Is(err, store.ErrNotFound) { // taken over by the user's other thin client
						t.Error(err)
					}
				}
			})
		}
		begun := time.Now()
		clients.Wait()
		require.Less(t, time.Since(begun), 10*time.Second)
		ready, err := s.Desktops(t.Context(), "standard", store.Ready)
		require.NoError(t, err)
		require.Len(t, ready, 3)
	})
}

func TestRebindDuringASession(t *testing.T) {
	databases(t, func(t *testing.T, s *store.Store) {
		addReady(t, s, "standard", "d1", "d2")
		addReady(t, s, "other", "o1")
		_, err := s.Allocate(t.Context(), want("s1", "ada", store.BindUser), noon)
		require.NoError(t, err)
		ada := store.Binding{Kind: store.BindUser, Key: "ada", Pool: "standard", DesktopID: "d1"}
		same, err := s.Rebind(t.Context(), ada, keep, noon.Add(time.Hour))
		require.NoError(t, err)
		require.Equal(t, noon, same.Created, "nothing has changed")
		ada.DesktopID = "o1"
		_, err = s.Rebind(t.Context(), ada, keep, noon)
		require.ErrorIs(t, err, store.ErrBusy, "another pool's")
		ada.DesktopID = "d2"
		_, err = s.Rebind(t.Context(), ada, replace, noon)
		require.NoError(t, err)
		_, err = s.Session(t.Context(), "s1")
		require.NoError(t, err, "she works on")
		require.Equal(t, store.Assigned, state(t, s, "d1"))
		_, err = s.EndSession(t.Context(), "s1", replace, noon)
		require.NoError(t, err)
		require.Equal(t, store.Deleting, state(t, s, "d1"))
		d, err := s.Allocate(t.Context(), want("s2", "ada", store.BindUser), noon)
		require.NoError(t, err)
		require.Equal(t, "d2", d.ID)
	})
}

func TestConditions(t *testing.T) {
	databases(t, func(t *testing.T, s *store.Store) {
		addReady(t, s, "standard", "d1", "d2")
		w := want("s1", "ada", store.BindSession)
		w.BoundOnly = true
		_, err := s.Allocate(t.Context(), w, noon)
		require.ErrorIs(t, err, store.ErrPoolEmpty, "others wait")
		w.BoundOnly = false
		_, err = s.Allocate(t.Context(), w, noon)
		require.NoError(t, err)
		w.BoundOnly = true
		_, err = s.Allocate(t.Context(), w, noon)
		require.NoError(t, err, "its own")

		news, err := s.SetBroken(t.Context(), "d1", store.Ready, "it did not answer while it was ready", noon)
		require.NoError(t, err)
		require.False(t, news)
		require.NoError(t, s.Drain(t.Context(), "d1", store.Ready, noon))
		_, err = s.EndSession(t.Context(), "s1", keep, noon)
		require.NoError(t, err)
		require.Equal(t, store.Ready, state(t, s, "d1"), "neither broken nor drained")
		pools, err := s.Pools(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{"standard"}, pools)
	})
}

func TestOpenRefuses(t *testing.T) {
	for dsn, says := range map[string]string{
		"":                                 "must begin with",
		"mysql://root:secret@h/":           "must begin with",
		"sqlite:":                          "names no file",
		"sqlite:/no/such/folder/secret.db": "opening the SQLite database",
		"postgres://u:secret@127.0.0.1:1/db?sslmode=disable": "opening the PostgreSQL database",
		"postgres://u:secret@127.0.0.1:x/db":                 "opening the PostgreSQL database",
	} {
		t.Run(dsn, func(t *testing.T) {
			_, err := store.Open(t.Context(), dsn)
			require.ErrorContains(t, err, says)
			if u, e := url.Parse(dsn); e != nil || u.User != nil {
				require.NotContains(t, err.Error(), "secret")
			}
		})
	}
}

func TestOneBrokerClaimsADatabase(t *testing.T) {
	test := func(t *testing.T, dsn string) {
		first, err := store.Open(t.Context(), dsn)
		require.NoError(t, err)
		require.NoError(t, first.Claim(t.Context()))
		second := open(t, dsn)
		hurried, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, second.Claim(hurried), store.ErrClaimed)
		closed := make(chan error, 1)
		time.AfterFunc(200*time.Millisecond, func() { closed <- first.Close() })
		require.NoError(t, second.Claim(t.Context()), "it waits for one that is about to end")
		require.NoError(t, <-closed)
	}
	t.Run("SQLite", func(t *testing.T) { test(t, "sqlite://"+filepath.Join(t.TempDir(), "broker.db")) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, startPostgres(t)) })
}

func TestReopen(t *testing.T) {
	dsn := "sqlite://" + filepath.Join(t.TempDir(), "broker.db")
	s, err := store.Open(t.Context(), dsn)
	require.NoError(t, err)
	addReady(t, s, "standard", "d1")
	require.NoError(t, s.Close())
	s = open(t, dsn)
	require.Equal(t, store.Ready, state(t, s, "d1"))
	require.NoError(t, s.Check(t.Context()))
}

func TestUndo(t *testing.T) {
	tests := map[string]struct {
		kind    store.BindingKind
		before  func(t *testing.T, s *store.Store) // the login that fails
		after   func(t *testing.T, s *store.Store)
		state   store.State
		session string // that there is then
		bound   bool
	}{
		"a fresh one":          {kind: store.BindSession, state: store.Ready},
		"a fresh one for good": {kind: store.BindUser, state: store.Ready},
		"in use": {kind: store.BindSession, state: store.Assigned, session: "s0", bound: true,
			before: func(t *testing.T, s *store.Store) {
				_, err := s.Allocate(t.Context(), want("s0", "ada", store.BindSession), noon)
				require.NoError(t, err)
			}},
		"bound, not in use": {kind: store.BindUser, state: store.Assigned, bound: true,
			before: func(t *testing.T, s *store.Store) {
				_, err := s.Allocate(t.Context(), want("s0", "ada", store.BindUser), noon)
				require.NoError(t, err)
				_, err = s.EndSession(t.Context(), "s0", keep, noon)
				require.NoError(t, err)
			}},
		"drained meanwhile": {kind: store.BindSession, state: store.Deleting,
			after: func(t *testing.T, s *store.Store) { require.NoError(t, s.Drain(t.Context(), "d1", "", noon)) }},
		"taken over meanwhile": {kind: store.BindSession, state: store.Assigned, session: "s2", bound: true,
			after: func(t *testing.T, s *store.Store) {
				_, err := s.Allocate(t.Context(), want("s2", "ada", store.BindSession), noon)
				require.NoError(t, err)
			}},
		"broken meanwhile": {kind: store.BindSession, state: store.Deleting,
			after: func(t *testing.T, s *store.Store) {
				_, err := s.SetBroken(t.Context(), "d1", "", "smoke", noon)
				require.NoError(t, err)
			}},
	}
	databases(t, func(t *testing.T, s *store.Store) {
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				addReady(t, s, "standard", "d1")
				if test.before != nil {
					test.before(t, s)
				}
				given, err := s.Allocate(t.Context(), want("s1", "ada", test.kind), noon)
				require.NoError(t, err)
				if test.after != nil {
					test.after(t, s)
				}
				err = s.Undo(t.Context(), "s1", given, noon)
				if name == "taken over meanwhile" || name == "broken meanwhile" {
					require.ErrorIs(t, err, store.ErrNotFound)
				} else {
					require.NoError(t, err)
				}
				require.Equal(t, test.state, state(t, s, "d1"))
				sessions, err := s.Sessions(t.Context())
				require.NoError(t, err)
				n, err := s.CountSessions(t.Context())
				require.NoError(t, err)
				require.Len(t, sessions, n)
				if test.session == "" {
					require.Empty(t, sessions)
				} else {
					require.Len(t, sessions, 1)
					require.Equal(t, test.session, sessions[0].ID)
				}
				bindings, err := s.Bindings(t.Context(), "", "")
				require.NoError(t, err)
				require.Equal(t, test.bound, len(bindings) == 1)
				_, err = s.SetBroken(t.Context(), "d1", "", "the next test has its own", noon)
				require.NoError(t, err)
				require.NoError(t, s.Remove(t.Context(), "d1"))
			})
		}
	})
}
