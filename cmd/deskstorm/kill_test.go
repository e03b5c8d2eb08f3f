package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/internal/child"
	"github.com/deskstorm/deskstorm/lab/folder"
	"github.com/deskstorm/deskstorm/lab/netns/netnstest"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	"github.com/deskstorm/deskstorm/lab/up"
)

// killsVariable is how often something is killed; continuous integration is content with few.
const killsVariable = "DESKSTORM_TEST_KILLS"

// killWorkers are the runs that go on at a time.
const killWorkers = 4

// What is killed, and in which order.
const (
	killRunner         = "runner"
	killBoth           = "runner and watchdog"
	killWatchdogRunner = "watchdog, then runner"
	killRunnerWatchdog = "runner, then watchdog at work"
	killK6             = "k6"
	killWatchdog       = "watchdog"
	killBroker         = "broker, then runner"
	killAll            = "runner, watchdog, k6 and broker"
)

// TestWholeKilledAtAnyMoment kills what belongs to runs of the whole program, at moments of a seed: whoever it is, nothing stays
// injected, no process of the run goes on, and no server is left.
func TestWholeKilledAtAnyMoment(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes")
	}
	n := 20
	if text := os.Getenv(killsVariable); text != "" {
		var err error
		n, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	qemutest.RequireProgram(t, "nft", "nftables")
	qemutest.RequireProgram(t, "ss", "iproute2")
	netnstest.Require(t)
	lab, err := up.Sim(t.Context(), up.Options{Users: 2, Desktops: 2, Ready: 0})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, lab.Close()) })
	all := &killTally{killed: map[string]int{}, by: map[string]int{}}
	numbers := make(chan int)
	var working sync.WaitGroup
	for i := range killWorkers {
		broker := newKilledBroker(t, lab, i)
		working.Go(func() {
			for n := range numbers {
				t.Run(fmt.Sprint(n), func(t *testing.T) { newKill(t, lab, broker, n).do(t, all) })
			}
		})
	}
	for i := range n {
		numbers <- i
	}
	close(numbers)
	working.Wait()
	for _, f := range labFaults(t, lab) {
		require.NotNil(t, f.Ended, "the lab's fault %s, %s", f.ID, f.Type)
	}
	all.print(t)
}

// killTally is what became of all runs.
type killTally struct {
	mutex   sync.Mutex
	killed  map[string]int
	by      map[string]int // faults, by who undid them
	servers int            // that the run's end left to recover and cleanup
	before  int            // runs that were killed before they injected anything
	undone  []time.Duration
	ended   []time.Duration
}

func (a *killTally) print(t *testing.T) {
	faults := 0
	for _, n := range a.by {
		faults += n
	}
	t.Logf("%d kills: %v; %d runs had injected nothing yet", len(a.ended), a.killed, a.before)
	t.Logf("%d faults, undone by %v; %d servers were left to recover and cleanup", faults, a.by, a.servers)
	t.Logf("time from the kill until nothing was injected: %s", killQuantiles(a.undone))
	t.Logf("time from the kill until no process of the run was left: %s", killQuantiles(a.ended))
}

func killQuantiles(all []time.Duration) string {
	if len(all) == 0 {
		return "none"
	}
	slices.Sort(all)
	at := func(q float64) time.Duration {
		return all[min(len(all)-1, int(q*float64(len(all))))].Round(10 * time.Millisecond)
	}
	return fmt.Sprintf("p50 %s, p95 %s, max %s", at(0.5), at(0.95), at(1))
}

// killedBroker is a broker in a process of its own, which is started again when it was killed.
type killedBroker struct {
	file, url string
	process   *child.Process
}

func newKilledBroker(t *testing.T, lab *up.Cloud, number int) *killedBroker {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, free.Close())
	text, err := os.ReadFile(filepath.Join(lab.Dir, folder.BrokerFile))
	require.NoError(t, err)
	b := &killedBroker{file: filepath.Join(lab.Dir, fmt.Sprintf("broker%d.yaml", number)), url: "http://" + free.Addr().String()}
	var lines []string
	for line := range strings.Lines(string(text)) {
		switch key, _, _ := strings.Cut(strings.TrimSpace(line), ":"); key {
		case "listen":
			line = "listen: " + free.Addr().String() + "\n"
		case "database":
			line = fmt.Sprintf("database: \"sqlite://%s/broker%d.db\"\n", lab.Dir, number)
		case "owner":
			line = fmt.Sprintf("  owner: killed%d\n", number)
		case "ready":
			line = "    ready: 1\n"
		case "max":
			line = "    max: 4\n"
		}
		lines = append(lines, line)
	}
	require.NoError(t, os.WriteFile(b.file, []byte(strings.Join(lines, "")), 0o600))
	t.Cleanup(func() {
		if b.process != nil {
			b.process.Kill()
		}
	})
	return b
}

