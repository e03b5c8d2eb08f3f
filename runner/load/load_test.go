package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/deskstorm/deskstorm/results"
	"github.com/deskstorm/deskstorm/runner/native"
	"github.com/deskstorm/deskstorm/runner/record"
)

// fakeK6 makes the test's own program behave as k6.
const fakeK6 = "DESKSTORM_TEST_FAKE_K6"

func TestMain(m *testing.M) {
	if os.Getenv(fakeK6) != "" {
		os.Exit(pretend(os.Args[2:]))
	}
	os.Exit(m.Run())
}

var epoch = time.Date(2026, 11, 26, 2, 0, 0, 0, time.UTC)

// pretend is k6, in a way that the script names. Of the segments, those after the first may be otherwise: "fine,exit 107".
func pretend(args []string) int {
	source, err := io.ReadAll(os.Stdin)
	if file := args[len(args)-1]; file != "-" {
		source, err = os.ReadFile(file)
	}
	if err != nil {
		return 255
	}
	ways := strings.Split(strings.TrimSpace(string(source)), ",")
	if args[0] == "inspect" {
		if ways[0] == "mistake" {
			fmt.Fprintln(os.Stderr, "line 7 is wrong")
			return 107
		}
		users, duration := os.Getenv("K6_VUS"), os.Getenv("K6_DURATION")
		if users == "" {
			users = "10"
		}
		if duration == "" {
			duration = "1m"
		}
		fmt.Printf(`{"totalDuration":%q,"maxVUs":%s}`, duration, users)
		return 0
	}
	way := ways[0]
	for _, a := range args {
		if s, ok := strings.CutPrefix(a, "--execution-segment="); ok && !strings.HasPrefix(s, "0:") {
			way = ways[len(ways)-1]
		}
	}
	interrupted := make(chan os.Signal, 1)
	if way != "deaf" {
		signal.Notify(interrupted, os.Interrupt)
	}
	if way == "hangs" {
		if err := os.WriteFile("hangs", nil, 0o600); err != nil {
			panic(err)
		}
	}
	for way != ways[0] && ways[0] == "hangs" { // the others come when it listens to signals
		if _, err := os.Stat("hangs"); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	return live(way, args, interrupted)
}

func live(way string, args []string, interrupted <-chan os.Signal) int {
	out := os.NewFile(3, "results")
	tell := func(metric string, kind results.Kind, tags results.Tags, values ...float64) {
		a := results.New(results.Series{Metric: metric, Kind: kind, Tags: tags}, epoch, epoch.Add(10*time.Second))
		for _, v := range values {
			if err := a.Add(v, epoch); err != nil {
				panic(err)
			}
		}
		if err := results.NewEncoder(out).Encode(a); err != nil {
			panic(err)
		}
	}
	tell("iterations", results.Counter, results.Tags{}, 7)
	tell("dropped_iterations", results.Counter, results.Tags{}, 2)
	tell("vus", results.Gauge, results.Tags{}, 5)
	tell("vdi_login_duration", results.Trend, results.Tags{Site: "a", Step: "total"}, 10, 20)
	tell("vdi_login_duration", results.Trend, results.Tags{Site: "b", Step: "total"}, 30, 40)
	tell("vdi_login_failed", results.Rate, results.Tags{}, 0, 1)
	code, exits := strings.CutPrefix(way, "exit ")
	switch {
	case exits:
		fmt.Fprintln(os.Stderr, "what k6 says")
		n, _ := strconv.Atoi(code)
		return n
	case way == "environment":
		fmt.Fprintln(os.Stderr, slices.Sorted(slices.Values(os.Environ())), args)
		return 107
	case way == "torn":
		fmt.Fprint(out, `{"metric":"half`)
	case way == "garbage":
		fmt.Fprintln(out, `nonsense`)
		tell("iterations", results.Counter, results.Tags{}, 1000)
	case way == "killed":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case way == "deaf":
		time.Sleep(time.Minute)
	case way == "hangs":
		<-interrupted
		tell("iterations", results.Counter, results.Tags{}, 1)
		return 105
	case way == "stubborn":
		for {
			<-interrupted
		}
	}
	return 0
}

// newFake returns a loader whose k6 is a fake, on a machine of 8 cores.
func newFake(t *testing.T) (loader, *record.Recorder) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	t.Setenv(fakeK6, "1")
	recorder := record.NewRecorder(record.Run{})
	l := newLoader(Env{K6: []string{self, "k6"}, Dir: t.TempDir(), Recorder: recorder})
	l.cores, l.grace = 8, 10*time.Second
	l.descriptors = func() (unix.Rlimit, error) { return unix.Rlimit{Cur: 1024, Max: 20000}, nil }
	return l, recorder
}

