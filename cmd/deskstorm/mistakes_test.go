package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/disktest"
	"github.com/deskstorm/deskstorm/lab/netns/netnstest"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	"github.com/deskstorm/deskstorm/lab/up"
	"github.com/deskstorm/deskstorm/runner/history"
)

// notShown is a secret of all these configurations.
const notShown = "hunter2-is-not-shown"

// mistakesLab is a lab for places where things go wrong.
func mistakesLab(t *testing.T) *up.Cloud {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a lab and network namespaces; run make test")
	}
	qemutest.RequireProgram(t, "nft", "nftables")
	netnstest.Require(t)
	lab, err := up.Sim(t.Context(), up.Options{Users: 1, Desktops: 1, Ready: 0})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, lab.Close()) })
	return lab
}

// settled fails the test if anything is left of what ran at the place: what was injected, a process, the right to run an experiment.
func (p *place) settled(t *testing.T, experiment string) {
	t.Helper()
	require.Empty(t, p.injected(t))
	require.Empty(t, p.processes(t))
	database := filepath.Join(p.dir, "state", "history.db")
	if _, err := os.Stat(database); err != nil {
		return
	}
	store, err := history.OpenDSN(t.Context(), "sqlite://"+database)
	require.NoError(t, err)
	defer store.Close()
	lease, err := store.Claim(t.Context(), experiment, "20261126T000000-000000", time.Second)
	require.NoError(t, err, "nobody is left who may run it")
	require.NoError(t, lease.Release(t.Context()))
	running, err := store.List(t.Context(), history.Filter{Limit: 10})
	require.NoError(t, err)
	for _, k := range running {
		require.False(t, k.Running, "the history takes run %s for one that goes on", k.ID)
	}
}

// loss is a fault that works, and goes on until the end of the run.
const loss = `
  - {type: action, name: packets are lost, provider: {type: deskstorm, func: fault.net.loss,
      arguments: {target: net, address: 10.9.0.1, port: 5672, percent: 5, for: 5m}}}`

// method is an experiment's.
func method(activities ...string) string {
	return "title: Something is wrong\ndescription: in it, or where it runs.\nmethod:" + strings.Join(activities, "") + "\n"
}

func nativeOf(kind, function, arguments string) string {
	return fmt.Sprintf("\n  - {type: %s, name: it, provider: {type: deskstorm, func: %s, arguments: %s}}", kind, function, arguments)
}

func program(line string) string {
	return fmt.Sprintf("\n  - {type: action, name: a program, provider: {type: process, path: sh, arguments: [-c, %q]}}", line)
}

const nowhere = `
clouds:
  sim:
    auth: {auth_url: "http://127.0.0.1:1/v3", username: a, password: ` + notShown + `, project_name: p, user_domain_name: Default, project_domain_name: Default}
`

