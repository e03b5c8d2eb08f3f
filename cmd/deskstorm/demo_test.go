package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/demo"
)

func TestDemoRefuses(t *testing.T) {
	for args, says := range map[string]string{
		"--clients 0":                         "--clients 0 is not between 1 and 5000",
		"--clients 99999":                     "--clients 99999",
		"--duration 1s":                       "the duration 1s is not between",
		"--path door":                         "no way to a desktop",
		"--accel tcg":                         "goes with --kvm",
		"--kvm --accel hardware":              "--accel is kvm or tcg",
		"--json /no/such/folder/summary.json": "/no/such/folder",
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			stdout, stderr, code := run(t, deskstorm(t, append([]string{"demo"}, strings.Fields(args)...)...))
			require.Equal(t, exitCouldNotRun, code, stderr)
			require.Empty(t, stdout)
			require.Contains(t, stderr, says)
		})
	}
}

func TestShiftNeedsDesktops(t *testing.T) {
	t.Parallel()
	for desktops, says := range map[string]string{
		"":       "name the desktops",
		"north=": "is not [site=]host:port",
	} {
		_, stderr, code := run(t, deskstorm(t, "k6", "run", "--quiet", "-e", "DESKSTORM_DESKTOPS="+desktops, "../../scenarios/shift.js"))
		require.Equal(t, 107, code, "k6's code for an exception in the script: %s", stderr)
		require.Contains(t, stderr, says)
	}
}

func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 25 s")
	}
	for _, path := range []string{"broker", "cloud"} {
		t.Run(path, func(t *testing.T) {
			s := demoSummary(t, "--path", path, "--clients", "20", "--duration", "10s")
			require.Equal(t, path, s.Path)
			require.Equal(t, 20, s.LoggedIn+failedLogins(s))
			require.Positive(t, s.LoggedIn)
			require.True(t, s.LoggedOut)
			require.Equal(t, int64(s.LoggedIn), s.Wait.Count)
			parts := map[string]demo.Part{}
			seconds := 0.
			for _, p := range s.Parts {
				parts[p.Part] = p
				seconds += p.Seconds
			}
			require.InDelta(t, s.WaitSeconds, seconds, 1e-6)
			for _, name := range []string{"auth", "match", "console", "link", "picture"} {
				require.Positive(t, parts[name].Seconds, name)
			}
			require.Positive(t, s.Keys)
			// A key on its way when a fault ends its session is sent and not received, one a session at most.
			require.LessOrEqual(t, *s.KeysReceived, int64(s.Keys))
			require.GreaterOrEqual(t, *s.KeysReceived, int64(s.Keys-len(s.Ended)))
			require.Len(t, s.Faults, 5)
			for _, f := range s.Faults[3:] { // whether a login or a probe meets the others is a matter of chance in so short a shift
				require.NotNil(t, f.NoticedSeconds, f.What)
				require.Less(t, *f.NoticedSeconds, 10.0)
			}
			require.ElementsMatch(t, []demo.Ended{{Reason: "evicted", Sessions: 1}, {Reason: "gone", Sessions: 1}}, s.Ended)
			require.Positive(t, s.SessionSeconds)
			require.Equal(t, path == "broker", s.Pool != nil)
		})
	}
}

// demoSummary runs a demo to its end and returns its summary, as JSON has it.
func demoSummary(t *testing.T, args ...string) demo.Summary {
	t.Helper()
	file := filepath.Join(t.TempDir(), "summary.json")
	stdout, stderr, code := run(t, deskstorm(t, append([]string{"demo", "--json", file}, args...)...))
	require.Zero(t, code, "%s%s", stdout, stderr)
	require.Empty(t, stderr)
	require.NotContains(t, stdout, "\x1b")
	require.Contains(t, stdout, "where it went")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var s demo.Summary
	require.NoError(t, json.Unmarshal(text, &s))
	return s
}

func failedLogins(s demo.Summary) (n int) {
	for _, f := range s.Failures {
		n += f.Logins
	}
	return n
}

func TestDemoInterrupted(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some 10 s")
	}
	temporary := t.TempDir()
	cmd := deskstorm(t, "demo", "--clients", "5", "--duration", "30s")
	cmd.Env = append(cmd.Environ(), "TMPDIR="+temporary)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	atWork := regexp.MustCompile(` [1-9]\d* at work`)
	var k6 []string
	var said strings.Builder
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		fmt.Fprintln(&said, lines.Text())
		if atWork.MatchString(lines.Text()) && k6 == nil {
			k6 = children(t, cmd.Process.Pid)
			require.Len(t, k6, 1)
			require.NoError(t, cmd.Process.Signal(os.Interrupt))
		}
	}
	require.Error(t, cmd.Wait())
	require.Equal(t, exitInterrupted, cmd.ProcessState.ExitCode(), said.String())
	require.Contains(t, said.String(), "stopped early")
	require.Contains(t, said.String(), "all logged out")
	require.NotEmpty(t, k6)
	require.NoDirExists(t, "/proc/"+k6[0], "k6 has ended and was reaped")
	left, err := os.ReadDir(temporary)
	require.NoError(t, err)
	require.Empty(t, left, "the cloud's files are removed")
}

// children are the processes that a process has started.
func children(t *testing.T, pid int) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	require.NoError(t, err)
	var all []string
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err == nil { // a thread may have ended
			all = append(all, strings.Fields(string(text))...)
		}
	}
	return all
}