func (l loader) write(t *testing.T, way string) native.Arguments {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(l.Dir, "script.js"), []byte(way), 0o600))
	return native.Arguments{"script": "script.js"}
}

func (l loader) check(t *testing.T, a native.Arguments) native.Arguments {
	t.Helper()
	f, err := native.Find(Table(l.Env), Name, "action")
	require.NoError(t, err)
	require.NoError(t, f.Check(a))
	return a
}

func TestResultsAreMerged(t *testing.T) {
	l, recorder := newFake(t)
	a := l.write(t, "fine")
	a["processes"] = 3
	value, err := l.run(native.WithActivity(t.Context(), "morning"), l.check(t, a))
	require.NoError(t, err)
	s := value.(Summary)
	require.Equal(t, 3, s.Processes)
	require.Equal(t, 10, s.VUs)
	require.Equal(t, []int{0, 0, 0}, s.ExitCodes)
	require.Equal(t, []int64{21, 6}, []int64{s.Iterations, s.Dropped})
	require.False(t, s.Stopped || s.Lost)
	text, err := json.Marshal(s.Metrics)
	require.NoError(t, err)
	require.JSONEq(t, `[{"metric":"dropped_iterations","count":3,"sum":6},{"metric":"iterations","count":3,"sum":21},
		{"metric":"vdi_login_duration","step":"total","count":12,"p50_ms":20.015,"p95_ms":40,"p99_ms":40,"max_ms":40},
		{"metric":"vdi_login_failed","count":6,"share":0.5}]`, string(text))

	run := recorder.Run()
	require.Len(t, run.Windows, 6, "a window a series")
	for _, a := range run.Windows {
		if a.Metric == "vus" {
			require.Equal(t, 15.0, a.Last, "levels of processes are side by side")
		}
	}
	require.Len(t, run.Generators, 3)
	var segments []string
	for _, g := range run.Generators {
		segments = append(segments, g.Segment)
		require.Equal(t, "morning", g.Activity)
		require.Equal(t, []int64{7, 2}, []int64{g.Iterations, g.Dropped})
		require.Positive(t, g.CPUSeconds)
		require.Positive(t, g.MaxRSS)
		require.False(t, g.Ended.Before(g.Began))
		require.Empty(t, g.Lost)
	}
	require.ElementsMatch(t, []string{"0:1/3", "1/3:2/3", "2/3:1"}, segments)
}

