package schedule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// testClock is a bubble's clock (testing/synctest), which can be set.
type testClock struct {
	system
	mutex sync.Mutex
	set   time.Duration // how far
	held  time.Duration // the next timers are that late: the process was stopped
}

func newClock(t testing.TB, now string) *testClock {
	return &testClock{system: system{time.Now()}, set: time.Until(moment(t, now))}
}

func (c *testClock) Now() time.Time {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.system.Now().Add(c.set)
}

func (c *testClock) Timer(d time.Duration) (<-chan time.Time, func()) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.system.Timer(d + c.held)
}

func (c *testClock) step(d time.Duration) {
	c.mutex.Lock()
	c.set += d
	c.mutex.Unlock()
}

func (c *testClock) hold(d time.Duration) {
	c.mutex.Lock()
	c.held = d
	c.mutex.Unlock()
}

// diary is what happened, with the time of day.
type diary struct {
	clock Clock
	mutex sync.Mutex
	lines []string
}

func (d *diary) add(format string, args ...any) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.lines = append(d.lines, d.clock.Now().UTC().Format("02 15:04 ")+fmt.Sprintf(format, args...))
}

// take returns what happened since the last take.
func (d *diary) take() []string {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	lines := d.lines
	d.lines = nil
	return lines
}

// desk is a scheduler under test. Each run takes the time that its job's variable "takes" says.
type desk struct {
	*Scheduler
	*diary
	clock *testClock
	stop  func()
	run   func(context.Context, Start) // instead, if it is set; guarded by the diary's mutex
}

func (d *desk) instead(run func(context.Context, Start)) {
	d.diary.mutex.Lock()
	defer d.diary.mutex.Unlock()
	d.run = run
}

func open(t *testing.T, now, text string, change func(*Options)) *desk {
	t.Helper()
	d := &desk{clock: newClock(t, now)}
	d.diary = &diary{clock: d.clock}
	store, err := OpenFile(filepath.Join(t.TempDir(), "state.json"))
	require.NoError(t, err)
	o := Options{
		Jobs: jobs(t, text), Store: store, Clock: d.clock, Log: slog.New(slog.DiscardHandler),
		Run: func(ctx context.Context, s Start) {
			d.diary.mutex.Lock()
			instead := d.run
			d.diary.mutex.Unlock()
			if instead != nil {
				instead(ctx, s)
				return
			}
			d.add("%s begins (%s)", s.Job.Name, s.Trigger)
			takes, _ := s.Job.Variables["takes"].(string)
			length, err := time.ParseDuration(takes)
			if err != nil {
				length = time.Minute
			}
			select {
			case <-ctx.Done():
				d.add("%s: %s", s.Job.Name, context.Cause(ctx))
			case <-time.After(length):
				d.add("%s ends", s.Job.Name)
			}
		},
		Skipped: func(s Skipped) { d.add("%s skipped %d: %s", s.Job, s.Count, s.Reason) },
	}
	if change != nil {
		change(&o)
	}
	d.Scheduler, err = New(o)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.Run(ctx)
	}()
	d.stop = func() {
		cancel()
		<-ended
	}
	t.Cleanup(d.stop)
	synctest.Wait()
	return d
}

// pass lets time go by, and what is due then be done.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func yaml(name string, keys ...string) string {
	return name + ":\n  experiment: smoke\n  " + strings.Join(keys, "\n  ") + "\n"
}

