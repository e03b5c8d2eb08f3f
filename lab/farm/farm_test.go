package farm_test

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/farm"
	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/spice"
	"github.com/deskstorm/deskstorm/spice/screen"
)

var _ sim.Desktops = (*farm.Farm)(nil)

// limitEnv makes this program a process of a farm, with this limit of open files.
const limitEnv = "FARM_TEST_LIMIT"

func TestMain(m *testing.M) {
	limit, err := strconv.ParseUint(os.Getenv(limitEnv), 10, 32)
	if err != nil {
		os.Exit(m.Run())
	}
	// The soft limit is lower: Serve raises it.
	err = errors.Join(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 20, Max: limit}), farm.Serve())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// newFarm has processes of this limit.
func newFarm(t *testing.T, limit int, c farm.Config) *farm.Farm {
	t.Helper()
	t.Setenv(limitEnv, strconv.Itoa(limit))
	self, err := os.Executable()
	require.NoError(t, err)
	c.Command = []string{self}
	f, err := farm.New(c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	return f
}

func dial(t *testing.T, c sim.Console, ticket string) *spice.Session {
	t.Helper()
	s, err := spice.Dial(t.Context(), spice.Config{Host: c.Host, Port: c.Port, Ticket: ticket})
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// descriptors are the open files of a process.
func descriptors(t testing.TB, pid int) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	require.NoError(t, err)
	return len(entries)
}

// TestMoreThanOneProcessMayHold has more desktops and thin clients than a process of that limit has descriptors, all at once.
func TestMoreThanOneProcessMayHold(t *testing.T) {
	const limit, n = 256, 60
	per := farm.Holds(limit, screen.Config{})
	require.Less(t, limit, 5*n)
	f := newFarm(t, limit, farm.Config{PerProcess: per})
	require.Empty(t, f.Processes())
	sessions := make([]*spice.Session, n)
	for i := range n {
		console, err := f.Boot(t.Context(), strconv.Itoa(i))
		require.NoError(t, err)
		sessions[i] = dial(t, console, "")
	}
	pids := f.Processes()
	require.Len(t, pids, (n+per-1)/per)
	for _, pid := range pids {
		limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
		require.NoError(t, err)
		require.Regexp(t, fmt.Sprintf(`Max open files +%d +%d `, limit, limit), string(limits))
		require.LessOrEqual(t, descriptors(t, pid), limit)
	}
	require.Greater(t, descriptors(t, pids[0]), 5*per)
	for i, s := range sessions {
		_, err := s.RoundTrip(t.Context(), spice.GuestTrip)
		require.NoError(t, err, i)
	}
}

func TestDesktops(t *testing.T) {
	f := newFarm(t, 1024, farm.Config{PerProcess: 1, Screen: screen.Config{Ticket: "secret"}})
	a, err := f.Boot(t.Context(), "a")
	require.NoError(t, err)
	b, err := f.Boot(t.Context(), "b")
	require.NoError(t, err)
	require.Len(t, f.Processes(), 2)
	_, err = spice.Dial(t.Context(), spice.Config{Host: a.Host, Port: a.Port})
	require.Error(t, err, "it needs its ticket")

	s := dial(t, b, "secret")
	require.True(t, f.SetGuestLatency("b", 50*time.Millisecond))
	took, err := s.RoundTrip(t.Context(), spice.GuestTrip)
	require.NoError(t, err)
	require.GreaterOrEqual(t, took, 50*time.Millisecond)
	require.False(t, f.SetGuestLatency("c", 0))

	require.True(t, f.Kill("a"))
	_, err = spice.Dial(t.Context(), spice.Config{Host: a.Host, Port: a.Port, Ticket: "secret"})
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	require.False(t, f.Kill("c"))
	a, err = f.Boot(t.Context(), "a")
	require.NoError(t, err)
	dial(t, a, "secret")
	require.Len(t, f.Processes(), 2, "in the place that it had")

	f.Shutdown("b")
	f.Shutdown("b")
	_, err = f.Boot(t.Context(), "c")
	require.NoError(t, err)
	require.Len(t, f.Processes(), 2, "in the place of b")
	require.NoError(t, f.Close())
	require.Empty(t, f.Processes())
	_, err = f.Boot(t.Context(), "d")
	require.ErrorContains(t, err, "being closed")
	f.Shutdown("a")
	require.False(t, f.Kill("a"))
}

// TestProcessDies: its desktops die with it, and boot in another one.
func TestProcessDies(t *testing.T) {
	f := newFarm(t, 1024, farm.Config{PerProcess: 2})
	_, err := f.Boot(t.Context(), "a")
	require.NoError(t, err)
	pid := f.Processes()[0]
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	require.Eventually(t, func() bool { return len(f.Processes()) == 0 }, 10*time.Second, time.Millisecond)
	require.False(t, f.Kill("a"))
	a, err := f.Boot(t.Context(), "a")
	require.NoError(t, err)
	dial(t, a, "")
	require.NotEqual(t, pid, f.Processes()[0])
}

func TestManyAtOnce(t *testing.T) {
	f := newFarm(t, 1024, farm.Config{PerProcess: 20})
	var working sync.WaitGroup
	for i := range 60 {
		working.Go(func() {
			id := strconv.Itoa(i)
			for range 3 {
				if _, err := f.Boot(t.Context(), id); err != nil {
					t.Error(err)
				}
				f.Kill(id)
				f.Shutdown(id)
			}
		})
	}
	working.Wait()
}

func TestRefuses(t *testing.T) {
	_, err := farm.New(farm.Config{})
	require.ErrorContains(t, err, "command")
	f, err := farm.New(farm.Config{Command: []string{"/bin/sh", "-c", "echo out of luck >&2; exit 3"}})
	require.NoError(t, err)
	defer f.Close()
	_, err = f.Boot(t.Context(), "a")
	require.ErrorContains(t, err, "out of luck")
	require.Empty(t, f.Processes())
	f, err = farm.New(farm.Config{Command: []string{"/no/such/program"}})
	require.NoError(t, err)
	_, err = f.Boot(t.Context(), "a")
	require.ErrorContains(t, err, "/no/such/program")
}

func TestHolds(t *testing.T) {
	for limit, want := range map[int]int{0: 0, 128: 0, 133: 0, 134: 1, 4096: 791, 20000: 3962} {
		require.Equal(t, want, farm.Holds(limit, screen.Config{}), limit)
	}
}

func TestTicketsAreNotTold(t *testing.T) {
	said := fmt.Sprintf("%v %+v %#v", farm.Settings{Ticket: "secret"}, farm.Settings{Ticket: "secret"}, farm.Settings{Ticket: "secret"})
	require.False(t, strings.Contains(said, "secret"), said)
}

// BenchmarkBoot boots ten thousand desktops where no process may have more than 4,096 open files, and says what they cost before
// anybody connects. Run it with -benchtime 1x.
func BenchmarkBoot(b *testing.B) {
	const limit, n = 4096, 10_000
	b.Setenv(limitEnv, strconv.Itoa(limit))
	self, err := os.Executable()
	require.NoError(b, err)
	for b.Loop() {
		f, err := farm.New(farm.Config{Command: []string{self}, PerProcess: farm.Holds(limit, screen.Config{})})
		require.NoError(b, err)
		for i := range n {
			_, err := f.Boot(b.Context(), strconv.Itoa(i))
			require.NoError(b, err)
		}
		files, memory := 0, 0
		pids := f.Processes()
		for _, pid := range pids {
			files += descriptors(b, pid)
			memory += resident(b, pid)
		}
		b.ReportMetric(float64(len(pids)), "processes")
		b.ReportMetric(float64(files)/n, "files/desktop")
		b.ReportMetric(float64(memory)/1e6, "MB")
		require.NoError(b, f.Close())
	}
}

// resident is a process's memory, in bytes.
func resident(t testing.TB, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	require.NoError(t, err)
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	require.NoError(t, err)
	return pages * os.Getpagesize()
}