// TestMistakes: what cannot be run says so with a status and what to do, and leaves nothing half-done.
func TestMistakes(t *testing.T) {
	lab := mistakesLab(t)
	steady := func(function, arguments string) string {
		return "steady-state-hypothesis: {title: it is well, probes: [{type: probe, name: it, tolerance: true, provider: {type: deskstorm, func: " +
			function + ", arguments: " + arguments + "}}]}\n"
	}
	for _, test := range []struct {
		name       string
		experiment string
		config     string // more of the configuration, or another section cloud
		args       []string
		code       int
		says       []string // on either output
		faults     int      // that were injected, and undone
		runs       int      // folders of runs that there are then
	}{
		{name: "missing script", experiment: method(loss, nativeOf("action", "load.k6", "{script: no-such.js}")),
			code: 2, says: []string{"no-such.js", "its path begins at the experiment's folder", "login-storm"}, runs: 1},
		{name: "missing shipped script", experiment: method(loss, nativeOf("action", "load.k6", "{script: nothing}")),
			code: 2, says: []string{`no shipped script "nothing"`, "login-storm"}, runs: 1},
		{name: "unknown fault", experiment: method(loss, nativeOf("action", "fault.net.lossy", "{target: net, for: 5m}")),
			code: 2, says: []string{"wrong.yaml:6:", `no native action "fault.net.lossy"`, "fault.net.loss"}},
		{name: "unknown probe", experiment: method(loss, nativeOf("probe", "desktops.actives", "{}")),
			code: 2, says: []string{"wrong.yaml:6:", `no native probe "desktops.actives"`}},
		{name: "unknown argument", experiment: method(loss, nativeOf("action", "load.k6", "{script: login-storm, user: 3}")),
			code: 2, says: []string{"wrong.yaml:6:", "unknown argument of load.k6"}},
		{name: "fault that is not allowed", experiment: method(loss, nativeOf("action", "fault.ldap.down", "{target: lab, for: 1m}")),
			code: 2, says: []string{"wrong.yaml:6", "does not allow ldap.down at the target lab, only api.error"}, runs: 1},
		{name: "fault where there is none", experiment: method(loss, nativeOf("action", "fault.host.stop_service", "{target: lab, service: x, for: 1m}")),
			code: 2, says: []string{"needs one that is local or ssh"}, runs: 1},
		{name: "unknown target", experiment: method(loss, nativeOf("action", "fault.ldap.down", "{target: elsewhere, for: 1m}")),
			code: 2, says: []string{`no target "elsewhere"; the configuration has lab, net`}, runs: 1},
		{name: "too long a fault", experiment: method(loss, nativeOf("action", "fault.api.error", "{target: lab, status: 500, for: 3h}")),
			code: 2, says: []string{"limits.longest allows 10m"}, runs: 1},
		{name: "too many desktops", experiment: method(loss, nativeOf("action", "desktops.create", "{count: 21}")),
			code: 2, says: []string{"expected 1 to 20, the configuration's desktops.most"}, runs: 1},
		{name: "variable that is not set", experiment: "configuration: {a: {type: env, key: DESKSTORM_TEST_NO_SUCH}}\n" + method(loss),
			code: 2, says: []string{"DESKSTORM_TEST_NO_SUCH"}, runs: 1},
		{name: "wrong argument", experiment: method(loss, nativeOf("action", "fault.net.loss", "{target: net, address: 10.9.0.2, percent: 0, for: 1m}")),
			code: 2, says: []string{"percent: expected 0.0001 to 100"}, faults: 1, runs: 1},
		{name: "desktops without a cloud", experiment: method(loss, nativeOf("action", "desktops.create", "{count: 1}")), config: "away",
			code: 2, says: []string{"127.0.0.1:1"}, faults: 1, runs: 1},
		{name: "hypothesis without a cloud", experiment: steady("cloud.health", "{field: ok}") + method(loss), config: "away",
			code: 1, says: []string{"127.0.0.1:1"}, runs: 1},
		{name: "secret without a file", experiment: method(loss, nativeOf("action", "fault.api.error", "{target: locked, status: 500, for: 1m}")),
			config: "locked", code: 2, says: []string{"no-such-token"}, faults: 1, runs: 1},
		{name: "machine whose key is missing", experiment: method(loss, nativeOf("action", "fault.net.loss",
			"{target: machine, address: 10.9.0.1, percent: 5, for: 1m}")), config: "locked", code: 2, says: []string{"no-such-key"}, faults: 1, runs: 1},
		{name: "cloud whose file is missing", experiment: method(loss, nativeOf("action", "desktops.create", "{count: 1}")),
			config: "cloudless", code: 2, says: []string{"no-such-clouds.yaml"}, runs: 1},
		{name: "login whose password is missing", experiment: steady("login", "{field: ok}") + method(loss),
			config: "logins: [{name: smoke, user: smoke, password: {file: no-such-password}}]\nbroker: {url: \"http://127.0.0.1:1\"}\n",
			code:   2, says: []string{"no-such-password"}, runs: 1},
		{name: "section that is missing", experiment: method(loss, nativeOf("probe", "promql", "{query: up}")),
			code: 2, says: []string{"promql needs the section prometheus of the configuration"}, runs: 1},
		{name: "lab away", experiment: method(loss, nativeOf("action", "fault.api.error", "{target: gone, status: 500, for: 1m}")),
			config: "locked", code: 2, says: []string{"asking the lab for its state", "127.0.0.1:1"}, faults: 1, runs: 1},
		{name: "database away", experiment: method(loss), config: "history: {database: {env: TEST_DSN}}\n",
			code: 2, says: []string{"opening the history", "see whether the server runs"}},
		{name: "journal that cannot be written", experiment: method(loss), args: []string{"--journal-path", "/no/such/folder/journal.json"},
			code: 2, says: []string{"--journal-path /no/such/folder/journal.json cannot be written"}},
		{name: "reports that cannot be written", experiment: method(loss), args: []string{"--report-dir", "/dev/null/reports"},
			code: 2, says: []string{"--report-dir /dev/null/reports cannot be written"}},
		{name: "reports that cannot be written at the end", experiment: method(loss, program("for run in state/runs/*; do mkdir -p $run/junit.xml/x; done")),
			code: 3, says: []string{"writing the run's files", "junit.xml", "reports:"}, faults: 1, runs: 1},
		{name: "no such dry run", experiment: method(loss), args: []string{"--dry-run", "plan"},
			code: 2, says: []string{`a dry run of "plan": expected probes, actions`}},
		{name: "no such variable", experiment: method(loss), args: []string{"--var", "x=1"},
			code: 2, says: []string{`no configuration "x" to replace`}},
		{name: "no such configuration", experiment: method(loss), args: []string{"--config.file", "/no/such/deskstorm.yaml"},
			code: 2, says: []string{"/no/such/deskstorm.yaml", "no such file"}},
		{name: "no such experiment", args: []string{"nothing"}, code: 2, says: []string{`"nothing"`, "boot-storm"}},
		{name: "no such file", args: []string{"/no/such.yaml"}, code: 2, says: []string{"/no/such.yaml", "boot-storm"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, lab)
			text, err := os.ReadFile(p.config)
			require.NoError(t, err)
			switch test.config {
			case "away":
				p.file(t, "clouds.yaml", nowhere)
				text = bytes.ReplaceAll(text, []byte(lab.Dir+"/clouds.yaml"), []byte(p.dir+"/clouds.yaml"))
			case "cloudless":
				text = bytes.ReplaceAll(text, []byte(lab.Dir+"/clouds.yaml"), []byte(p.dir+"/no-such-clouds.yaml"))
			case "locked":
				text = bytes.Replace(text, []byte("  lab:"), []byte("  locked: {http: {url: \""+lab.Control+"\", token: {file: no-such-token}}, faults: [api.*]}\n"+
					"  gone: {http: {url: \"http://127.0.0.1:1\"}, faults: [api.*]}\n"+
					"  machine: {ssh: {address: 127.0.0.1, identity: no-such-key, known_hosts: no-such-hosts}, faults: [net.*]}\n  lab:"), 1)
			default:
				text = append(text, test.config...)
			}
			p.file(t, "deskstorm.yaml", string(text))
			args := append([]string{"run", "--config.file", p.config}, test.args...)
			if test.experiment != "" {
				args = append(args, p.file(t, "wrong.yaml", test.experiment))
			}
			cmd := p.deskstorm(t, args...)
			cmd.Dir = p.dir
			cmd.Env = append(cmd.Env, "TEST_DSN=postgres://me:"+notShown+"@127.0.0.1:1/db")
			stdout, stderr, code := run(t, cmd)
			require.Equal(t, test.code, code, "%s%s", stdout, stderr)
			for _, says := range test.says {
				require.Contains(t, stdout+stderr, says)
			}
			require.NotContains(t, stdout+stderr, notShown)
			p.settled(t, "wrong")
			runs, err := os.ReadDir(filepath.Join(p.dir, "state", "runs"))
			if !errors.Is(err, fs.ErrNotExist) {
				require.NoError(t, err)
			}
			require.Len(t, runs, test.runs)
			faults := p.faults(t, p.run(t))
			require.Len(t, faults, test.faults)
			for _, f := range faults {
				require.False(t, f.Undone.IsZero())
				require.Equal(t, "runner", f.UndoneBy)
			}
		})
	}
}