// test runs a test in a bubble of its own. The clock's seconds are beside what is due, so that nothing happens at the same time.
func test(t *testing.T, name string, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

func TestOverlap(t *testing.T) {
	const cron = `cron: "0,30 * * * *"`
	test(t, "skip", func(t *testing.T) {
		d := open(t, "2026-11-26T01:59:00Z", yaml("a", cron, "variables: {takes: 40m}"), nil)
		pass(62 * time.Minute)
		require.Equal(t, []string{"26 02:00 a begins (schedule)", "26 02:30 a skipped 1: overlap", "26 02:40 a ends",
			"26 03:00 a begins (schedule)"}, d.take())
	})
	test(t, "queue", func(t *testing.T) {
		d := open(t, "2026-11-26T01:59:00Z", yaml("a", cron, "overlap: queue", "variables: {takes: 70m}"), nil)
		pass(75 * time.Minute)
		require.Equal(t, []string{"26 02:00 a begins (schedule)", "26 03:00 a skipped 1: overlap", "26 03:10 a ends",
			"26 03:10 a begins (schedule)"}, d.take())
		require.Len(t, d.Status(1).Running, 1)
		require.Equal(t, "02:30", d.Status(1).Running[0].Occurrence.Format("15:04"))
	})
	test(t, "queue, until it is too late", func(t *testing.T) {
		d := open(t, "2026-11-26T01:59:00Z", yaml("a", `cron: "0 2,3 * * *"`, "overlap: queue", "variables: {takes: 100m}",
			"deadline: 04:00"), nil)
		pass(125 * time.Minute)
		require.Equal(t, []string{"26 02:00 a begins (schedule)", "26 03:40 a ends", "26 03:40 a begins (schedule)",
			"26 04:00 a: the deadline has passed"}, d.take())
	})
	test(t, "replace", func(t *testing.T) {
		d := open(t, "2026-11-26T01:59:00Z", yaml("a", cron, "overlap: replace", "variables: {takes: 40m}"), nil)
		pass(32 * time.Minute)
		require.Equal(t, []string{"26 02:00 a begins (schedule)", "26 02:30 a: replaced by the next run of the job",
			"26 02:30 a begins (schedule)"}, d.take())
	})
	test(t, "replace what will not end", func(t *testing.T) {
		release := make(chan struct{})
		d := open(t, "2026-11-26T01:59:00Z", yaml("a", cron, "overlap: replace"), nil)
		d.instead(func(context.Context, Start) {
			d.add("begins")
			<-release
		})
		pass(62 * time.Minute)
		require.Equal(t, []string{"26 02:00 begins", "26 03:00 a skipped 1: overlap"}, d.take(),
			"02:30 waited and was replaced by 03:00")
		close(release)
		pass(time.Second)
		require.Equal(t, []string{"26 03:01 begins"}, d.take())
	})
}

func TestGroup(t *testing.T) {
	test(t, "one at a time, in order", func(t *testing.T) {
		text := ""
		for _, name := range []string{"a", "b", "c"} {
			text += yaml(name, `cron: "0 2 * * *"`, "group: compute", "variables: {takes: 10m}")
		}
		d := open(t, "2026-11-26T01:59:00Z", text+yaml("free", `cron: "5 2 * * *"`), nil)
		pass(2 * time.Minute)
		require.Len(t, d.Status(1).Waiting, 2)
		pass(30 * time.Minute)
		require.Equal(t, []string{
			"26 02:00 a begins (schedule)", "26 02:05 free begins (schedule)", "26 02:06 free ends", "26 02:10 a ends",
			"26 02:10 b begins (schedule)",
			"26 02:20 b ends", "26 02:20 c begins (schedule)", "26 02:30 c ends",
		}, d.take())
	})
	test(t, "though the clock is set", func(t *testing.T) {
		d := open(t, "2026-11-26T01:59:00Z", yaml("a", `cron: "0 2 * * *"`, "group: g", "variables: {takes: 10m}")+
			yaml("b", `cron: "0 2 * * *"`, "group: g"), nil)
		pass(2 * time.Minute)
		d.clock.step(time.Hour)
		pass(10 * time.Minute)
		require.Equal(t, []string{"26 02:00 a begins (schedule)", "26 03:10 a ends", "26 03:10 b begins (schedule)"}, d.take()[:3])
	})
	test(t, "too long", func(t *testing.T) {
		d := open(t, "2026-11-26T01:59:00Z", yaml("a", `cron: "0 2 * * *"`, "group: compute", "variables: {takes: 2h}")+
			yaml("b", `cron: "1 2 * * *"`, "group: compute", "deadline: 30m")+
			yaml("c", `cron: "1 2 * * *"`, "group: compute", "blackout: ['03:00-23:00']"), nil)
		pass(3 * time.Hour)
		require.Equal(t, []string{"26 02:00 a begins (schedule)", "26 02:31 b skipped 1: deadline", "26 04:00 a ends",
			"26 04:00 c skipped 1: blackout"}, d.take())
	})
}

func TestAsking(t *testing.T) {
	const cron = `cron: "0 2 * * *"`
	test(t, "run and cancel", func(t *testing.T) {
		d := open(t, "2026-11-26T12:00:00Z", yaml("a", cron, "blackout: ['13:00-14:00']")+
			yaml("b", cron, "group: g", "variables: {takes: 2h}")+yaml("c", cron, "group: g"), nil)
		require.ErrorIs(t, d.RunNow("x", false), ErrNoJob)
		require.ErrorIs(t, d.Cancel("a"), ErrNotRunning)
		require.NoError(t, d.RunNow("a", false))
		require.ErrorIs(t, d.RunNow("a", true), ErrBusy)
		pass(30 * time.Second)
		require.NoError(t, d.Cancel("a"))
		pass(time.Second)
		require.Equal(t, []string{"26 12:00 a begins (manual)", "26 12:00 a: cancelled by a person"}, d.take())
		require.NoError(t, d.RunNow("b", false))
		require.NoError(t, d.RunNow("c", false))
		require.ErrorIs(t, d.RunNow("c", false), ErrBusy)
		require.Len(t, d.Status(1).Waiting, 1)
		synctest.Wait() // until b has begun
		require.NoError(t, d.Cancel("c"))
		pass(time.Hour)
		require.Equal(t, []string{"26 12:00 b begins (manual)", "26 12:00 c skipped 1: cancelled"}, d.take())
		err := d.RunNow("a", false)
		require.ErrorIs(t, err, ErrClosed)
		require.ErrorContains(t, err, "in the blackout 13:00-14:00")
		require.NoError(t, d.RunNow("a", true))
	})
	test(t, "pause over a restart", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "state.json")
		kept := func(o *Options) {
			store, err := OpenFile(path)
			require.NoError(t, err)
			o.Store = store
		}
		d := open(t, "2026-11-26T12:00:00Z", yaml("a", cron), kept)
		require.NoError(t, d.Pause(t.Context(), "a", "ann"))
		require.ErrorIs(t, d.Pause(t.Context(), "x", "ann"), ErrNoJob)
		require.Equal(t, "ann", d.Status(1).Jobs[0].Pause.By)
		d.stop()
		d = open(t, "2026-11-27T01:59:00Z", yaml("a", cron), kept)
		require.Equal(t, "ann", d.Status(1).Jobs[0].Pause.By)
		require.NoError(t, d.RunNow("a", false), "a person may")
		pass(2 * time.Minute)
		require.Equal(t, []string{"27 01:59 a begins (manual)", "27 02:00 a ends", "27 02:00 a skipped 1: paused"}, sorted(d.take()))
		require.NoError(t, d.Resume(t.Context(), "a"))
		pass(24 * time.Hour)
		require.Equal(t, []string{"28 02:00 a begins (schedule)", "28 02:01 a ends"}, d.take())
	})
	test(t, "stop", func(t *testing.T) {
		d := open(t, "2026-11-26T01:59:00Z", yaml("a", cron, "group: g", "variables: {takes: 2h}")+yaml("b", cron, "group: g"), nil)
		pass(2 * time.Minute)
		d.stop()
		require.Equal(t, []string{"26 02:00 a begins (schedule)", "26 02:01 a: the runner was stopped",
			"26 02:01 b skipped 1: stopped"}, sorted(d.take()))
		require.ErrorIs(t, d.RunNow("b", false), ErrStopped)
	})
}

