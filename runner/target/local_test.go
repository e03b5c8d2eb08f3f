package target_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/netns/netnstest"
	"github.com/deskstorm/deskstorm/runner/target"
)

// here is a configuration of one target, this machine.
func here(t *testing.T) (*target.Targets, string) {
	dir := t.TempDir()
	return target.New(target.Config{"here": {Local: &target.Local{Machine: target.Machine{RunDir: dir, Step: 20 * time.Second}}}}), dir
}

func command(argv ...string) target.Step {
	return target.Step{Target: "here", Command: &target.Command{Argv: argv}}
}

func TestCommand(t *testing.T) {
	t.Setenv("DESKSTORM_TEST_SECRET", "hunter2")
	do, _ := here(t)
	out, err := do.Do(t.Context(), command("printf", "%s|", `it's "a" $HOME`, "", "*"))
	require.NoError(t, err)
	require.Equal(t, `it's "a" $HOME||*|`, out)

	s := command("sh", "-c", "cat; exit 3")
	s.Command.Stdin = "what is sent\n"
	out, err = do.Do(t.Context(), s)
	require.EqualError(t, err, "running sh -c cat; exit 3 at here: exit code 3: what is sent")
	require.Equal(t, "what is sent\n", out)
	s.Command.Fine = []int{2, 3}
	_, err = do.Do(t.Context(), s)
	require.NoError(t, err)

	_, err = do.Do(t.Context(), command("deskstorm-is-no-such-program"))
	require.ErrorContains(t, err, "exit code 127: ")
	require.ErrorContains(t, err, "not found")

	out, err = do.Do(t.Context(), command("env"))
	require.NoError(t, err)
	require.NotContains(t, out, "hunter2", "programs see no secrets")

	out, err = do.Do(t.Context(), command("sh", "-c", "yes 0123456 | head -c 1000000; echo the end"))
	require.NoError(t, err)
	require.Len(t, out, 64<<10)
	require.True(t, strings.HasSuffix(out, "the end\n"))
}

// TestCommandEnds: with its context, and with all that it started.
func TestCommandEnds(t *testing.T) {
	do, dir := here(t)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	pid := filepath.Join(dir, "pid")
	_, err := do.Do(ctx, command("sh", "-c", "sleep 60 & echo $! > "+pid+"; wait"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, time.Since(began), 5*time.Second)
	require.Eventually(t, func() bool { return !alive(t, pid) }, 5*time.Second, time.Millisecond)

	// One that leaves a process behind, which holds its output, has ended all the same.
	began = time.Now()
	_, err = do.Do(t.Context(), command("sh", "-c", "sleep 60 & echo $! > "+pid))
	require.NoError(t, err)
	require.Less(t, time.Since(began), 5*time.Second)
	require.True(t, alive(t, pid))
	require.NoError(t, syscall.Kill(number(t, pid), syscall.SIGKILL))
}

func number(t *testing.T, file string) int {
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	n, err := strconv.Atoi(strings.Fields(string(text))[0])
	require.NoError(t, err)
	return n
}

// alive says whether the process of a pid file runs.
func alive(t *testing.T, file string) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", number(t, file)))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestCommandInNamespace(t *testing.T) {
	inside := netnstest.New(t, "target")
	require.NoError(t, inside.AddBridge("br-inside"))
	do := target.New(target.Config{"here": {Local: &target.Local{Machine: target.Machine{
		RunDir: t.TempDir(), Step: 20 * time.Second, Namespace: inside.Path(),
	}}}})
	out, err := do.Do(t.Context(), command("cat", "/proc/net/dev"))
	require.NoError(t, err)
	require.Contains(t, out, "br-inside")
}

func TestStartAndSignal(t *testing.T) {
	do, dir := here(t)
	pid := filepath.Join(dir, "fault-1", "relay.pid")
	start := target.Step{Target: "here", Start: &target.Start{Argv: []string{"sleep", "60.25"}, PidFile: pid}}
	signal := func(which string) target.Step {
		return target.Step{Target: "here", Signal: &target.Signal{PidFile: pid, Program: "sleep", Signal: which}}
	}
	_, err := do.Do(t.Context(), signal("TERM"))
	require.NoError(t, err, "nothing was started yet")
	_, err = do.Do(t.Context(), start)
	require.NoError(t, err)
	require.True(t, alive(t, pid))
	first := number(t, pid)
	session, err := exec.Command("ps", "-o", "sid=", "-p", strconv.Itoa(first)).Output()
	if err == nil {
		require.Equal(t, strconv.Itoa(first), strings.TrimSpace(string(session)), "it is in a session of its own")
	}
	for _, fd := range []string{"0", "1", "2"} {
		to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", first, fd))
		require.NoError(t, err)
		require.NotContains(t, to, "pipe", "it inherits none")
	}

	_, err = do.Do(t.Context(), start)
	require.NoError(t, err)
	require.Equal(t, first, number(t, pid), "it runs already")

	_, err = do.Do(t.Context(), signal("STOP"))
	require.NoError(t, err)
	status := func() string {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", first))
		return string(text)
	}
	require.Eventually(t, func() bool { return strings.Contains(status(), "State:\tT") }, 5*time.Second, time.Millisecond)
	_, err = do.Do(t.Context(), signal("CONT"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return strings.Contains(status(), "State:\tS") }, 5*time.Second, time.Millisecond)
	_, err = do.Do(t.Context(), signal("TERM"))
	require.NoError(t, err)
	require.NoFileExists(t, pid)
	require.NotContains(t, status(), "State:\tS", "it may wait for who reaps it")

	start.Start.Argv = []string{"sh", "-c", "echo the port is taken >&2; exit 1"}
	_, err = do.Do(t.Context(), start)
	require.ErrorContains(t, err, "it ended at once: the port is taken")
	start.Start.Argv = []string{"deskstorm-is-no-such-program"}
	_, err = do.Do(t.Context(), start)
	require.ErrorContains(t, err, "not found")
	start.Start.PidFile = "/somewhere/else.pid"
	_, err = do.Do(t.Context(), start)
	require.ErrorContains(t, err, "not below the target's run_dir")
}

