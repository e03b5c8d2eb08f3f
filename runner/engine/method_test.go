package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/runner/engine"
	"github.com/deskstorm/deskstorm/runner/native"
	"github.com/deskstorm/deskstorm/runner/record"
)

func probe(name string, run func() (any, error)) native.Function {
	return native.Function{Name: name, Kind: native.Probe, Run: func(context.Context, native.Arguments) (any, error) { return run() }}
}

func action(name string, run func(context.Context) (any, error)) native.Function {
	return native.Function{Name: name, Kind: native.Action, Run: func(ctx context.Context, _ native.Arguments) (any, error) { return run(ctx) }}
}

const hypothesis = `
steady-state-hypothesis:
  title: people can log in
  probes: [{type: probe, name: login, tolerance: true, provider: {type: deskstorm, func: login}}]
`

// A night of checks leaves a record that can be read, and a journal that can be kept.
func TestManyChecksDuringTheMethod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64 // the method and the checks ask at the same time
		table := []native.Function{probe("login", func() (any, error) { return n.Add(1)%5000 != 0, nil })}
		e := parse(t, head+hypothesis+`
runtime: {hypothesis: {strategy: during-method-only}}
method: [{type: probe, name: wait, pauses: {before: 28800}, provider: {type: deskstorm, func: login}}]
`, table...)
		recorder := record.NewRecorder(record.Run{})
		began := time.Now()
		journal, err := engine.Run(t.Context(), e, engine.Options{Table: table, Recorder: recorder})
		require.NoError(t, err)
		require.InDelta(t, 8*time.Hour, time.Since(began), float64(2*time.Second))
		require.InDelta(t, 28800, n.Load(), 3)
		require.Len(t, journal.SteadyStates.During, 10_000+3) // of the later ones, those that did not hold
		require.False(t, journal.Deviated)
		run := recorder.Run()
		require.True(t, run.Deviated)
		require.Equal(t, record.Completed, run.Status)
		require.Len(t, run.Activities, 1+1+5*2) // the method's, the first check, and each change
		require.Equal(t, "hypothesis-during", run.Activities[1].Phase)
		require.False(t, *run.Activities[1].ToleranceMet)
		require.Equal(t, "it found false", run.Activities[1].Error)
	})
}

func TestLoadThatFailsInTheBackgroundEndsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := []native.Function{
			action("load", func(ctx context.Context) (any, error) {
				time.Sleep(time.Minute)
				return nil, errors.New("k6 was killed")
			}),
			action("fault", func(ctx context.Context) (any, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}),
		}
		e := parse(t, head+`
method:
  - {type: action, name: load, background: true, provider: {type: deskstorm, func: load}}
  - {type: action, name: fault, background: true, provider: {type: deskstorm, func: fault}}
  - {type: action, name: never, pauses: {before: 28800}, provider: {type: deskstorm, func: fault}}
`, table...)
		recorder := record.NewRecorder(record.Run{})
		began := time.Now()
		journal, err := engine.Run(t.Context(), e, engine.Options{Table: table, Recorder: recorder})
		require.NoError(t, err)
		require.Equal(t, time.Minute, time.Since(began))
		require.Equal(t, record.Aborted, journal.Status)
		require.Len(t, journal.Run, 2)
		require.Equal(t, "load: load: k6 was killed", recorder.Run().Error)
	})
}

func TestActivitiesAreSeenWhileTheyRun(t *testing.T) {
	recorder := record.NewRecorder(record.Run{})
	table := []native.Function{probe("look", func() (any, error) {
		run := recorder.Run()
		require.Len(t, run.Activities, 1)
		require.Equal(t, "look", run.Activities[0].Name)
		require.False(t, run.Activities[0].Began.IsZero())
		require.True(t, run.Activities[0].Ended.IsZero())
		return map[string]any{"seen": 1}, nil
	})}
	e := parse(t, head+"method: [{type: probe, name: look, provider: {type: deskstorm, func: look}}]", table...)
	_, err := engine.Run(t.Context(), e, engine.Options{Table: table, Recorder: recorder})
	require.NoError(t, err)
	run := recorder.Run()
	require.False(t, run.Activities[0].Ended.IsZero())
	require.JSONEq(t, `{"seen": 1}`, string(run.Activities[0].Output))
	require.Equal(t, "method", run.Activities[0].Phase)
	require.True(t, json.Valid(run.Journal))
}