// start has it serve again.
func (b *killedBroker) start(t *testing.T) {
	if b.process != nil {
		select {
		case <-b.process.Done:
		default:
			return
		}
	}
	var err error
	cmd := exec.Command(deskstorm(t).Path, "broker", "--config.file", b.file)
	cmd.Env = append(os.Environ(), asDeskstorm+"=1")
	b.process, err = child.Start(cmd)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		response, err := http.Get(b.url + "/-/ready")
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	}, time.Minute, 20*time.Millisecond, "%s", b.process.Said)
}

// kill is one run that is killed.
type kill struct {
	*place
	broker *killedBroker
	random *rand.Rand
	kind   string
	number int
}

func newKill(t *testing.T, lab *up.Cloud, broker *killedBroker, number int) *kill {
	kinds := []string{killRunner, killBoth, killWatchdogRunner, killK6, killRunnerWatchdog, killAll, killWatchdog, killBroker}
	k := &kill{
		place: newPlace(t, lab), broker: broker, random: rand.New(rand.NewPCG(2, uint64(number))), kind: kinds[number%len(kinds)], number: number,
	}
	require.NoError(t, os.WriteFile(k.experiment(), []byte(fmt.Sprintf(killExperiment, broker.url)), 0o600))
	return k
}

// experiment is what is run: longer than until somebody is killed.
func (k *kill) experiment() string { return filepath.Join(k.dir, fmt.Sprintf("kill%d.yaml", k.number)) }

const killExperiment = `
title: Something is killed
description: Faults of all kinds of targets, servers, and load.
method:
  - type: action
    name: people log in
    background: true
    provider:
      type: deskstorm
      func: load.k6
      arguments: {script: login-storm, processes: 2, variables: {DESKSTORM_BROKER: "%s", DESKSTORM_USERS: 2, DESKSTORM_WINDOW: 1s, DESKSTORM_HOLD: 1m}}
  - {type: action, name: a program works, background: true, provider: {type: process, path: sleep, arguments: ["1000"], timeout: 8}}
  - {type: action, name: packets are lost, pauses: {after: 0.5}, provider: {type: deskstorm, func: fault.net.loss,
      arguments: {target: net, address: 10.9.0.1, port: 5672, percent: 5, for: 5m}}}
  - {type: action, name: desktops are made, pauses: {after: 0.5}, provider: {type: deskstorm, func: desktops.create, arguments: {count: 2}}}
  - {type: action, name: connections are slow, pauses: {after: 1}, provider: {type: deskstorm, func: fault.net.delay,
      arguments: {target: net, address: 127.0.0.1, port: 5900, delay: 10ms, for: 5m}}}
  - {type: action, name: Neutron fails, pauses: {after: 0.5}, provider: {type: deskstorm, func: fault.api.error,
      arguments: {target: lab, service: neutron, path: /v2.0/nothing, status: 503, for: 5m}}}
  - {type: action, name: packets arrive, pauses: {after: 0.5}, provider: {type: deskstorm, func: fault.undo, arguments: {fault: net.loss}}}
  - {type: action, name: packets are lost again, pauses: {after: 0.5}, provider: {type: deskstorm, func: fault.net.loss,
      arguments: {target: net, address: 10.9.0.2, port: 5672, percent: 5, for: 5m}}}
  - {type: action, name: a desktop is made, provider: {type: deskstorm, func: desktops.create, arguments: {count: 1}}}
  - {type: action, name: all goes on, pauses: {after: 60}, provider: {type: process, path: "true"}}
`