// TestCommandsMistakes are those at the runner's other commands.
func TestCommandsMistakes(t *testing.T) {
	lab := mistakesLab(t)
	p := newPlace(t, lab)
	text, err := os.ReadFile(p.config)
	require.NoError(t, err)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, taken.Close()) })
	p.file(t, "clouds.yaml", nowhere)
	p.file(t, "wrong.yaml", method(nativeOf("action", "fault.none", "{}")))
	p.file(t, "good.yaml", method(program("true")))
	scheduled := func(experiment string) string {
		return string(text) + "schedule: {night: {experiment: " + experiment + ", cron: \"@yearly\"}}\n"
	}
	for _, test := range []struct {
		name, config string
		args         []string
		says         []string
	}{
		{"serve without a schedule", string(text), []string{"serve"}, []string{"has no schedule; add the section schedule"}},
		{"serve a wrong experiment", scheduled("wrong.yaml"), []string{"serve"}, []string{"wrong.yaml:4:", `no native action "fault.none"`}},
		{"serve no experiment", scheduled("no-such.yaml"), []string{"serve"}, []string{"night", "no-such.yaml"}},
		{"serve where somebody listens", scheduled("good.yaml"), []string{"serve", "--web.listen-address", taken.Addr().String()},
			[]string{taken.Addr().String(), "address already in use"}},
		{"serve to everybody", scheduled("good.yaml"), []string{"serve", "--web.listen-address", "0.0.0.0:0"}, []string{"--web.allow-unauthenticated"}},
		{"cleanup without a cloud", "state: state\n", []string{"cleanup"}, []string{"no section cloud"}},
		{"cleanup of a cloud that is away", strings.ReplaceAll(string(text), lab.Dir+"/clouds.yaml", p.dir+"/clouds.yaml"), []string{"cleanup"},
			[]string{"127.0.0.1:1"}},
		{"report of no run", string(text), []string{"report", "20261126T000000-000000"}, []string{"20261126T000000-000000"}},
		{"recover with a wrong configuration", "stat: x\n", []string{"recover"}, []string{":1:1: stat: unknown key"}},
		{"validate", string(text), []string{"validate", p.dir + "/wrong.yaml"}, []string{"wrong.yaml:4:"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			config := p.file(t, strings.ReplaceAll(test.name, " ", "-")+".yaml", strings.Replace(test.config, "/state\n", "/state-"+strings.ReplaceAll(test.name, " ", "-")+"\n", 1))
			cmd := p.deskstorm(t, append(test.args, "--config.file", config)...)
			cmd.Dir = p.dir
			stdout, stderr, code := run(t, cmd)
			require.Equal(t, 2, code, "%s%s", stdout, stderr)
			for _, says := range test.says {
				require.Contains(t, stderr, says)
			}
			require.NotContains(t, stdout+stderr, notShown)
		})
	}
}

