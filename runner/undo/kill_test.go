package undo_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netns"

	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/internal/child"
	"github.com/deskstorm/deskstorm/internal/configfile"
	"github.com/deskstorm/deskstorm/lab/control"
	namespaces "github.com/deskstorm/deskstorm/lab/netns"
	"github.com/deskstorm/deskstorm/lab/netns/netnstest"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/runner/fault"
	"github.com/deskstorm/deskstorm/runner/ledger"
	"github.com/deskstorm/deskstorm/runner/target"
	"github.com/deskstorm/deskstorm/runner/undo"
)

// The test's own program is also the runner that is killed, and its watchdog.
const (
	asRunner   = "undo-test-runner"
	asWatchdog = "undo-test-watchdog"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && (os.Args[1] == asRunner || os.Args[1] == asWatchdog) {
		var p part
		err := json.Unmarshal([]byte(os.Args[2]), &p)
		if err == nil && os.Args[1] == asRunner {
			err = p.run()
		} else if err == nil {
			err = p.watch()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// part is what a process of the test is told.
type part struct {
	Targets, Clouds string // files
	Dir, Run        string
	Number          int // of the run
	Seed            uint64
	// Which of the runner's or the watchdog's steps it kills itself at: 0: none. Negative: after the step, not before it.
	DieAt, WatchdogDiesAt int
}

func (p part) executor(dieAt int) *clumsy {
	r, n, err := configfile.Load(p.Targets, "the targets")
	if err == nil {
		err = r.Err()
	}
	if err != nil {
		panic(err)
	}
	config := target.Read(r, n)
	if err := r.Err(); err != nil {
		panic(err)
	}
	return &clumsy{do: target.New(config), random: rand.New(rand.NewPCG(p.Seed, 1)), dieAt: dieAt}
}

// clumsy hesitates before each step, and dies at one.
type clumsy struct {
	do    target.Executor
	dieAt int

	mu     sync.Mutex
	random *rand.Rand
	steps  int
}

func (c *clumsy) Do(ctx context.Context, s target.Step) (string, error) {
	c.mu.Lock()
	c.steps++
	step, pause := c.steps, time.Duration(c.random.IntN(20))*time.Millisecond
	c.mu.Unlock()
	time.Sleep(pause)
	if step == c.dieAt {
		die()
	}
	output, err := c.do.Do(ctx, s)
	if step == -c.dieAt {
		die()
	}
	return output, err
}

func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

func (p part) watch() error {
	return undo.Watch(context.Background(), undo.WatchOptions{
		Dir: p.Dir, Run: p.Run, Executor: p.executor(p.WatchdogDiesAt), Runner: os.Stdin, Ready: os.Stdout,
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
}

// run is a runner with k6, which injects and undoes faults and makes servers until it is told to end, or killed.
func (p part) run() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	k6, err := child.Start(exec.Command("sleep", "1000", p.marker()))
	if err != nil {
		return err
	}
	defer k6.Kill()
	r, err := undo.Open(p.Dir, p.Run, p.executor(p.DieAt), undo.Options{
		Watchdog: []string{self, asWatchdog, string(text)}, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return err
	}
	var working sync.WaitGroup
	for i := range 3 {
		working.Go(func() { p.inject(ctx, r, i) })
	}
	working.Go(func() { p.makeServers(ctx) })
	working.Wait()
	return r.Close()
}

func (p part) marker() string { return fmt.Sprintf("0.%06d", p.Number) }

func (p part) inject(ctx context.Context, r *undo.Run, worker int) {
	random := rand.New(rand.NewPCG(p.Seed, uint64(2+worker)))
	for i := 0; ctx.Err() == nil; i++ {
		plan := p.plan(random.IntN(3), fmt.Sprintf("%s-%d-%d", p.Run, worker, i))
		if err := r.Inject(ctx, plan); err != nil {
			fmt.Fprintln(os.Stderr, err)
			time.Sleep(50 * time.Millisecond)
			continue
		}
		time.Sleep(time.Duration(random.IntN(30)) * time.Millisecond)
		if random.IntN(3) == 0 {
			if err := r.Undo(ctx, plan.ID); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}
	}
}

// plan is a fault: a table in the firewall, a process that lives on, a switch of the lab.
func (p part) plan(kind int, id string) fault.Plan {
	plan := fault.Plan{Fault: "test", ID: id, For: time.Hour, Touches: fault.Touches{What: "a test"}}
	switch kind {
	case 0:
		plan.Apply = []target.Step{{Target: "net", Command: &target.Command{Argv: []string{"nft", "-f", "-"}, Stdin: "table inet " + id + " {\n" +
			"\tchain in { type filter hook input priority 0; tcp dport 5672 drop; }\n}\n"}}}
		plan.Undo = []target.Step{{Target: "net", Command: &target.Command{Argv: []string{"nft", "-f", "-"},
			Stdin: "table inet " + id + "\ndelete table inet " + id + "\n"}}}
	case 1:
		pid := filepath.Join(filepath.Dir(p.Targets), "state", id+".pid")
		plan.Apply = []target.Step{{Target: "net", Start: &target.Start{Argv: []string{"sleep", "1000", p.marker()}, PidFile: pid}}}
		plan.Undo = []target.Step{{Target: "net", Signal: &target.Signal{Program: "sleep", PidFile: pid, Signal: "KILL"}}}
	case 2:
		plan.Apply = []target.Step{{Target: "lab", HTTP: &target.HTTP{Method: "POST", Path: "/v1/faults",
			Body: `{"id": "` + id + `", "type": "api", "service": "glance", "status": 503}`}}}
		plan.Undo = []target.Step{{Target: "lab", HTTP: &target.HTTP{Method: "DELETE", Path: "/v1/faults/" + id, Fine: []int{404}}}}
	}
	return plan
}

func (p part) makeServers(ctx context.Context) {
	c, spec, err := p.connect(ctx)
	book, openErr := ledger.Open(filepath.Join(p.Dir, p.Run))
	if err = errors.Join(err, openErr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	for i := 0; i < 3 && ctx.Err() == nil; i++ {
		resource := ledger.Resource{Target: "cloud", Kind: "server", Name: fmt.Sprintf("%s-%d", p.Run, i)}
		if err := book.Will(resource); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return
		}
		spec.Name = resource.Name
		made, err := c.CreateServer(ctx, spec)
		if err == nil {
			err = book.Made(resource, made.ID)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (p part) connect(ctx context.Context) (*cloud.Cloud, cloud.ServerSpec, error) {
	config, err := cloud.LoadFile(p.Clouds, sim.AdminCloud)
	if err != nil {
		return nil, cloud.ServerSpec{}, err
	}
	config.Owner, config.Run = "undo-test", p.Run
	c, err := cloud.Connect(ctx, config)
	if err != nil {
		return nil, cloud.ServerSpec{}, err
	}
	flavor, err := c.Flavor(ctx, "desktop.small")
	image, imageErr := c.Image(ctx, "desktop")
	network, networkErr := c.Network(ctx, "desktops")
	return c, cloud.ServerSpec{FlavorID: flavor, ImageID: image, Networks: []string{network}}, errors.Join(err, imageErr, networkErr)
}

// killsVariable is how often something is killed; continuous integration is content with few.
const killsVariable = "DESKSTORM_TEST_KILLS"

func kills(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv(killsVariable))
	if os.Getenv(killsVariable) == "" {
		return 20
	}
	require.NoError(t, err)
	return n
}

// world is what the processes of the test live in, and what must not remember them.
type world struct {
	part
	host     *namespaces.Namespace
	switches string // the lab's
	cloud    *cloud.Cloud
}

func newWorld(t *testing.T) *world {
	qemutest.RequireProgram(t, "nft", "nftables")
	w := &world{host: netnstest.New(t, "undo")}
	lab, err := sim.Start(t.Context(), sim.Config{Boot: func(*rand.Rand) time.Duration { return 0 }})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, lab.Close()) })
	switches := control.New(control.Config{Sim: lab, Seed: 1})
	t.Cleanup(switches.Close)
	server := httptest.NewServer(switches)
	t.Cleanup(server.Close)
	w.switches, w.Dir = server.URL, t.TempDir()
	w.Clouds, err = lab.WriteCloudsYAML(w.Dir)
	require.NoError(t, err)
	w.Targets = filepath.Join(w.Dir, "targets.yaml")
	require.NoError(t, os.WriteFile(w.Targets, []byte("net: {local: {namespace: "+w.host.Path()+", run_dir: "+w.Dir+"/state}}\n"+
		"lab: {http: {url: '"+w.switches+"'}}\n"), 0o600))
	w.cloud, _, err = w.connect(t.Context())
	require.NoError(t, err)
	return w
}

// remembers is what is left of a run, but for its servers; of all runs if it is empty.
func (w *world) remembers(t *testing.T, p part) (left []string) {
	handle, err := netns.GetFromPath(w.host.Path())
	require.NoError(t, err)
	defer handle.Close()
	firewall, err := nftables.New(nftables.WithNetNSFd(int(handle)))
	require.NoError(t, err)
	tables, err := firewall.ListTables()
	require.NoError(t, err)
	for _, table := range tables {
		if strings.HasPrefix(table.Name, p.Run) {
			left = append(left, "the table "+table.Name)
		}
	}
	for pid, argv := range processes(t) {
		if len(argv) == 3 && argv[0] == "sleep" && argv[1] == "1000" && (p.Run == "" || argv[2] == p.marker()) {
			left = append(left, fmt.Sprintf("the process %d", pid))
		}
	}
	response, err := http.Get(w.switches + "/v1/faults")
	require.NoError(t, err)
	defer response.Body.Close()
	var answer struct{ Faults []control.Fault }
	require.NoError(t, json.NewDecoder(response.Body).Decode(&answer))
	for _, f := range answer.Faults {
		if strings.HasPrefix(f.ID, p.Run) && f.Ended == nil {
			left = append(left, "the lab's fault "+f.ID)
		}
	}
	return left
}

// processes are the arguments of all that live, by their numbers.
func processes(t *testing.T) map[int][]string {
	all := map[int][]string{}
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil || len(text) == 0 { // it has ended; one nobody reaped has no arguments
			continue
		}
		pid, err := strconv.Atoi(strings.Split(file, "/")[2])
		require.NoError(t, err)
		all[pid] = strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
	}
	return all
}

// watchdog is the number of the run's living watchdog; 0: there is none.
func (w *world) watchdog(t *testing.T, p part) int {
	text, err := os.ReadFile(filepath.Join(p.Dir, p.Run, "watchdog.lock"))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	if argv := processes(t)[pid]; len(argv) < 2 || argv[1] != asWatchdog {
		return 0
	}
	return pid
}

// tally is what became of all runs.
type tally struct {
	mu     sync.Mutex
	killed map[string]int
	by     map[string]int
	faults int
	took   []time.Duration
	closed []time.Duration
	gone   atomic.Int64 // servers
}

// TestKilledAtAnyMoment: whoever is killed, and when: nothing stays injected, and no server.
func TestKilledAtAnyMoment(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute; run make test")
	}
	w := newWorld(t)
	all := &tally{killed: map[string]int{}, by: map[string]int{}}
	numbers := make(chan int)
	var working sync.WaitGroup
	for range 4 {
		working.Go(func() {
			for n := range numbers {
				t.Run(fmt.Sprint(n), func(t *testing.T) { w.kill(t, n, all) })
			}
		})
	}
	for n := range kills(t) {
		numbers <- n
	}
	close(numbers)
	working.Wait()
	require.Empty(t, w.remembers(t, part{}))
	t.Logf("%d runs killed: %v", len(all.took), all.killed)
	t.Logf("%d faults, undone by: %v; %d servers removed by tag", all.faults, all.by, all.gone.Load())
	t.Logf("time until nothing was injected: %s", quantiles(all.took))
	t.Logf("time until the journal was closed: %s", quantiles(all.closed))
}

func quantiles(all []time.Duration) string {
	if len(all) == 0 {
		return "none"
	}
	slices.Sort(all)
	at := func(q float64) time.Duration {
		return all[min(len(all)-1, int(q*float64(len(all))))].Round(time.Millisecond)
	}
	return fmt.Sprintf("p50 %s, p95 %s, max %s", at(0.5), at(0.95), at(1))
}

func (w *world) kill(t *testing.T, n int, all *tally) {
	random := rand.New(rand.NewPCG(1, uint64(n)))
	p := w.part
	p.Run, p.Number, p.Seed = fmt.Sprintf("kill%04d", n), n, random.Uint64()
	p.Dir = filepath.Join(w.Dir, p.Run) // of its own, so that Recover is not another run's
	kind := []string{"runner", "watchdog, then runner", "both", "runner at a step", "runner, then watchdog at a step", "k6, then runner", "watchdog only"}[n%7]
	sign := 1 - 2*random.IntN(2)
	switch kind {
	case "runner at a step":
		p.DieAt = sign * (1 + random.IntN(25))
	case "runner, then watchdog at a step":
		p.WatchdogDiesAt = sign * (1 + random.IntN(6))
	}
	text, err := json.Marshal(p)
	require.NoError(t, err)
	self, err := os.Executable()
	require.NoError(t, err)
	runner, err := child.Start(exec.Command(self, asRunner, string(text)))
	require.NoError(t, err)
	t.Cleanup(runner.Kill)
	pause := func(most int) { time.Sleep(time.Duration(random.IntN(most)) * time.Millisecond) } // the moment is what is tested
	watchdog := func() int {
		var pid int
		require.Eventually(t, func() bool { pid = w.watchdog(t, p); return pid != 0 }, 30*time.Second, 5*time.Millisecond, "%s", runner.Said)
		return pid
	}
	sigkill := func(pid int) { _ = syscall.Kill(pid, syscall.SIGKILL) }
	if kind != "runner" { // else also while it begins
		watchdog()
	}
	pause(1000)
	switch kind {
	case "runner", "runner, then watchdog at a step":
		runner.Kill()
	case "watchdog, then runner":
		sigkill(watchdog())
		pause(800)
		runner.Kill()
	case "both":
		pids := []int{watchdog(), runner.Process.Pid}
		random.Shuffle(2, func(i, j int) { pids[i], pids[j] = pids[j], pids[i] })
		sigkill(pids[0])
		pause(20)
		sigkill(pids[1])
	case "runner at a step":
		select {
		case <-runner.Done:
		case <-time.After(time.Minute):
			require.Fail(t, "it should have died by now", "%s", runner.Said)
		}
	case "k6, then runner":
		for pid, argv := range processes(t) {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			if err == nil && argv[len(argv)-1] == p.marker() && strings.Contains(string(stat), fmt.Sprintf(") S %d ", runner.Process.Pid)) {
				sigkill(pid)
			}
		}
		before := watchdog()
		for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
			_ = syscall.Kill(before, signal)
		}
		pause(300)
		require.Equal(t, before, watchdog(), "a watchdog takes no notice of signals that ask it to end")
		runner.Kill()
	case "watchdog only":
		sigkill(watchdog())
		pause(800)
		require.NoError(t, runner.Process.Signal(syscall.SIGTERM))
	}
	died := time.Now()
	dirty := died
	for end := died.Add(90 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if left := w.remembers(t, p); len(left) > 0 {
			dirty = time.Now()
			require.True(t, dirty.Before(end), "%s left of a run whose %s was killed; the runner said: %s", left, kind, runner.Said)
		}
		if undo.Living(p.Dir, p.Run) {
			require.True(t, time.Now().Before(end), "the runner does not end: %s", runner.Said)
			continue
		}
		if w.watchdog(t, p) == 0 {
			<-runner.Done
			report, err := undo.Recover(t.Context(), p.Dir, p.executor(0), nil)
			require.NoError(t, err)
			require.Empty(t, report.Left)
			require.Empty(t, report.Unread)
			break
		}
		require.True(t, time.Now().Before(end), "the watchdog does not end")
	}
	closed := time.Now()
	report, err := ledger.Cleanup(t.Context(), w.cloud, ledger.Options{Run: p.Run, Owner: "undo-test", Settle: 500 * time.Millisecond})
	require.NoError(t, err)
	all.gone.Add(int64(len(report.Removed)))
	servers, err := w.cloud.Servers(t.Context(), cloud.Filter{Tags: []string{cloud.RunTag + "=" + p.Run}})
	require.NoError(t, err)
	require.Empty(t, servers)
	require.Empty(t, w.remembers(t, p))

	records, err := undo.Records(p.Dir, p.Run)
	if !errors.Is(err, os.ErrNotExist) {
		require.NoError(t, err)
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	all.killed[kind]++
	all.took, all.closed = append(all.took, dirty.Sub(died)), append(all.closed, closed.Sub(died))
	for _, r := range records {
		require.False(t, r.Undone.IsZero(), "%+v", r)
		all.faults++
		all.by[r.UndoneBy]++
	}
}