// TestSignalHitsNobodyElse: a pid file's number may be another process's by now.
func TestSignalHitsNobodyElse(t *testing.T) {
	do, dir := here(t)
	other := exec.Command("sleep", "60.5")
	require.NoError(t, other.Start())
	ended := make(chan struct{})
	go func() { _ = other.Wait(); close(ended) }()
	t.Cleanup(func() { _ = other.Process.Kill(); <-ended })
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", other.Process.Pid))
	require.NoError(t, err)
	began := strings.Fields(string(stat))[21]
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	require.NoError(t, err)
	pid := filepath.Join(dir, "it.pid")
	send := func(content, program string) error {
		require.NoError(t, os.WriteFile(pid, []byte(content), 0o600))
		if strings.HasPrefix(content, "old ") {
			content = content[4:]
			require.NoError(t, os.WriteFile(pid, []byte(content), 0o600))
			hour := time.Now().Add(-time.Hour)
			require.NoError(t, os.Chtimes(pid, hour, hour))
		}
		_, err := do.Do(t.Context(), target.Step{Target: "here", Signal: &target.Signal{PidFile: pid, Program: program, Signal: "KILL"}})
		return err
	}
	lives := func() bool {
		select {
		case <-ended:
			return false
		case <-time.After(50 * time.Millisecond):
			return true
		}
	}
	number := strconv.Itoa(other.Process.Pid)
	require.NoError(t, send(number+" 12345 "+string(boot), "sleep"))
	require.True(t, lives(), "it began at another time")
	require.NoError(t, send(number+" "+began+" 00000000-0000-0000-0000-000000000000\n", "sleep"))
	require.True(t, lives(), "it is of another boot")
	require.NoError(t, send(number+"\n", "dnsmasq"))
	require.True(t, lives(), "it is another program")
	require.NoError(t, send("old "+number+"\n", "sleep"))
	require.True(t, lives(), "it is younger than the pid file")
	require.NoError(t, send("4194304\n", "sleep"), "nobody has the number")
	require.ErrorContains(t, send("relay\n", "sleep"), "does not begin with a process's number")
	require.NoError(t, send(number, "sleep"), "a daemon's own pid file, without a newline")
	require.False(t, lives())
}

func TestWrongSteps(t *testing.T) {
	do, dir := here(t)
	for _, test := range []struct {
		step target.Step
		err  string
	}{
		{target.Step{}, "names no target"},
		{target.Step{Target: "here"}, "exactly one kind, not of 0"},
		{target.Step{Target: "there", Command: &target.Command{Argv: []string{"true"}}}, `there is no target "there" in the configuration; there are here`},
		{command(), "needs an argument vector"},
		{command("a\x00b"), "without zero bytes"},
		{target.Step{Target: "here", HTTP: &target.HTTP{Method: "GET", Path: "/"}}, "not of the kind http"},
		{target.Step{Target: "here", HTTP: &target.HTTP{Method: "GET", Path: "x"}}, "begins with /"},
		{target.Step{Target: "here", Server: &target.Server{ID: "1", Action: "start"}}, "not of the kind cloud"},
		{target.Step{Target: "here", Server: &target.Server{ID: "1", Action: "explode"}}, "one of start, stop, reboot, delete"},
		{target.Step{Target: "here", Server: &target.Server{IDs: []string{"1", "2"}, Action: "start"}}, "start of 2 servers at here: the target is not"},
		{target.Step{Target: "here", Server: &target.Server{ID: "1", IDs: []string{"2"}, Action: "start"}}, "its ID, or several"},
		{target.Step{Target: "here", Server: &target.Server{IDs: []string{"1", ""}, Action: "start"}}, "its ID, or several"},
		{target.Step{Target: "here", Server: &target.Server{Action: "start"}}, "its ID, or several"},
		{target.Step{Target: "here", Signal: &target.Signal{PidFile: dir + "/x", Program: "x", Signal: "KILL; rm"}}, "is one of TERM"},
		{target.Step{Target: "here", Signal: &target.Signal{PidFile: "x", Program: "x", Signal: "KILL"}}, "absolute path"},
	} {
		_, err := do.Do(t.Context(), test.step)
		require.ErrorContains(t, err, test.err)
	}
}