// TestThousandMistakes are told all, at once.
func TestThousandMistakes(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString(method())
	for i := range 1000 {
		fmt.Fprintf(&text, "  - {type: action, name: it%d, provider: {type: deskstorm, func: fault.none, arguments: {}}}\n", i)
	}
	file := filepath.Join(t.TempDir(), "wrong.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text.String()), 0o600))
	for _, command := range []string{"validate", "run"} {
		began := time.Now()
		stdout, stderr, code := run(t, deskstorm(t, command, file))
		require.Equal(t, exitConfiguration, code)
		require.Empty(t, stdout)
		require.Equal(t, 1000, strings.Count(stderr, "\n"))
		require.Contains(t, stderr, file+":1003:")
		require.Less(t, time.Since(began), time.Minute)
	}
}

// mountTmpfs mounts a small file system at a folder.
func mountTmpfs(t *testing.T, dir, size string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o700))
	disktest.Mount(t, dir, size)
}

// fill leaves no room on a file system.
func fill(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "filler"))
	require.NoError(t, err)
	defer f.Close()
	for size := 64 << 10; size > 0; {
		n, err := f.Write(make([]byte, size))
		if err != nil {
			require.ErrorIs(t, err, syscall.ENOSPC)
			if n == 0 {
				size /= 2
			}
		}
	}
}