func TestHowProcessesEnd(t *testing.T) {
	for _, test := range []struct {
		way   string
		codes []int  // in any order
		err   string // empty: none
		lost  string
	}{
		{way: "exit 99", codes: []int{99, 99}},
		{way: "exit 110", codes: []int{110, 110}},
		{way: "hangs,exit 107", codes: []int{105, 107}, err: "segment 1/2:1: k6 ended with exit status 107 (the script threw an exception, or has " +
			"a mistake); it wrote: what k6 says"},
		{way: "hangs,exit 104", codes: []int{105, 104}, err: "the options make no sense"},
		{way: "hangs,exit 3", codes: []int{105, 3}, err: "exit status 3;"},
		{way: "hangs,killed", codes: []int{105, -1}, err: "ended by the signal killed", lost: "something killed it (killed); the kernel does"},
		{way: "fine,torn", codes: []int{0, 0}, lost: "line 7"},
		{way: "fine,garbage", codes: []int{0, 0}, lost: "line 7"},
	} {
		t.Run(test.way, func(t *testing.T) {
			l, recorder := newFake(t)
			a := l.write(t, test.way)
			a["processes"] = 2
			value, err := l.run(t.Context(), a)
			if test.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, test.err)
			}
			s := value.(Summary)
			require.ElementsMatch(t, test.codes, s.ExitCodes)
			require.Equal(t, test.lost != "", s.Lost)
			for _, g := range recorder.Run().Generators {
				require.Equal(t, g.ExitCode == 105, g.Stopped)
				require.Equal(t, g.ExitCode != 0, g.ExitMeans != "" || g.ExitCode == 3)
				if g.Segment == "1/2:1" && test.lost != "" {
					require.Contains(t, g.Lost, test.lost)
					require.Equal(t, int64(7), g.Iterations, "what comes after a torn line is not believed")
				} else {
					require.Empty(t, g.Lost)
				}
			}
		})
	}
}

// TestStoppedBeforeItListens: a k6 whose first moment it is dies of SIGINT, and nothing is lost.
func TestStoppedBeforeItListens(t *testing.T) {
	l, recorder := newFake(t)
	ctx, stop := context.WithCancel(t.Context())
	a := l.write(t, "deaf")
	go func() {
		for len(recorder.Run().Windows) < 6 {
			time.Sleep(time.Millisecond)
		}
		stop()
	}()
	_, err := l.run(ctx, a)
	require.ErrorIs(t, err, context.Canceled)
	g := recorder.Run().Generators[0]
	require.Equal(t, -1, g.ExitCode)
	require.True(t, g.Stopped)
	require.Empty(t, g.Lost)
}

func TestStops(t *testing.T) {
	// started ends the context once a result has come.
	started := func(recorder *record.Recorder, stop context.CancelCauseFunc) {
		for len(recorder.Run().Windows) < 6 {
			time.Sleep(time.Millisecond)
		}
		stop(errors.New("a person said so"))
	}
	t.Run("by its context", func(t *testing.T) {
		l, recorder := newFake(t)
		ctx, stop := context.WithCancelCause(t.Context())
		go started(recorder, stop)
		value, err := l.run(ctx, l.write(t, "hangs"))
		require.EqualError(t, err, "a person said so")
		require.Equal(t, []int{105}, value.(Summary).ExitCodes)
		require.Equal(t, int64(8), value.(Summary).Iterations, "what came after SIGINT counts")
		require.True(t, value.(Summary).Stopped)
		require.True(t, recorder.Run().Generators[0].Stopped)
	})
	t.Run("by SIGKILL", func(t *testing.T) {
		l, recorder := newFake(t)
		l.grace = 100 * time.Millisecond
		ctx, stop := context.WithCancelCause(t.Context())
		go started(recorder, stop)
		_, err := l.run(ctx, l.write(t, "stubborn"))
		require.EqualError(t, err, "a person said so")
		require.Equal(t, "it did not end within 100ms of SIGINT, and was killed", recorder.Run().Generators[0].Lost)
	})
	t.Run("when its time is over", func(t *testing.T) {
		l, recorder := newFake(t)
		a := l.write(t, "hangs")
		a["for"] = "300ms"
		value, err := l.run(t.Context(), l.check(t, a))
		require.NoError(t, err)
		require.True(t, value.(Summary).Stopped)
		require.Equal(t, 105, recorder.Run().Generators[0].ExitCode)
	})
	t.Run("when it never ends", func(t *testing.T) {
		l, _ := newFake(t)
		l.overtime = 200 * time.Millisecond
		a := l.write(t, "hangs")
		a["vus"], a["duration"] = 3, 0.1
		_, err := l.run(t.Context(), l.check(t, a))
		require.ErrorIs(t, err, errTooLong)
	})
}

