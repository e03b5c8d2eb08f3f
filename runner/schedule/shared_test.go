package schedule

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	errHeld     = errors.New("held")
	errNotFound = errors.New("not found")
	errLost     = errors.New("lost")
)

// database is one in memory.
type database struct {
	mutex  sync.Mutex
	values map[string][]byte
	token  int
	until  time.Time
	err    error // of all that is asked
}

type lease struct {
	db    *database
	token int
	ttl   time.Duration
}

func (d *database) fail(err error) {
	d.mutex.Lock()
	d.err = err
	d.mutex.Unlock()
}

func (d *database) Lead(_ context.Context, _ string, ttl time.Duration) (*lease, error) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if d.err != nil {
		return nil, d.err
	}
	if time.Now().Before(d.until) {
		return nil, errHeld
	}
	d.token++
	d.until = time.Now().Add(ttl)
	return &lease{d, d.token, ttl}, nil
}

func (l *lease) change(until time.Time) error {
	l.db.mutex.Lock()
	defer l.db.mutex.Unlock()
	if l.db.err != nil {
		return l.db.err
	}
	if l.token != l.db.token || !time.Now().Before(l.db.until) {
		return errLost
	}
	l.db.until = until
	return nil
}

func (l *lease) Renew(context.Context) error   { return l.change(time.Now().Add(l.ttl)) }
func (l *lease) Release(context.Context) error { return l.change(time.Time{}) }

func (d *database) Get(_ context.Context, key string) ([]byte, error) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if v, ok := d.values[key]; ok {
		return v, d.err
	}
	return nil, errors.Join(errNotFound, d.err)
}

func (d *database) Put(_ context.Context, key string, value []byte) error {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if value == nil {
		delete(d.values, key)
	} else {
		d.values[key] = value
	}
	return d.err
}

func (d *database) PutAs(ctx context.Context, l *lease, key string, value []byte) error {
	d.mutex.Lock()
	lost := l.token != d.token || !time.Now().Before(d.until)
	d.mutex.Unlock()
	if lost {
		return errLost
	}
	return d.Put(ctx, key, value)
}

func share(t *testing.T, db *database, clock Clock) *Shared[*lease] {
	return NewShared(db, SharedOptions{
		Jobs: []string{"a"}, Clock: clock,
		Held:     func(err error) bool { return errors.Is(err, errHeld) },
		NotFound: func(err error) bool { return err == errNotFound || err.Error() == errNotFound.Error() },
		Lost:     func(err error) bool { return errors.Is(err, errLost) },
	})
}

func TestShared(t *testing.T) {
	text := yaml("a", `cron: "*/10 * * * *"`)
	// Each has a clock of its own, so that one can be stopped.
	start := func(t *testing.T, db *database) *desk {
		return open(t, "2026-11-26T01:55:00Z", text, func(o *Options) {
			shared := share(t, db, o.Clock)
			o.Leader, o.Store = shared, shared
		})
	}
	test(t, "the lead goes on when its holder ends", func(t *testing.T) {
		db := &database{values: map[string][]byte{}}
		first, second := start(t, db), start(t, db)
		pass(8 * time.Minute)
		require.Equal(t, []string{"26 02:00 a begins (schedule)", "26 02:01 a ends"}, first.take())
		require.NoError(t, second.Pause(t.Context(), "a", "ann"), "any runner pauses")
		pass(10 * time.Minute)
		require.NoError(t, first.Resume(t.Context(), "a"))
		second.Look(t.Context())
		require.Nil(t, second.Status(1).Jobs[0].Pause, "what another runner does is seen")
		require.NoError(t, first.Pause(t.Context(), "a", "bob"))
		second.Look(t.Context())
		require.Nil(t, second.Status(1).Jobs[0].Pause, "not each time anew")
		pass(look)
		second.Look(t.Context())
		require.Equal(t, "bob", second.Status(1).Jobs[0].Pause.By)
		require.Equal(t, []string{"26 02:10 a skipped 1: paused"}, first.take())
		require.NoError(t, second.Resume(t.Context(), "a"))
		first.stop()
		pass(10 * time.Minute)
		require.Equal(t, []string{"26 02:20 a begins (schedule)", "26 02:21 a ends"}, second.take())
		require.Empty(t, first.take())
	})
	test(t, "its holder was stopped, and comes back", func(t *testing.T) {
		db := &database{values: map[string][]byte{}}
		first, second := start(t, db), start(t, db)
		pass(time.Second)
		first.clock.hold(15*time.Minute + 30*time.Second)
		pass(time.Minute)
		first.clock.hold(0)
		pass(29 * time.Minute) // it wakes at 02:10:30
		require.Empty(t, first.take())
		require.Len(t, second.take(), 6)
		require.False(t, first.Status(1).Leads)
	})
	test(t, "the database goes away and comes back", func(t *testing.T) {
		db := &database{values: map[string][]byte{}}
		d := start(t, db)
		pass(time.Minute)
		db.fail(errors.New("connection refused"))
		pass(6 * time.Minute) // over 02:00
		require.Empty(t, d.take())
		require.False(t, d.Status(1).Leads)
		require.Contains(t, d.Status(1).Trouble, "the lead: connection refused")
		db.fail(nil)
		pass(time.Minute)
		require.Equal(t, []string{"26 02:02 a begins (schedule)"}, d.take()[:1])
		require.Empty(t, d.Status(1).Trouble)
	})
}

// TestSharedFence: who was stopped between its look at the lead and the accounting can do neither, nor start the run.
func TestSharedFence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &database{values: map[string][]byte{}}
		old := share(t, db, nil)
		_, release, err := old.Lead(t.Context())
		require.NoError(t, err)
		defer release()
		first, err := old.Advance(t.Context(), "a", Mark{}, Mark{At: time.Now()})
		require.NoError(t, err)
		require.False(t, first, "nothing is known yet")
		_, err = old.Load(t.Context())
		require.NoError(t, err)
		db.mutex.Lock()
		db.until = time.Time{} // it was stopped for so long
		db.mutex.Unlock()
		next := share(t, db, nil)
		_, release, err = next.Lead(t.Context())
		require.NoError(t, err)
		defer release()
		_, err = next.Load(t.Context())
		require.NoError(t, err)
		first, err = old.Advance(t.Context(), "a", Mark{}, Mark{At: time.Now()})
		require.NoError(t, err)
		require.False(t, first)
		first, err = next.Advance(t.Context(), "a", Mark{}, Mark{At: time.Now()})
		require.NoError(t, err)
		require.True(t, first)
	})
}

func TestSharedTellsOnceThatAnotherLeads(t *testing.T) {
	test(t, "while it waits", func(t *testing.T) {
		db := &database{values: map[string][]byte{}}
		_, release, err := share(t, db, nil).Lead(t.Context())
		require.NoError(t, err)
		told := 0
		waiting := share(t, db, nil)
		waiting.options.Waits = func(err error) {
			require.ErrorIs(t, err, errHeld)
			told++
		}
		led := make(chan func())
		go func() {
			_, release, err := waiting.Lead(t.Context())
			assert.NoError(t, err)
			led <- release
		}()
		time.Sleep(2 * time.Minute) // the bubble's time: asked a dozen times
		release()
		(<-led)()
		require.Equal(t, 1, told)
	})
}
