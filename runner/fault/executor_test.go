package fault_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
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

	"github.com/deskstorm/deskstorm/lab/netns"
	"github.com/deskstorm/deskstorm/runner/fault"
	"github.com/deskstorm/deskstorm/runner/native"
	"github.com/deskstorm/deskstorm/runner/target"
)

// place is a target of a test.
type place struct {
	kind      string
	namespace *netns.Namespace // of a local one; nil: the test's own
	url       string           // of an http one
}

// world is what the tests' faults are injected into: an executor, the configuration and the journal in one.
type world struct {
	t      testing.TB
	places map[string]place
	run    string // the run directory
	clouds map[string]fault.Cloud
	act    func(ctx context.Context, s target.Server) error

	mutex   sync.Mutex
	plans   map[string]fault.Plan
	applied []string
}

func newWorld(t testing.TB, places map[string]place) *world {
	return &world{t: t, places: places, run: t.TempDir(), plans: map[string]fault.Plan{}}
}

func (w *world) env() fault.Env {
	allow := map[string][]string{}
	for name := range w.places {
		allow[name] = []string{"*"}
	}
	e := fault.Env{Targets: w, Look: w, Injector: w, Guard: fault.Guard{Allow: allow, Limits: fault.DefaultLimits()}}
	if w.clouds != nil {
		e.Clouds = w
	}
	return e
}

func (w *world) TargetKind(name string) (string, error) {
	p, ok := w.places[name]
	if !ok {
		return "", fmt.Errorf("there is no target %q", name)
	}
	return p.kind, nil
}

func (w *world) Cloud(_ context.Context, name string) (fault.Cloud, error) {
	c, ok := w.clouds[name]
	if !ok {
		return nil, fmt.Errorf("there is no cloud %q", name)
	}
	return c, nil
}

func (w *world) Do(ctx context.Context, s target.Step) (string, error) {
	p := w.places[s.Target]
	switch {
	case s.Command != nil:
		return w.command(ctx, p, *s.Command)
	case s.HTTP != nil:
		return w.http(ctx, p, *s.HTTP)
	case s.Start != nil:
		return "", w.start(p, *s.Start)
	case s.Signal != nil:
		return "", w.signal(*s.Signal)
	case s.Server != nil:
		return "", w.act(ctx, *s.Server)
	}
	return "", fmt.Errorf("a step that is none: %+v", s)
}

func (p place) command(ctx context.Context, argv []string) *exec.Cmd {
	if p.namespace != nil {
		return p.namespace.Command(ctx, argv[0], argv[1:]...)
	}
	return exec.CommandContext(ctx, argv[0], argv[1:]...)
}

func (w *world) command(ctx context.Context, p place, c target.Command) (string, error) {
	cmd := p.command(ctx, c.Argv)
	cmd.Stdin = strings.NewReader(c.Stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if err != nil && !slices.Contains(c.Fine, cmd.ProcessState.ExitCode()) {
		return out.String(), fmt.Errorf("%q: %w: %s", c.Argv, err, errs.String())
	}
	return out.String(), nil
}

func (w *world) http(ctx context.Context, p place, h target.HTTP) (string, error) {
	req, err := http.NewRequestWithContext(ctx, h.Method, p.url+h.Path, strings.NewReader(h.Body))
	if err != nil {
		return "", err
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if answer.StatusCode/100 != 2 && !slices.Contains(h.Fine, answer.StatusCode) {
		return "", fmt.Errorf("%s %s: %s: %s", h.Method, h.Path, answer.Status, body)
	}
	return string(body), err
}

func (w *world) start(p place, s target.Start) error {
	cmd := p.command(context.Background(), s.Argv)
	var errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &errs, &errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	w.t.Cleanup(func() { _ = cmd.Process.Kill() })
	go func() { _ = cmd.Wait() }()
	return os.WriteFile(filepath.Join(w.run, s.PidFile), []byte(strconv.Itoa(cmd.Process.Pid)), 0o600)
}

func (w *world) signal(s target.Signal) error {
	file := s.PidFile
	if !filepath.IsAbs(file) {
		file = filepath.Join(w.run, file)
	}
	text, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return err
	}
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil || filepath.Base(exe) != s.Program {
		return nil
	}
	signals := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL, "STOP": syscall.SIGSTOP, "CONT": syscall.SIGCONT}
	if err := syscall.Kill(pid, signals[s.Signal]); err != nil {
		return err
	}
	if s.Signal != "TERM" && s.Signal != "KILL" {
		return nil
	}
	for range 500 {
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err != nil || strings.Contains(string(stat), ") Z ") {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("process %d does not end", pid)
}

func (w *world) Inject(ctx context.Context, p fault.Plan) error {
	w.mutex.Lock()
	w.plans[p.ID] = p
	w.mutex.Unlock()
	for _, s := range p.Apply {
		if _, err := w.Do(ctx, s); err != nil {
			return fmt.Errorf("%w; undone: %w", err, w.Undo(ctx, p.ID))
		}
	}
	return nil
}

func (w *world) Undo(ctx context.Context, id string) error {
	w.mutex.Lock()
	p := w.plans[id]
	w.mutex.Unlock()
	for _, s := range p.Undo {
		if _, err := w.Do(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// call runs an action of the table.
func call(t testing.TB, table []native.Function, name string, a native.Arguments) (map[string]any, error) {
	t.Helper()
	for _, f := range table {
		if f.Name == name {
			got, err := f.Run(t.Context(), a)
			result, _ := got.(map[string]any)
			return result, err
		}
	}
	t.Fatalf("no action %s", name)
	return nil, nil
}

// breaks is the life of a fault: undone before it was applied, as after a runner's death between journal and Apply; injected; with its
// effect; undone twice.
func (w *world) breaks(name string, a native.Arguments, during func(id string)) {
	w.t.Helper()
	table := fault.Table(w.env())
	w.undoAlone(name, a)
	result, err := call(w.t, table, "fault."+name, a)
	require.NoError(w.t, err)
	id := result["id"].(string)
	undone := false
	w.t.Cleanup(func() { // also when the test fails
		if !undone {
			_ = w.Undo(context.Background(), id)
		}
	})
	during(id)
	_, err = call(w.t, table, "fault.undo", native.Arguments{"id": id})
	require.NoError(w.t, err)
	undone = true
	_, err = call(w.t, table, "fault.undo", native.Arguments{"fault": name})
	require.NoError(w.t, err)
}

// undoAlone undoes a plan that was never applied.
func (w *world) undoAlone(name string, a native.Arguments) {
	w.t.Helper()
	e := w.env()
	e.Injector = unapplied{w}
	_, err := call(w.t, fault.Table(e), "fault."+name, a)
	require.NoError(w.t, err)
}

// unapplied is an injector that dies before it applies, and is recovered.
type unapplied struct{ *world }

func (u unapplied) Inject(ctx context.Context, p fault.Plan) error {
	u.mutex.Lock()
	u.plans[p.ID] = p
	u.mutex.Unlock()
	return u.Undo(ctx, p.ID)
}

// clean fails the test if anything is left in the packet filter of a namespace.
func clean(t testing.TB, n *netns.Namespace) {
	t.Helper()
	out, err := n.Command(t.Context(), "nft", "list", "ruleset").CombinedOutput()
	require.NoError(t, err, string(out))
	require.Empty(t, strings.TrimSpace(string(out)))
}

func number(t testing.TB, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}
