package engine_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/runner/engine"
	"github.com/deskstorm/deskstorm/runner/experiment"
	"github.com/deskstorm/deskstorm/runner/native"
	"github.com/deskstorm/deskstorm/runner/record"
)

func parse(t *testing.T, text string, table ...native.Function) *experiment.Experiment {
	t.Helper()
	e, err := experiment.Parse([]byte(text), filepath.Join(t.TempDir(), "test.yaml"), table)
	require.NoError(t, err)
	return e
}

const head = `
title: a test
description: of the engine
`

func TestRunNative(t *testing.T) {
	var touched []string
	function := func(name string, kind native.Kind, run func(context.Context, native.Arguments) (any, error)) native.Function {
		return native.Function{
			Name: name, Kind: kind, Run: run,
			Parameters: []native.Parameter{{Name: "target", Type: native.Text}, {Name: "for", Type: native.Duration}},
			Plan: func(context.Context, native.Arguments) (any, error) {
				touched = append(touched, "plan "+name)
				return map[string]any{"touches": name}, nil
			},
		}
	}
	table := []native.Function{
		function("fine", native.Action, func(ctx context.Context, a native.Arguments) (any, error) {
			require.Contains(t, []string{"fine", "back"}, native.ActivityOf(ctx), "it knows whose it is")
			touched = append(touched, "fine "+a.Text("target", "")+" "+a.Duration("for", 0).String())
			return map[string]any{"n": 3}, nil
		}),
		function("broken", native.Action, func(context.Context, native.Arguments) (any, error) {
			return nil, errors.New("the cloud is away")
		}),
		function("buggy", native.Action, func(context.Context, native.Arguments) (any, error) { panic("oh") }),
		function("stuck", native.Action, func(ctx context.Context, _ native.Arguments) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}),
	}
	method := func(functions ...string) string {
		text := head + "configuration: {where: net1, long: {type: env, key: LONG, env_var_type: int}}\nmethod:\n"
		for _, f := range functions {
			text += "  - {type: action, name: " + f + ", provider: {type: deskstorm, func: " + f +
				", arguments: {target: \"${where}\", for: \"${long}\"}}}\n"
		}
		return text + "rollbacks: [{type: action, name: back, provider: {type: deskstorm, func: fine, arguments: {target: back}}}]\n"
	}
	for _, test := range []struct {
		name      string
		functions []string
		dry       engine.Dry
		stop      bool
		status    record.Status
		touched   []string
		err       string
	}{
		{name: "all well", functions: []string{"fine", "fine"}, status: record.Completed,
			touched: []string{"fine net1 7s", "fine net1 7s", "undo", "fine back 0s", "undo"}},
		{name: "one cannot be run", functions: []string{"fine", "broken", "fine"}, status: record.Aborted, err: "the cloud is away",
			touched: []string{"fine net1 7s", "undo", "fine back 0s", "undo"}},
		{name: "panic", functions: []string{"buggy", "fine"}, status: record.Aborted, err: "a bug of deskstorm: oh",
			touched: []string{"undo", "fine back 0s", "undo"}},
		{name: "interrupted", functions: []string{"stuck", "fine"}, stop: true, status: record.Interrupted,
			err: "a person wants it so", touched: []string{"undo"}},
		{name: "dry", functions: []string{"fine", "broken"}, dry: engine.DryActions, status: record.Completed,
			touched: []string{"plan fine", "plan broken", "undo", "plan fine", "undo"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			touched = nil
			e := parse(t, method(test.functions...), table...)
			ctx, stop := context.WithCancelCause(t.Context())
			defer stop(nil)
			if test.stop {
				time.AfterFunc(10*time.Millisecond, func() { stop(errors.New("a person wants it so")) })
			}
			recorder := record.NewRecorder(record.Run{})
			journal, err := engine.Run(ctx, e, engine.Options{
				Table: table, Recorder: recorder, Dry: test.dry,
				Getenv: func(name string) (string, bool) { return "7", name == "LONG" },
				Undo: func(ctx context.Context) error {
					require.NoError(t, ctx.Err())
					touched = append(touched, "undo")
					return nil
				},
			})
			require.NoError(t, err)
			require.Equal(t, test.status, journal.Status)
			require.Equal(t, test.touched, touched)
			run := recorder.Run()
			require.Equal(t, test.status, run.Status)
			if test.err == "" {
				require.Empty(t, run.Error)
			} else {
				require.Contains(t, run.Error, test.err)
			}
			require.NotEmpty(t, run.Activities)
		})
	}
}

// TestUnknownDryRun: what is no dry run is not carried out instead.
func TestUnknownDryRun(t *testing.T) {
	ran := false
	table := []native.Function{{Name: "break", Kind: experiment.Action, Run: func(context.Context, native.Arguments) (any, error) {
		ran = true
		return nil, nil
	}}}
	e := parse(t, "title: t\ndescription: d\nmethod: [{type: action, name: a, provider: {type: deskstorm, func: break}}]\n", table...)
	journal, err := engine.Run(t.Context(), e, engine.Options{Table: table, Dry: "plan"})
	require.ErrorContains(t, err, `a dry run of "plan": expected probes, actions, activities or pause`)
	require.Nil(t, journal)
	require.False(t, ran)
}