// TestRefusesBeforeItStarts checks that nothing is recorded, so nothing was started.
func TestRefusesBeforeItStarts(t *testing.T) {
	script := func(a native.Arguments) native.Arguments {
		a["script"] = "script.js"
		return a
	}
	for _, test := range []struct {
		way  string
		a    native.Arguments
		says string
	}{
		{a: native.Arguments{"script": "nosuch.js"}, says: "reading the script nosuch.js: open /"},
		{a: native.Arguments{"script": "."}, says: "it is no file"},
		{a: native.Arguments{"script": "login-strom"}, says: `there is no shipped script "login-strom"; there are login-storm, morning-shift`},
		{way: "mistake", a: script(native.Arguments{}), says: "reading the script script.js: k6 does not take it (exit status 107): line 7 is wrong"},
		{a: script(native.Arguments{"variables": map[string]any{"K6_VUS": 3.}}), says: "variables: K6_VUS would change k6's options"},
		{a: script(native.Arguments{"variables": map[string]any{"a b": "x"}}), says: `"a b" is not the name of a variable`},
		{a: script(native.Arguments{"variables": map[string]any{"A": []any{}}}), says: "variables: A is not a text"},
		{a: script(native.Arguments{"options": map[string]any{"out": "json"}}), says: `options: unknown option "out"; expected batch`},
		{a: script(native.Arguments{"vus": 3}), says: "vus: goes with duration or iterations"},
		{a: script(native.Arguments{"vus": 0, "duration": "1s"}), says: "vus: expected at least 1"},
		{a: script(native.Arguments{"duration": "0s"}), says: "duration: expected more than 0"},
		{a: script(native.Arguments{"processes": 65}), says: "processes is 65; expected at most 64"},
		{a: script(native.Arguments{"vus": 1000000, "duration": "1s"}), says: "1000000 virtual users are too many for the hard limit of 20000 open files, " +
			"also in 64 processes: raise it to 2500100 for what starts deskstorm (as root: ulimit -Hn 2500100; of a systemd unit: LimitNOFILE=2500100), " +
			"or take at most 254720"},
		{a: script(native.Arguments{"vus": 8000, "duration": "1s", "processes": 2}), says: "also in 2 processes: raise it to 20100"},
	} {
		t.Run(test.says, func(t *testing.T) {
			l, recorder := newFake(t)
			l.write(t, test.way)
			_, err := l.run(t.Context(), l.check(t, test.a))
			require.ErrorContains(t, err, test.says)
			require.Empty(t, recorder.Run().Generators)
			_, err = l.plan(t.Context(), test.a)
			require.ErrorContains(t, err, test.says)
		})
	}
}