func sorted(lines []string) []string {
	slices.Sort(lines)
	return lines
}

// TestClockIsSet: a clock that is set runs nothing twice, loses nothing for good, and does not run a day's jobs at once.
func TestClockIsSet(t *testing.T) {
	const hourly = `cron: "0 * * * *"`
	test(t, "forward a little", func(t *testing.T) {
		d := open(t, "2026-11-26T01:55:00Z", yaml("a", hourly), nil)
		d.clock.step(8 * time.Minute) // over 02:00
		pass(10 * time.Second)
		require.Equal(t, []string{"26 02:03 a begins (schedule)"}, d.take())
	})
	test(t, "forward a day", func(t *testing.T) {
		d := open(t, "2026-11-26T01:55:00Z", yaml("a", hourly)+yaml("b", hourly, "catch_up: latest"), nil)
		d.clock.step(24*time.Hour + 30*time.Minute)
		pass(10 * time.Second)
		require.Equal(t, []string{"27 02:25 a skipped 25: missed", "27 02:25 b begins (catch-up)", "27 02:25 b skipped 24: missed"},
			sorted(d.take()))
		pass(40 * time.Minute)
		require.Contains(t, d.take(), "27 03:00 a begins (schedule)")
	})
	test(t, "back an hour", func(t *testing.T) {
		d := open(t, "2026-11-26T01:55:00Z", yaml("a", hourly), nil)
		pass(10 * time.Minute)
		d.clock.step(-time.Hour) // 01:05
		pass(2 * time.Hour)
		require.Equal(t, []string{"26 02:00 a begins (schedule)", "26 02:01 a ends", "26 03:00 a begins (schedule)",
			"26 03:01 a ends"}, d.take())
	})
	test(t, "back ten years, from a wrong start", func(t *testing.T) {
		d := open(t, "2036-11-26T01:55:00Z", yaml("a", hourly), nil)
		d.clock.step(-10 * 365 * 24 * time.Hour)
		pass(2 * time.Hour)
		require.Len(t, d.take(), 4)
	})
	test(t, "the deadline of a duration is not that of the clock", func(t *testing.T) {
		d := open(t, "2026-11-26T01:59:30Z", yaml("a", `cron: "0 2 * * *"`, "deadline: 30m", "variables: {takes: 25m}")+
			yaml("b", `cron: "0 2 * * *"`, "deadline: 04:00", "variables: {takes: 25m}"), nil)
		pass(time.Minute)
		d.clock.step(2 * time.Hour)
		pass(30 * time.Minute)
		require.Equal(t, []string{"26 02:00 a begins (schedule)", "26 02:00 b begins (schedule)",
			"26 04:00 b: the deadline has passed", "26 04:25 a ends"}, sorted(d.take()))
	})
	test(t, "the hour that is missing, and the one that is doubled", func(t *testing.T) {
		text := yaml("a", `cron: "30 2 * * *"`, "timezone: Europe/Berlin")
		d := open(t, "2026-03-28T12:00:00Z", text, nil)
		pass(36 * time.Hour)
		require.Equal(t, []string{"29 01:00 a begins (schedule)", "29 01:01 a ends"}, d.take())
		d = open(t, "2026-10-24T12:00:00Z", text, nil)
		pass(24 * time.Hour)
		require.Equal(t, []string{"25 00:30 a begins (schedule)", "25 00:31 a ends"}, d.take())
	})
}