// A tolerance outside of the hypothesis is noted, for the verdict, and changes nothing of the run.
func TestToleranceInTheMethod(t *testing.T) {
	table := []native.Function{probe("look", func() (any, error) { return 5, nil })}
	e := parse(t, head+"method: [{type: probe, name: look, tolerance: 6, provider: {type: deskstorm, func: look}}]", table...)
	recorder := record.NewRecorder(record.Run{})
	journal, err := engine.Run(t.Context(), e, engine.Options{Table: table, Recorder: recorder})
	require.NoError(t, err)
	require.Equal(t, record.Completed, journal.Status)
	require.Nil(t, journal.Run[0].ToleranceMet)
	require.False(t, *recorder.Run().Activities[0].ToleranceMet)
	require.Equal(t, "probe", recorder.Run().Activities[0].Kind)
	require.False(t, recorder.Run().Deviated)
}

func TestFunctionsKnowTheirActivity(t *testing.T) {
	var names []string
	table := []native.Function{action("do", func(ctx context.Context) (any, error) { names = append(names, native.ActivityOf(ctx)); return 1, nil })}
	e := parse(t, head+`
method:
  - {type: action, name: one, provider: {type: deskstorm, func: do}}
  - {type: action, name: two, provider: {type: deskstorm, func: do}}
`, table...)
	_, err := engine.Run(t.Context(), e, engine.Options{Table: table})
	require.NoError(t, err)
	require.Equal(t, []string{"one", "two"}, names)
}

// What is nothing but an empty value is no argument: what a function takes without it is its own affair.
func TestEmptyArguments(t *testing.T) {
	var got native.Arguments
	table := []native.Function{{
		Name: "look", Kind: native.Probe,
		Parameters: []native.Parameter{{Name: "port", Type: native.Integer}, {Name: "host", Type: native.Text}, {Name: "is", Type: native.Text},
			{Name: "said", Type: native.Text}},
		Run: func(_ context.Context, a native.Arguments) (any, error) { got = a; return 1, nil },
	}}
	e := parse(t, head+`
configuration: {port: {type: env, key: PORT, default: null, env_var_type: int}, host: "", is: here}
method:
  - {type: probe, name: look, provider: {type: deskstorm, func: look, arguments: {port: "${port}", host: "${host}", is: "${is}", said: ""}}}
`, table...)
	_, err := engine.Run(t.Context(), e, engine.Options{Table: table, Getenv: func(string) (string, bool) { return "", false }})
	require.NoError(t, err)
	require.Equal(t, native.Arguments{"is": "here", "said": ""}, got)
}

// The record tells what the toolkit's journal does not: that a run did not come to its method.
func TestHypothesisThatDoesNotHoldBefore(t *testing.T) {
	table := []native.Function{probe("login", func() (any, error) { return false, nil })}
	e := parse(t, head+hypothesis+"method: [{type: probe, name: never, provider: {type: deskstorm, func: login}}]", table...)
	recorder := record.NewRecorder(record.Run{})
	journal, err := engine.Run(t.Context(), e, engine.Options{Table: table, Recorder: recorder})
	require.NoError(t, err)
	require.Equal(t, record.Completed, journal.Status)
	require.Equal(t, record.Failed, recorder.Run().Status)
	require.False(t, recorder.Run().Deviated)
}

func TestGraceEndsRollbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := []native.Function{action("stuck", func(ctx context.Context) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})}
		e := parse(t, head+`
runtime: {rollbacks: {strategy: always}}
method: [{type: action, name: a, provider: {type: deskstorm, func: stuck}}]
rollbacks:
  - {type: action, name: b, provider: {type: deskstorm, func: stuck}}
  - {type: action, name: never, provider: {type: deskstorm, func: stuck}}
`, table...)
		ctx, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		began := time.Now()
		undone := 0
		journal, err := engine.Run(ctx, e, engine.Options{Table: table, Grace: time.Minute, Undo: func(context.Context) error { undone++; return nil }})
		require.NoError(t, err)
		require.Equal(t, time.Hour+time.Minute, time.Since(began))
		require.Equal(t, record.Interrupted, journal.Status)
		require.Len(t, journal.Rollbacks, 1)
		require.Equal(t, 2, undone)
	})
}

func TestUndoAfterPanics(t *testing.T) {
	undone := 0
	table := []native.Function{action("bug", func(context.Context) (any, error) { panic("oh") })}
	for _, method := range []string{
		"[{type: action, name: a, provider: {type: deskstorm, func: bug}}]",
		"[{type: action, name: a, background: true, provider: {type: deskstorm, func: bug}}]",
	} {
		undone = 0
		recorder := record.NewRecorder(record.Run{})
		journal, err := engine.Run(t.Context(), parse(t, head+"method: "+method, table...), engine.Options{
			Table: table, Recorder: recorder, Undo: func(context.Context) error { undone++; panic("oh no") },
		})
		require.NoError(t, err)
		require.Equal(t, 1, undone)
		require.Equal(t, record.Aborted, journal.Status)
		require.Contains(t, recorder.Run().Error, "undoing faults: a bug of deskstorm: oh no")
	}
}