func TestK6CannotBeStarted(t *testing.T) {
	l, _ := newFake(t)
	l.K6 = []string{"/nowhere/k6"}
	_, err := l.run(t.Context(), l.write(t, "fine"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestWhatK6IsGiven(t *testing.T) {
	l, recorder := newFake(t)
	t.Setenv("K6_VUS", "99")
	t.Setenv("DESKSTORM_USERS", "99")
	t.Setenv("OS_CLOUD", "mine")
	a := l.write(t, "environment")
	a["variables"] = map[string]any{"DESKSTORM_USERS": 20., "DESKSTORM_BROKER": "https://b", "FLAG": true}
	a["options"] = map[string]any{"tag": []any{"a=1", "b=2"}, "rps": 5.}
	a["iterations"], a["thresholds"] = 40, true
	_, err := l.run(t.Context(), l.check(t, a))
	require.ErrorContains(t, err, "exit status 107")
	said := recorder.Run().Generators[0].Stderr
	for _, want := range []string{"DESKSTORM_USERS=20 ", "DESKSTORM_BROKER=https://b ", "FLAG=true ", "OS_CLOUD=mine ", "K6_ITERATIONS=40 ",
		"[run --quiet ", " --rps=5 --tag=a=1 --tag=b=2 " + l.Dir} {
		require.Contains(t, said, want)
	}
	for _, never := range []string{"=99", "--no-thresholds", "--execution-segment"} {
		require.NotContains(t, said, never)
	}
}

func TestPlan(t *testing.T) {
	l, _ := newFake(t)
	a := l.write(t, "fine")
	a["vus"], a["duration"], a["for"] = 5000, "10m", "5m"
	value, err := l.plan(t.Context(), l.check(t, a))
	require.NoError(t, err)
	require.Equal(t, map[string]any{"script": "script.js", "virtual_users": 5000, "processes": 2, "longest_seconds": 300.}, value)
}

func TestSplit(t *testing.T) {
	for _, test := range []struct{ users, cores, limit, asked, want int }{
		{users: 1, cores: 64, limit: 20000, want: 1},
		{users: 1999, cores: 64, limit: 20000, want: 1},
		{users: 2000, cores: 2, limit: 20000, want: 1},
		{users: 2000, cores: 4, limit: 20000, want: 1},
		{users: 2000, cores: 8, limit: 20000, want: 2},
		{users: 10000, cores: 64, limit: 1 << 20, want: 10},
		{users: 2000, cores: 2, limit: 1024, want: 11}, // 184 each
		{users: 10, cores: 2, limit: 20000, asked: 3, want: 3},
		{users: 2, cores: 2, limit: 20000, asked: 3, want: 2},
	} {
		l := loader{cores: test.cores, descriptors: func() (unix.Rlimit, error) { return unix.Rlimit{Max: uint64(test.limit)}, nil }}
		n, err := l.split(test.users, test.asked)
		require.NoError(t, err)
		require.Equal(t, test.want, n, "%+v", test)
	}
}

func TestSegments(t *testing.T) {
	each, sequence := segments(1)
	require.Equal(t, []string{"0:1"}, each)
	require.Equal(t, "0,1", sequence)
	each, sequence = segments(3)
	require.Equal(t, []string{"0:1/3", "1/3:2/3", "2/3:1"}, each)
	require.Equal(t, "0,1/3,2/3,1", sequence)
}

func TestMachine(t *testing.T) {
	stat := func(line string) fstest.MapFS {
		return fstest.MapFS{"stat": {Data: []byte(line + "\ncpu0 1 1 1 1 1 1\n")}}
	}
	earlier, err := readTimes(stat("cpu  100 0 100 700 100 0 0 0 50 0"))
	require.NoError(t, err)
	later, err := readTimes(stat("cpu  130 5 120 730 110 1 2 2 60 0"))
	require.NoError(t, err)
	require.InDelta(t, .6, later.share(earlier), 1e-9)
	require.Zero(t, earlier.share(later), "the clock of a machine that was restored from a snapshot")
	require.Zero(t, earlier.share(earlier))
	for _, bad := range []string{"", "cpu", "cpu 1 2 x 4 5 6", "intr 1 2 3 4 5 6"} {
		_, err := readTimes(stat(bad))
		require.ErrorContains(t, err, "how busy the machine is")
	}
	_, err = watch(fstest.MapFS{}, time.Second)
	require.ErrorIs(t, err, os.ErrNotExist)

	m, err := watch(os.DirFS("/proc"), 10*time.Millisecond)
	require.NoError(t, err)
	defer m.close()
	end := time.Now().Add(100 * time.Millisecond)
	for time.Now().Before(end) { // a busy core
	}
	require.Positive(t, m.share())
	require.LessOrEqual(t, m.share(), 1.)
}

func TestTableWithoutEnv(t *testing.T) {
	for _, f := range Table(Env{}) {
		require.Nil(t, f.Run)
		require.NotEmpty(t, f.Doc)
	}
}