// key is a lead that runners share, like a database's lock. Its holder does not learn at once that it has lost it.
type key struct {
	turn  chan struct{}
	mutex sync.Mutex
	lost  chan struct{} // of who leads now
}

func newKey() *key {
	k := &key{turn: make(chan struct{}, 1)}
	k.turn <- struct{}{}
	return k
}

func (k *key) Lead(ctx context.Context) (<-chan struct{}, func(), error) {
	select {
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	case <-k.turn:
	}
	k.mutex.Lock()
	defer k.mutex.Unlock()
	mine := make(chan struct{})
	k.lost = mine
	return mine, func() {
		k.mutex.Lock()
		defer k.mutex.Unlock()
		if k.lost == mine {
			k.lost = nil
			k.turn <- struct{}{}
		}
	}, nil
}

// take takes the lead from whoever has it, who is told only if it says so.
func (k *key) take(tell bool) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if tell {
		close(k.lost)
	}
	k.lost = nil
	k.turn <- struct{}{}
}

func TestLeader(t *testing.T) {
	text := yaml("a", `cron: "*/10 * * * *"`)
	two := func(t *testing.T) (k *key, first, second *desk) {
		k = newKey()
		store, err := OpenFile(filepath.Join(t.TempDir(), "state.json"))
		require.NoError(t, err)
		shared := func(o *Options) { o.Leader, o.Store = k, store }
		first = open(t, "2026-11-26T01:55:00Z", text, shared)
		return k, first, open(t, "2026-11-26T01:55:00Z", text, shared)
	}
	test(t, "one starts runs", func(t *testing.T) {
		_, first, second := two(t)
		pass(8 * time.Minute)
		require.Len(t, first.take(), 2)
		require.Empty(t, second.take())
		require.ErrorIs(t, second.RunNow("a", false), ErrNotLeading)
		require.True(t, first.Status(1).Leads)
		require.False(t, second.Status(1).Leads)
		first.stop()
		pass(10 * time.Minute)
		require.Equal(t, []string{"26 02:10 a begins (schedule)", "26 02:11 a ends"}, second.take())
	})
	test(t, "a lost lead cancels nothing, and starts nothing", func(t *testing.T) {
		k, first, second := two(t)
		first.instead(func(ctx context.Context, s Start) {
			first.add("begins")
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Minute):
				first.add("ends")
			}
		})
		pass(6 * time.Minute)
		require.Equal(t, []string{"26 02:00 begins"}, first.take())
		k.take(true)
		pass(30 * time.Minute)
		require.Equal(t, []string{"26 02:20 ends"}, first.take())
		require.Len(t, second.take(), 6)
	})
	test(t, "a process that was stopped, and comes back", func(t *testing.T) {
		k, first, second := two(t)
		first.clock.hold(25 * time.Minute) // its next timer is late, as all that it does
		pass(10 * time.Second)
		first.clock.hold(0)
		k.take(false) // the database thinks that it is dead; it is not told
		pass(40 * time.Minute)
		require.Empty(t, first.take())
		require.Len(t, second.take(), 8, "02:00, 02:10, 02:20, 02:30")
		require.False(t, first.Status(1).Leads)
	})
	test(t, "a leader that fails", func(t *testing.T) {
		d := open(t, "2026-11-26T01:59:00Z", text, func(o *Options) { o.Leader = &flaky{fails: 3} })
		require.Contains(t, d.Status(1).Trouble[0], "the lead: no database")
		pass(2 * time.Minute)
		require.Equal(t, []string{"26 02:00 a begins (schedule)"}, d.take()[:1])
		require.Empty(t, d.Status(1).Trouble)
		require.Equal(t, 3, d.Status(1).Troubles)
	})
}