func TestFullDisk(t *testing.T) {
	lab := mistakesLab(t)
	t.Run("before", func(t *testing.T) {
		t.Parallel()
		p := newPlace(t, lab)
		state := filepath.Join(p.dir, "state")
		mountTmpfs(t, state, "1m")
		fill(t, state)
		stdout, stderr, code := run(t, p.deskstorm(t, "run", "--config.file", p.config, p.file(t, "wrong.yaml", method(loss))))
		require.Equal(t, 2, code, "%s%s", stdout, stderr)
		require.Empty(t, stdout)
		require.Contains(t, stderr, "room")
		require.Empty(t, p.injected(t))
		require.Empty(t, p.processes(t))
		require.NoError(t, os.Remove(filepath.Join(state, "filler")))
		stdout, stderr, code = run(t, p.deskstorm(t, "run", "--config.file", p.config, p.file(t, "wrong.yaml", method(loss))))
		require.Equal(t, 3, code, "it is as before when there is room again: %s%s", stdout, stderr)
	})
	t.Run("meanwhile", func(t *testing.T) {
		t.Parallel()
		p := newPlace(t, lab)
		state := filepath.Join(p.dir, "state")
		mountTmpfs(t, state, "8m")
		var more string // until the journal's last page is full, too
		for i := range 8 {
			more += strings.ReplaceAll(loss, "10.9.0.1", fmt.Sprint("10.9.1.", i))
		}
		stdout, stderr, code := run(t, p.deskstorm(t, "run", "--config.file", p.config, p.file(t, "wrong.yaml",
			method(loss, program("cat /dev/zero > "+state+"/filler || true"), more))))
		require.Equal(t, 2, code, "%s%s", stdout, stderr)
		require.Contains(t, stdout, "no space left on device")
		require.Contains(t, stderr, "the run's results are lost", "and somebody is told")
		require.Empty(t, p.injected(t), "%s%s", stdout, stderr)
		require.Empty(t, p.processes(t))
		require.NoError(t, os.Remove(filepath.Join(state, "filler")))
		stdout, stderr, code = run(t, deskstorm(t, "recover", "--config.file", p.config))
		require.Zero(t, code, "%s%s", stdout, stderr)
	})
	t.Run("of the history", func(t *testing.T) {
		t.Parallel()
		p := newPlace(t, lab)
		database := filepath.Join(p.dir, "database")
		mountTmpfs(t, database, "1m")
		text, err := os.ReadFile(p.config)
		require.NoError(t, err)
		p.file(t, "deskstorm.yaml", string(text)+"history: {database: \"sqlite://"+database+"/history.db\"}\n")
		stdout, stderr, code := run(t, p.deskstorm(t, "run", "--config.file", p.config, p.file(t, "wrong.yaml",
			method(loss, program("cat /dev/zero > "+database+"/filler || true")))))
		require.Equal(t, 3, code, "the verdict is what it is: %s%s", stdout, stderr)
		id := p.run(t)
		require.Contains(t, stderr, id+".run.json and is saved at the next start")
		require.FileExists(t, filepath.Join(p.dir, "state", "spool", id+".run.json"))
		require.FileExists(t, filepath.Join(p.dir, "state", "runs", id, "report.html"))
		require.Empty(t, p.injected(t))
		require.NoError(t, os.Remove(filepath.Join(database, "filler")))
		stdout, stderr, code = run(t, deskstorm(t, "report", "--config.file", p.config, id))
		require.Zero(t, code, "%s%s", stdout, stderr)
		require.Contains(t, stdout, "packets are lost")
		require.NoFileExists(t, filepath.Join(p.dir, "state", "spool", id+".run.json"))
	})
}

