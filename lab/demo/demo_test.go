package demo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/results"
)

// fakeK6 makes the test's own program behave as k6, in one of the ways of pretend.
const fakeK6 = "DEMO_TEST_FAKE_K6"

func TestMain(m *testing.M) {
	if way := os.Getenv(fakeK6); way != "" {
		os.Exit(pretend(way))
	}
	os.Exit(m.Run())
}

func pretend(way string) int {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	out := os.NewFile(3, "results")
	tell := func(metric string, kind results.Kind, step string, value float64) {
		a := results.New(results.Series{Metric: metric, Kind: kind, Tags: results.Tags{Step: step}}, time.Now().Truncate(window), time.Now().Truncate(window).Add(window))
		if err := a.Add(value, time.Now()); err != nil {
			panic(err)
		}
		if err := results.NewEncoder(out).Encode(a); err != nil {
			panic(err)
		}
	}
	switch way {
	case "fails":
		fmt.Fprintln(os.Stderr, "the script is wrong")
		return 107
	case "garbage":
		fmt.Fprintln(out, "no results")
		<-interrupted
		return 105
	case "nobody":
		tell(loginFailed, results.Rate, "auth", 1)
	case "works":
		script, err := io.ReadAll(os.Stdin)
		if err != nil || !bytes.Contains(script, []byte("k6/x/vdi")) || !pointedAtACloud() {
			return 1
		}
		tell(loginDuration, results.Trend, total, 11)
		tell(waited, results.Trend, "", 12)
	case "until interrupted":
		tell(loginDuration, results.Trend, total, 11)
		tell(waited, results.Trend, "", 12)
		<-interrupted
		tell(keysSent, results.Counter, "", 7) // the last counts
		return 105
	}
	return 0
}

// pointedAtACloud tells whether the environment has all that morning-shift.js needs.
func pointedAtACloud() bool {
	people, err := os.ReadFile(os.Getenv("DESKSTORM_USERS"))
	return err == nil && bytes.Count(people, []byte("\n")) == 1+3 &&
		strings.HasPrefix(os.Getenv("DESKSTORM_BROKER"), "http://127.0.0.1:") &&
		os.Getenv("DESKSTORM_PATH") == PathBroker && os.Getenv("DESKSTORM_DOMAIN") == "users" &&
		os.Getenv("DESKSTORM_DURATION") == "60000ms" && os.Getenv("DESKSTORM_WINDOW") == "24000ms"
}

func fakeOptions(t *testing.T, way string) (Options, *bytes.Buffer) {
	t.Helper()
	t.Setenv(fakeK6, way)
	self, err := os.Executable()
	require.NoError(t, err)
	var out bytes.Buffer
	return Options{Clients: 3, Duration: time.Minute, Seed: 1, K6: []string{self}, Out: &out}, &out
}

func TestRun(t *testing.T) {
	tests := []struct{ way, says string }{
		{"works", ""},
		{"fails", "exit status 107 (the script threw an exception, or has a mistake); k6 wrote:\nthe script is wrong"},
		{"garbage", "reading k6's results: results: line 1"},
		{"nobody", "nobody could log in"},
	}
	for _, test := range tests {
		t.Run(test.way, func(t *testing.T) {
			o, out := fakeOptions(t, test.way)
			s, err := Run(t.Context(), o)
			if test.says != "" {
				require.ErrorContains(t, err, test.says)
				require.Nil(t, s)
				return
			}
			require.NoError(t, err)
			require.Equal(t, 1, s.LoggedIn)
			require.Zero(t, *s.KeysReceived)
			require.Contains(t, out.String(), "1 of 1 desktop has booted")
			require.Contains(t, out.String(), "logged in       1 of 3")
			require.NotNil(t, s.Pool)
		})
	}
}

func TestRunRefuses(t *testing.T) {
	for says, change := range map[string]func(*Options){
		"at least one":         func(o *Options) { o.Clients = 0 },
		"between 5s and 10m0s": func(o *Options) { o.Duration = time.Second },
		"no way to a desktop":  func(o *Options) { o.Path = "door" },
		"no command":           func(o *Options) { o.K6 = nil },
		"starting k6":          func(o *Options) { o.K6 = []string{"/no/such/program"} },
	} {
		t.Run(says, func(t *testing.T) {
			o, _ := fakeOptions(t, "works")
			change(&o)
			_, err := Run(t.Context(), o)
			require.ErrorContains(t, err, says)
		})
	}
}

// watcher calls seen when a text was written.
type watcher struct {
	bytes.Buffer
	text string
	seen func()
}

func (w *watcher) Write(p []byte) (int, error) {
	n, err := w.Buffer.Write(p)
	if strings.Contains(w.String(), w.text) {
		w.seen()
	}
	return n, err
}

func TestRunStopsBeforeTheDoorsOpen(t *testing.T) {
	o, _ := fakeOptions(t, "works")
	ctx, cancel := context.WithCancel(t.Context())
	o.Out = &watcher{text: "before the doors open", seen: cancel}
	_, err := Run(ctx, o)
	require.ErrorIs(t, err, context.Canceled)
}

func TestRunStopsWithItsContext(t *testing.T) {
	o, _ := fakeOptions(t, "until interrupted")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &watcher{text: "1 at work", seen: cancel}
	o.Out = out
	s, err := Run(ctx, o)
	require.ErrorIs(t, err, context.Canceled)
	require.True(t, s.Interrupted)
	require.Equal(t, 7, s.Keys, "what k6 wrote while it ended counts")
	require.Less(t, s.ElapsedSeconds, s.DurationSeconds)
	require.Regexp(t, `\n\d+ s of 60 s, stopped early:\n`, out.String())
}
