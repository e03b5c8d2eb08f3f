package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/up"
)

func TestLabRefuses(t *testing.T) {
	t.Parallel()
	for args, says := range map[string]string{
		"up":                           "add --sim",
		"up --sim --desktops 0":        "--desktops 0 is not between",
		"up --sim --users 0":           "--users 0 is less than 1",
		"up --sim --log.level=loud":    "--log.level",
		"up --sim --log.format=xml":    "--log.format",
		"up --sim --ready 9999":        "--ready 9999 is not between",
		"status --dir /no/such/folder": "no lab runs there",

		"up --sim --notifications file:/no/such/file":           "/no/such/file",
		"up --sim --notifications env:DESKSTORM_NO_SUCH":        "DESKSTORM_NO_SUCH is not set",
		"up --debian --notifications env:DESKSTORM_NO_SUCH":     "leave out --debian",
		"up --sim --notifications amqp://user:secret@host:5672": "not of the form file:PATH or env:NAME",
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			stdout, stderr, code := run(t, deskstorm(t, append([]string{"lab", "--dir", t.TempDir()}, strings.Fields(args)...)...))
			require.NotZero(t, code)
			require.Empty(t, stdout)
			require.Contains(t, stderr, says)
			require.NotContains(t, stderr, "user:secret")
		})
	}
}

// A lab's life, as a person at two terminals sees it.
func TestLab(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "lab")
	lab := deskstorm(t, "lab", "up", "--sim", "--desktops", "3", "--dir", dir)
	lab.Cancel = func() error { return lab.Process.Signal(syscall.SIGTERM) }
	said, err := os.Create(filepath.Join(t.TempDir(), "said"))
	require.NoError(t, err)
	defer said.Close()
	lab.Stdout, lab.Stderr = said, said
	require.NoError(t, lab.Start())
	out := func() string {
		text, err := os.ReadFile(said.Name())
		require.NoError(t, err)
		return string(text)
	}
	status := func() (stdout string, code int) {
		stdout, _, code = run(t, deskstorm(t, "lab", "status", "--json", "--dir", dir))
		return stdout, code
	}
	require.Eventually(t, func() bool {
		stdout, code := status()
		// What the lab says itself comes later, and without it it would be ended before it is up.
		return code == 0 && strings.Contains(stdout, `"ready": 3`) && strings.Contains(out(), "3 of 3 desktops ready")
	}, 30*time.Second, 200*time.Millisecond)
	stdout, _ := status()
	var told struct {
		up.Running
		Pools []up.PoolStatus `json:"pools"`
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &told))
	require.Equal(t, lab.Process.Pid, told.PID)
	require.Equal(t, 3, told.Pools[0].Ready)

	_, stderr, code := run(t, deskstorm(t, "lab", "up", "--sim", "--dir", dir))
	require.Equal(t, exitConfiguration, code)
	require.Contains(t, stderr, "a lab runs in")
	stdout, _, code = run(t, deskstorm(t, "lab", "status", "--dir", dir))
	require.Zero(t, code)
	require.Contains(t, stdout, "3 ready (3 wanted)")

	environment, err := os.ReadFile(filepath.Join(dir, "environment"))
	require.NoError(t, err)
	require.Contains(t, string(environment), "export DESKSTORM_BROKER='"+told.Broker+"'")
	require.Contains(t, string(environment), "export DESKSTORM_LAB='"+told.Control+"'")
	response, err := http.Get(told.Control + "/v1/state")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusOK, response.StatusCode)

	_, stderr, code = run(t, deskstorm(t, "lab", "down", "--dir", dir))
	require.Zero(t, code, stderr)
	require.NoError(t, lab.Wait(), out())
	stdout, _, code = run(t, deskstorm(t, "lab", "down", "--dir", dir))
	require.Zero(t, code)
	require.Contains(t, stdout, "no lab runs")
	_, code = status()
	require.Equal(t, 1, code)
}

// TestLabSplits: with few open files allowed, further processes have the desktops, and end with the lab however it ends.
func TestLabSplits(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "lab")
	lab := deskstorm(t, "lab", "up", "--sim", "--desktops", "40", "--dir", dir)
	lab.Args = append([]string{"sh", "-c", `ulimit -n 300; exec "$0" "$@"`, lab.Path}, lab.Args[1:]...)
	lab.Path = "/bin/sh"
	var out strings.Builder
	lab.Stdout, lab.Stderr = &out, &out
	require.NoError(t, lab.Start())
	require.Eventually(t, func() bool {
		stdout, _, code := run(t, deskstorm(t, "lab", "status", "--json", "--dir", dir))
		return code == 0 && strings.Contains(stdout, `"ready": 36`) && strings.Contains(stdout, `"ready": 4`)
	}, time.Minute, 200*time.Millisecond)
	screens := children(t, lab.Process.Pid)
	require.Len(t, screens, 2)
	require.NoError(t, lab.Process.Kill())
	require.Error(t, lab.Wait())
	for _, pid := range screens {
		require.Eventually(t, func() bool { return !runs(pid) }, 10*time.Second, 10*time.Millisecond)
	}
}

// runs tells whether a process runs: one that nobody reaps is a zombie.
func runs(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestBrokerCommand(t *testing.T) {
	t.Parallel()
	wrong := filepath.Join(t.TempDir(), "broker.yaml")
	require.NoError(t, os.WriteFile(wrong, []byte("listen: 1\npols: []\n"), 0o600))
	for _, test := range []struct {
		args string
		code int
		says string
	}{
		{"--config.file /no/such/file", exitConfiguration, "/no/such/file"},
		{"--config.file " + wrong, exitConfiguration, wrong + ":2:1: pols: unknown key"},
		{"--check --config.file " + wrong, exitConfiguration, wrong + ":1:9: listen: expected"},
		{"--check --config.file ../../broker/config/broker.yaml", 0, "has no mistakes"},
	} {
		t.Run(test.args, func(t *testing.T) {
			t.Parallel()
			stdout, stderr, code := run(t, deskstorm(t, append([]string{"broker"}, strings.Fields(test.args)...)...))
			require.Equal(t, test.code, code, stderr)
			require.Contains(t, stdout+stderr, test.says)
		})
	}
}