func TestReadOnlyDatabase(t *testing.T) {
	lab := mistakesLab(t)
	t.Run("mount", func(t *testing.T) {
		t.Parallel()
		p := newPlace(t, lab)
		state := filepath.Join(p.dir, "state")
		mountTmpfs(t, state, "8m")
		good := p.file(t, "wrong.yaml", method(program("true")))
		stdout, stderr, code := run(t, p.deskstorm(t, "run", "--config.file", p.config, good))
		require.Equal(t, 3, code, "%s%s", stdout, stderr)
		require.NoError(t, syscall.Mount("", state, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
		stdout, stderr, code = run(t, p.deskstorm(t, "run", "--config.file", p.config, good))
		require.Equal(t, 2, code, "%s%s", stdout, stderr)
		require.Empty(t, stdout)
		require.Contains(t, stderr, "right to write")
		require.Empty(t, p.processes(t))
	})
	t.Run("mode", func(t *testing.T) {
		t.Parallel()
		p := newPlace(t, lab)
		// Nobody may do what root may, and needs a program that it can reach.
		const nobody = 65534
		require.NoError(t, os.Chmod(filepath.Dir(p.dir), 0o755))
		self := filepath.Join(p.dir, "deskstorm")
		cmd := p.deskstorm(t, "run", "--config.file", p.config, p.file(t, "wrong.yaml", method(program("true"))))
		if os.Link(cmd.Path, self) != nil {
			text, err := os.ReadFile(cmd.Path)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(self, text, 0o755))
		}
		p.file(t, "deskstorm.yaml", "state: "+p.dir+"/state\n")
		stdout, stderr, code := run(t, p.deskstorm(t, "run", "--config.file", p.config, p.dir+"/wrong.yaml"))
		require.Equal(t, 3, code, "%s%s", stdout, stderr)
		require.NoError(t, filepath.Walk(p.dir, func(path string, info os.FileInfo, err error) error {
			if err == nil && path != self {
				err = os.Chown(path, nobody, nobody)
			}
			return err
		}))
		require.NoError(t, filepath.Walk(filepath.Join(p.dir, "state"), func(path string, info os.FileInfo, err error) error {
			if err == nil && strings.HasPrefix(info.Name(), "history.db") {
				err = os.Chown(path, 0, 0)
			}
			return err
		}))
		require.NoError(t, os.Chmod(filepath.Join(p.dir, "state", "history.db"), 0o644))
		cmd.Path = self
		cmd.Dir = p.dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		stdout, stderr, code = run(t, cmd)
		require.Equal(t, 2, code, "%s%s", stdout, stderr)
		require.Empty(t, stdout)
		require.Contains(t, stderr, "right to write")
		require.Empty(t, p.processes(t))
	})
}

// TestTwoRunners: the second one is refused, and told who runs it.
func TestTwoRunners(t *testing.T) {
	lab := mistakesLab(t)
	p := newPlace(t, lab)
	file := p.file(t, "wrong.yaml", method(loss, program("sleep 60")))
	first := p.deskstorm(t, "run", "--config.file", p.config, file)
	var said bytes.Buffer
	first.Stdout, first.Stderr = &said, &said
	require.NoError(t, first.Start())
	require.Eventually(t, func() bool { return len(p.injected(t)) == 1 }, time.Minute, 20*time.Millisecond)
	stdout, stderr, code := run(t, p.deskstorm(t, "run", "--config.file", p.config, file))
	require.Equal(t, 2, code)
	require.Empty(t, stdout)
	require.Contains(t, stderr, fmt.Sprintf("(process %d, ", first.Process.Pid))
	require.Contains(t, stderr, "as run "+p.run(t))
	require.Len(t, p.injected(t), 1, "the first goes on")
	require.NoError(t, first.Process.Signal(syscall.SIGINT))
	require.Error(t, first.Wait())
	require.Equal(t, 3, first.ProcessState.ExitCode(), "%s", &said)
	require.Contains(t, said.String(), "interrupted")
	p.settled(t, "wrong")
}

// TestServeIsStopped: by one SIGTERM, at which it undoes, and by a second one, after which the watchdog does.
func TestServeIsStopped(t *testing.T) {
	lab := mistakesLab(t)
	for signals := 1; signals <= 2; signals++ {
		t.Run(fmt.Sprint(signals), func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, lab)
			// While the rollback is at it, the fault of the rollback is what a second signal leaves behind.
			p.file(t, "wrong.yaml", method(loss, program("sleep 60"))+"runtime: {rollbacks: {strategy: always}}\nrollbacks:"+
				strings.ReplaceAll(loss, "10.9.0.1", "10.9.0.2")+program("sleep 3"))
			text, err := os.ReadFile(p.config)
			require.NoError(t, err)
			p.file(t, "deskstorm.yaml", string(text)+"schedule: {wrong: {experiment: wrong.yaml, cron: \"@yearly\"}}\n")
			free, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			require.NoError(t, free.Close())
			url := "http://" + free.Addr().String()
			service := p.deskstorm(t, "serve", "--config.file", p.config, "--web.listen-address", free.Addr().String())
			var said bytes.Buffer
			service.Stdout, service.Stderr = &said, &said
			require.NoError(t, service.Start())
			require.Eventually(t, func() bool {
				response, err := http.Post(url+"/v1/jobs/wrong/run", "", nil)
				if err != nil {
					return false
				}
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
				return response.StatusCode == http.StatusAccepted
			}, time.Minute, 50*time.Millisecond)
			atWork := func(argument string) func() bool {
				return func() bool {
					for _, one := range p.processes(t) {
						if one.argv[len(one.argv)-1] == argument {
							return true
						}
					}
					return false
				}
			}
			require.Eventually(t, atWork("sleep 60"), time.Minute, 20*time.Millisecond)
			require.Len(t, p.injected(t), 1)
			require.NoError(t, service.Process.Signal(syscall.SIGTERM))
			require.Eventually(t, atWork("sleep 3"), time.Minute, 20*time.Millisecond)
			if signals == 2 {
				require.NoError(t, service.Process.Signal(syscall.SIGTERM))
				require.Error(t, service.Wait())
				require.Equal(t, syscall.SIGTERM, service.ProcessState.Sys().(syscall.WaitStatus).Signal(), "%s", &said)
				require.Eventually(t, func() bool { return len(p.processes(t)) == 0 }, time.Minute, 20*time.Millisecond, "%s", &said)
				require.Empty(t, p.injected(t))
				return
			}
			require.NoError(t, service.Wait(), "%s", &said)
			p.settled(t, "wrong")
			var kept struct{ Verdict struct{ Outcome string } }
			stdout, stderr, code := run(t, deskstorm(t, "report", "--config.file", p.config, "--format", "json", "last"))
			require.Zero(t, code, stderr)
			require.NoError(t, json.Unmarshal([]byte(stdout), &kept))
			require.Equal(t, "no-verdict", kept.Verdict.Outcome)
		})
	}
}

