package k6process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/results"
	"github.com/deskstorm/deskstorm/scenarios"
)

// fakeK6 makes the test's own program behave as k6, in one of the ways of pretend.
const fakeK6 = "DESKSTORM_TEST_FAKE_K6"

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
	switch way {
	case "works":
		script, err := io.ReadAll(os.Stdin)
		if err != nil || string(script) != "the script" || os.Getenv("K6_VDI_WINDOW") != "1s" {
			return 1
		}
		write(out)
		fmt.Fprintln(os.Stderr, os.Args[1:])
	case "interrupted":
		write(out)
		<-interrupted
		write(out)
		return ExternalAbort
	case "stubborn":
		write(out)
		fmt.Fprint(out, `{"metric":"half`)
		for {
			<-interrupted
		}
	case "needs":
		fmt.Println(`{"totalDuration":"3m12s","maxVUs":2000}`)
	case "nonsense":
		fmt.Println(`{}`)
	case "mistake":
		fmt.Fprintln(os.Stderr, "line 7 is wrong")
		return 107
	}
	return 0
}

func write(w io.Writer) {
	start := time.Unix(0, 0).UTC()
	a := results.New(results.Series{Metric: "vdi_a", Kind: results.Counter}, start, start.Add(10*time.Second))
	if err := errors.Join(a.Add(1, start), results.NewEncoder(w).Encode(a)); err != nil {
		panic(err)
	}
}

func config(t *testing.T, way string) Config {
	self, err := os.Executable()
	require.NoError(t, err)
	return Config{
		Command: []string{self, "k6"}, Args: []string{"--no-thresholds"}, Script: Script{Source: []byte("the script")},
		Env: append(os.Environ(), fakeK6+"="+way), Window: time.Second, Grace: 10 * time.Second,
	}
}

func TestWorks(t *testing.T) {
	p, err := Start(t.Context(), config(t, "works"))
	require.NoError(t, err)
	n := 0
	for r := range p.Results {
		require.NoError(t, r.Err)
		n++
	}
	require.Equal(t, 1, n)
	e := p.Wait()
	require.NoError(t, e.Err(), e.Said)
	require.True(t, strings.HasPrefix(e.Said, "[k6 run ") && strings.HasSuffix(e.Said, " --out vdi=fd:3 --no-thresholds -]"), e.Said)
	require.Positive(t, e.CPU)
	require.Positive(t, e.MaxRSS)
}

func TestStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p, err := Start(ctx, config(t, "interrupted"))
	require.NoError(t, err)
	<-p.Results
	cancel()
	<-p.Results
	_, more := <-p.Results
	require.False(t, more)
	e := p.Wait()
	require.Equal(t, ExternalAbort, e.Code)
	require.EqualError(t, e.Err(), "k6 ended with exit status 105 (stopped by a signal)")
}

func TestKilledAfterTheGrace(t *testing.T) {
	c := config(t, "stubborn")
	c.Grace = 200 * time.Millisecond
	p, err := Start(t.Context(), c)
	require.NoError(t, err)
	<-p.Results
	p.Stop()
	half := <-p.Results
	var line *results.LineError
	require.ErrorAs(t, half.Err, &line)
	require.Equal(t, 2, line.Line)
	e := p.Wait()
	require.Equal(t, syscall.SIGKILL, e.Signal)
	require.EqualError(t, e.Err(), "k6 was ended by the signal killed")
}

func TestStartFails(t *testing.T) {
	_, err := Start(t.Context(), Config{Command: []string{"/nowhere"}})
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestInspect(t *testing.T) {
	for way, says := range map[string]string{
		"needs":    "",
		"nonsense": "reading what k6 says of the script's duration",
		"mistake":  "k6 does not take it (exit status 107): line 7 is wrong",
		"works":    "exit status 1",
	} {
		t.Run(way, func(t *testing.T) {
			c := config(t, way)
			needs, err := Inspect(t.Context(), c.Command, c.Script, c.Env)
			if says != "" {
				require.ErrorContains(t, err, says)
				return
			}
			require.NoError(t, err)
			require.Equal(t, Needs{VUs: 2000, Duration: 3*time.Minute + 12*time.Second}, needs)
		})
	}
}

func TestEnvironment(t *testing.T) {
	all := []string{"PATH=/bin", "K6_VUS=5", "DESKSTORM_PROFILE=x", "DESKSTORM_WINDOW=1s", "OS_CLOUD=mine", "K6=1", "OS=x", "DESKSTORM_OTHER=1"}
	require.Equal(t, []string{"PATH=/bin", "K6=1", "OS=x", "DESKSTORM_OTHER=1", "A=b"}, Environment(all, false, "A=b"))
	require.Contains(t, Environment(all, true), "OS_CLOUD=mine")
}

// TestScriptVariables holds the list to what the shipped scripts read.
func TestScriptVariables(t *testing.T) {
	read := map[string]bool{}
	files, err := fs.Glob(scenarios.Scripts, "*.js")
	require.NoError(t, err)
	for _, f := range files {
		text, err := fs.ReadFile(scenarios.Scripts, f)
		require.NoError(t, err)
		for _, found := range regexp.MustCompile(`__ENV\.DESKSTORM_(\w+)`).FindAllStringSubmatch(string(text), -1) {
			read[found[1]] = true
		}
	}
	require.Equal(t, slices.Sorted(maps.Keys(read)), scriptVariables())
}