type flaky struct{ fails int }

func (f *flaky) Lead(ctx context.Context) (<-chan struct{}, func(), error) {
	if f.fails--; f.fails >= 0 {
		return nil, nil, errors.New("no database")
	}
	return Alone{}.Lead(ctx)
}

// broken is a store that cannot be written, as a database that is read-only; or that writes, and whose answer is lost.
type broken struct {
	Store
	mutex sync.Mutex
	err   error
	after bool
}

func (b *broken) set(err error) {
	b.mutex.Lock()
	b.err = err
	b.mutex.Unlock()
}

func (b *broken) Advance(ctx context.Context, job string, was, is Mark) (bool, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if b.err != nil && !b.after {
		return false, b.err
	}
	first, err := b.Store.Advance(ctx, job, was, is)
	return first, errors.Join(err, b.err)
}

// TestStoreFails: what cannot be accounted for is not started, and is when the store is well again.
func TestStoreFails(t *testing.T) {
	test(t, "", func(t *testing.T) {
		store := &broken{}
		d := open(t, "2026-11-26T01:58:00Z", yaml("a", `cron: "0 2 * * *"`), func(o *Options) {
			store.Store, o.Store = o.Store, store
		})
		store.set(errors.New("attempt to write a readonly database"))
		pass(5 * time.Minute)
		require.Empty(t, d.take())
		require.Contains(t, d.Status(1).Trouble[0],
			"accounting for a run of a, which is not started before that: attempt to write a readonly")
		store.set(nil)
		pass(10 * time.Second)
		require.Equal(t, []string{"26 02:03 a begins (schedule)"}, d.take())
		require.Empty(t, d.Status(1).Trouble)
	})
	test(t, "it had written after all", func(t *testing.T) {
		store := &broken{after: true}
		d := open(t, "2026-11-26T01:58:00Z", yaml("a", `cron: "0 2 * * *"`), func(o *Options) {
			store.Store, o.Store = o.Store, store
		})
		store.set(errors.New("connection reset"))
		pass(2*time.Minute + 10*time.Second)
		store.set(nil)
		pass(time.Hour)
		require.Equal(t, []string{"26 02:00 a begins (schedule)", "26 02:01 a ends"}, d.take())
	})
}

