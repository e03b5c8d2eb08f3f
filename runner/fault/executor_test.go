package fault_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/netns"
	"github.com/deskstorm/deskstorm/runner/fault"
	"github.com/deskstorm/deskstorm/runner/native"
	"github.com/deskstorm/deskstorm/runner/target"
	"github.com/deskstorm/deskstorm/runner/undo"
)

// world is where a test's faults are injected: at targets that allow all, with a journal.
type world struct {
	*undo.Run
	t       testing.TB
	targets target.Config
	do      *target.Targets
	plans   map[string]fault.Plan
	cloud   func(ctx context.Context, target string) (fault.Cloud, error)
	relay   []string
}

func newWorld(t testing.TB, targets target.Config) *world {
	t.Helper()
	for name, at := range targets {
		at.Faults = []string{"*"}
		targets[name] = at
	}
	w := &world{t: t, targets: targets, do: target.New(targets), plans: map[string]fault.Plan{}}
	var err error
	w.Run, err = undo.Open(t.TempDir(), "test", w.do, undo.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.Close()) }) // undoes what a failed test has left
	return w
}

// local is a target in a namespace; nil: this machine.
func local(t testing.TB, n *netns.Namespace) target.Target {
	m := target.Machine{RunDir: t.TempDir(), Step: time.Minute}
	if n != nil {
		m.Namespace = n.Path()
	}
	return target.Target{Local: &target.Local{Machine: m}}
}

func (w *world) env() fault.Env {
	return fault.Env{Targets: w.targets, Look: w.do, Injector: w, Limits: fault.DefaultLimits(), Cloud: w.cloud,
		Relay: func(target.Target) []string { return w.relay }}
}

// Inject also keeps the plan.
func (w *world) Inject(ctx context.Context, p fault.Plan) error {
	w.plans[p.ID] = p
	return w.Run.Inject(ctx, p)
}

// undoes carries out a plan's undo, whatever the journal says.
func (w *world) undoes(p fault.Plan) {
	w.t.Helper()
	for _, s := range p.Undo {
		_, err := w.do.Do(w.t.Context(), s)
		require.NoError(w.t, err)
	}
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

// breaks is the life of a fault: undone although it was never applied, as after a runner's death between journal and Apply;
// injected; with its effect; undone three times.
func (w *world) breaks(name string, a native.Arguments, during func(p fault.Plan)) {
	w.t.Helper()
	w.undoAlone(name, a)
	table := fault.Table(w.env())
	result, err := call(w.t, table, "fault."+name, a)
	require.NoError(w.t, err)
	p := w.plans[result["id"].(string)]
	w.t.Logf("%s: %s", name, p.Touches.What)
	during(p)
	for _, which := range []native.Arguments{{"id": p.ID}, {"fault": name}} {
		_, err = call(w.t, table, "fault.undo", which)
		require.NoError(w.t, err)
	}
	w.undoes(p)
	w.undoes(p)
	if m, ok := w.targets[p.Touches.Targets[0]].Machine(); ok {
		left, err := filepath.Glob(filepath.Join(m.RunDir, "*"+p.ID+"*"))
		require.NoError(w.t, err)
		require.Empty(w.t, left)
	}
}

// undoAlone undoes a plan that was never applied.
func (w *world) undoAlone(name string, a native.Arguments) {
	w.t.Helper()
	env := w.env()
	env.Injector = unapplied{w}
	_, err := call(w.t, fault.Table(env), "fault."+name, a)
	require.NoError(w.t, err)
}

// unapplied is an injector that dies before it applies.
type unapplied struct{ *world }

func (u unapplied) Inject(_ context.Context, p fault.Plan) error {
	u.undoes(p)
	return nil
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

// noProcess fails the test if a process with the argument is left.
func noProcess(t testing.TB, argument string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, f := range files {
		text, _ := os.ReadFile(f) // it may have ended
		require.NotContains(t, strings.Split(string(text), "\x00"), argument, f)
	}
}