// TestDryRun: a dry run of actions says what they would touch, and touches nothing.
func TestDryRun(t *testing.T) {
	lab := mistakesLab(t)
	p := newPlace(t, lab)
	file := p.file(t, "wrong.yaml", method(loss,
		nativeOf("action", "fault.api.error", "{target: lab, service: nova, status: 503, for: 2m}"),
		nativeOf("action", "desktops.create", "{count: 2}"),
		nativeOf("action", "load.k6", "{script: login-storm, variables: {DESKSTORM_BROKER: "+lab.Broker+", DESKSTORM_USERS: 3}}"),
		nativeOf("action", "fault.undo", "{fault: net.loss}"), program("touch "+p.dir+"/touched")))
	before := len(lab.Sim.Servers())
	stdout, stderr, code := run(t, p.deskstorm(t, "run", "--config.file", p.config, "--dry-run", "actions", file))
	require.Equal(t, 3, code, "%s%s", stdout, stderr)
	for _, says := range []string{
		"it would touch:", "packets are lost", "5 % of packets to and from 10.9.0.1:5672/tcp are dropped", "at net, for 5m0s at most",
		"requests to nova", "at lab, for 2m0s at most", "makes 2", "flavor desktop.small", "virtual users 3", "undoes net.loss",
	} {
		require.Contains(t, stdout, says)
	}
	require.NoFileExists(t, p.dir+"/touched")
	require.Empty(t, p.faults(t, p.run(t)))
	require.Len(t, lab.Sim.Servers(), before)
	p.settled(t, "wrong")

	stdout, stderr, code = run(t, p.deskstorm(t, "run", "--config.file", p.config, "--dry-run", "actions", p.file(t, "wrong.yaml",
		method(nativeOf("action", "fault.net.loss", "{target: net, address: nowhere, percent: 5, for: 1m}")))))
	require.Equal(t, 2, code, "what could not be injected shows: %s%s", stdout, stderr)
	require.Contains(t, stdout+stderr, "expected an IP address")
}