// TestJobsOfNoFile: jobs can be made without a configuration, and a mistake in one is an error and no panic.
func TestJobsOfNoFile(t *testing.T) {
	s, err := New(Options{Jobs: []Job{{Name: "a", Cron: "@daily"}}})
	require.NoError(t, err)
	require.Len(t, s.Status(1).Jobs[0].Upcoming, 1)
	_, err = New(Options{Jobs: []Job{{Name: "a"}}})
	require.ErrorContains(t, err, "the cron line of a: expected five fields")
	_, err = New(Options{Jobs: []Job{{Name: "a", Cron: "@daily", Calendar: &Calendar{Path: "/nonexistent.ics"}}}})
	require.ErrorContains(t, err, "reading a calendar")
}

// BenchmarkStatus is what the page asks for each second, with as many jobs as there may be.
func BenchmarkStatus(b *testing.B) {
	var text strings.Builder
	for i := range MaxJobs {
		cron := []string{"15 2 * * 1-5", "*/5 * * * *", "@every 15m", "0 0 1 1 *"}[i%4]
		text.WriteString(yaml(fmt.Sprint("j", i), `cron: "`+cron+`"`, "timezone: Europe/Berlin", "jitter: 2m",
			"blackout: ['Mon-Fri 06:00-22:00']"))
	}
	s, err := New(Options{Jobs: jobs(b, text.String()), Clock: newClock(b, "2026-11-26T06:00:00Z")})
	require.NoError(b, err)
	for b.Loop() {
		s.Status(5)
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	f, err := OpenFile(path)
	require.NoError(t, err)
	mark := Mark{At: time.Unix(1772000000, 0), Timing: "x"}
	first, err := f.Advance(t.Context(), "a", Mark{}, mark)
	require.NoError(t, err)
	require.True(t, first)
	first, err = f.Advance(t.Context(), "a", Mark{}, mark)
	require.NoError(t, err)
	require.False(t, first)
	require.NoError(t, f.SetPause(t.Context(), "a", &Pause{By: "ann", Since: mark.At}))
	again, err := OpenFile(path)
	require.NoError(t, err)
	states, err := again.Load(t.Context())
	require.NoError(t, err)
	require.True(t, states["a"].Mark.Equal(mark))
	require.Equal(t, "ann", states["a"].Pause.By)

	none, err := OpenFile(filepath.Join(t.TempDir(), "gone", "state.json"))
	require.NoError(t, err)
	require.ErrorContains(t, none.SetPause(t.Context(), "a", nil), "keeping the schedule's state")
	states, err = none.Load(t.Context())
	require.NoError(t, err)
	require.Empty(t, states, "what is not kept is not believed")
}