// do kills, and waits until nothing is left.
func (k *kill) do(t *testing.T, all *killTally) {
	k.broker.start(t)
	var said bytes.Buffer
	runner := k.deskstorm(t, "run", "--config.file", k.config, "--log.level", "info", k.experiment())
	runner.Stdout, runner.Stderr = &said, &said
	runner.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, runner.Start())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = runner.Wait() }()
	t.Cleanup(func() { _ = runner.Process.Kill(); <-ended })
	died := k.strike(t, runner)

	var clean time.Time // since when nothing is injected
	for end := died.Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		injected := k.injected(t)
		if len(injected) > 0 {
			clean = time.Time{}
		} else if clean.IsZero() {
			clean = time.Now()
		}
		left := k.processes(t)
		if len(left) == 0 {
			break
		}
		// Somebody who could end the relay must be left, or recover does.
		if !slices.ContainsFunc(left, func(p process) bool { return p.is("run") || p.is("watchdog") || p.is("k6") }) {
			break
		}
		require.True(t, time.Now().Before(end), "%s was killed, and %v and %v are left; the runner said: %s", k.kind, injected, left, &said)
	}
	select {
	case <-ended:
	case <-time.After(time.Minute):
		require.Fail(t, "the runner does not end")
	}
	gone := time.Now()
	id := k.run(t)
	servers := len(k.servers(id))
	if now := k.recover(t); !now.IsZero() {
		require.Contains(t, []string{killBoth, killAll, killRunnerWatchdog, killWatchdogRunner}, k.kind, "the watchdog has left something")
		clean, gone = now, now
	}
	require.Empty(t, k.injected(t), "%s was killed; the runner said: %s", k.kind, &said)
	require.Empty(t, k.processes(t), "%s was killed; the runner said: %s", k.kind, &said)
	if id != "" {
		stdout, stderr, code := run(t, deskstorm(t, "cleanup", "--config.file", k.config, "--run", id))
		require.Zero(t, code, "%s%s", stdout, stderr)
		require.Empty(t, k.servers(id))
	}
	k.broker.start(t)
	all.mutex.Lock()
	defer all.mutex.Unlock()
	all.killed[k.kind]++
	all.servers += servers
	all.ended = append(all.ended, gone.Sub(died))
	faults := k.faults(t, id)
	if len(faults) == 0 {
		all.before++
		return
	}
	all.undone = append(all.undone, clean.Sub(died))
	for _, f := range faults {
		require.False(t, f.Undone.IsZero(), "%+v", f)
		all.by[f.UndoneBy]++
	}
}

// recover has deskstorm recover end what is left, and returns when nothing was injected any more; the zero time: nothing was.
func (k *kill) recover(t *testing.T) (clean time.Time) {
	cmd := deskstorm(t, "recover", "--config.file", k.config)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	injected := len(k.injected(t)) > 0
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		select {
		case err := <-ended:
			require.NoError(t, err, "%s", &said)
			if injected {
				clean = time.Now()
			}
			return clean
		case <-tick.C:
			if injected && len(k.injected(t)) == 0 {
				injected, clean = false, time.Now()
			}
		}
	}
}

// servers are those in the cloud that have the run's name on them.
func (k *kill) servers(run string) (names []string) {
	for _, s := range k.lab.Sim.Servers() {
		if run != "" && slices.Contains(s.Tags, cloud.RunTag+"="+run) {
			names = append(names, s.Name)
		}
	}
	return names
}

// strike kills at a moment of the seed, and returns when that was.
func (k *kill) strike(t *testing.T, runner *exec.Cmd) time.Time {
	pause := func(most int) { time.Sleep(time.Duration(k.random.IntN(most)) * time.Millisecond) } // the moment is what is tested
	sigkill := func(command string) (some bool) {
		for _, p := range k.processes(t) {
			if p.is(command) {
				some = syscall.Kill(p.pid, syscall.SIGKILL) == nil || some
			}
		}
		return some
	}
	await := func(command string) {
		require.Eventually(t, func() bool {
			return slices.ContainsFunc(k.processes(t), func(p process) bool { return p.is(command) })
		}, time.Minute, 20*time.Millisecond)
	}
	kill := func() time.Time {
		now := time.Now()
		_ = runner.Process.Kill()
		return now
	}
	switch k.kind {
	case killRunner:
		pause(10000) // also while it begins
		return kill()
	case killWatchdogRunner:
		await("watchdog")
		pause(4000)
		sigkill("watchdog")
		pause(1500)
		return kill()
	case killBoth:
		await("watchdog")
		pause(5000)
		now := time.Now()
		steps := []func(){func() { sigkill("watchdog") }, func() { _ = runner.Process.Kill() }}
		k.random.Shuffle(2, func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
		steps[0]()
		pause(20)
		steps[1]()
		sigkill("watchdog") // one that was started meanwhile
		return now
	case killRunnerWatchdog:
		await("watchdog")
		pause(5000)
		now := kill()
		pause(2500)
		sigkill("watchdog")
		return now
	case killK6:
		await("k6")
		await("watchdog")
		pause(5000)
		now := time.Now()
		if !sigkill("k6") { // all who could not log in went home, and k6 with them
			require.NoError(t, runner.Process.Signal(syscall.SIGINT))
		}
		return now
	case killWatchdog:
		await("watchdog")
		pause(5000)
		sigkill("watchdog")
		pause(2000)
		now := time.Now()
		require.NoError(t, runner.Process.Signal(syscall.SIGTERM))
		return now
	case killBroker:
		await("watchdog")
		pause(3000)
		k.broker.process.Kill()
		pause(3000)
		return kill()
	}
	await("watchdog")
	pause(5000)
	now := time.Now()
	steps := []func(){k.broker.process.Kill, func() { sigkill("watchdog") }, func() { sigkill("k6") }, func() { _ = runner.Process.Kill() }}
	k.random.Shuffle(len(steps), func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
	for _, step := range steps {
		step()
	}
	sigkill("watchdog")
	return now
}
