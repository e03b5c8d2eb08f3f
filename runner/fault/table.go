package fault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/deskstorm/deskstorm/runner/native"
)

// prefix is what the names of the functions begin with.
const prefix = "fault."

// Table has the actions of a run: one for each fault, and fault.undo. What one of them injected, the others know.
func Table(env Env) []native.Function {
	in := &injected{injector: env.Injector}
	var table []native.Function
	for _, k := range kinds() {
		f := native.Function{
			Name: prefix + k.name, Kind: native.Action, Doc: k.doc, Parameters: append(common(), k.parameters...),
		}
		checked := func(ctx context.Context, a native.Arguments) (Plan, error) {
			if err := f.CheckValues(a); err != nil {
				return Plan{}, err
			}
			return k.plan(ctx, env, env.newID(), a)
		}
		f.Verify = func(a native.Arguments) error { return k.verify(env, a) }
		f.Plan = func(ctx context.Context, a native.Arguments) (any, error) {
			p, err := checked(ctx, a)
			if err != nil {
				return nil, err
			}
			if err := env.guard().Check(p, in.others()...); err != nil {
				return nil, err
			}
			return map[string]any{"fault": p.Fault, "touches": p.Touches, "for": p.For.String(), "notes": p.Notes,
				"apply": p.Apply, "undo": p.Undo}, nil
		}
		f.Run = func(ctx context.Context, a native.Arguments) (any, error) {
			p, err := checked(ctx, a)
			if err != nil {
				return nil, err
			}
			if env.Injector == nil {
				return nil, fmt.Errorf("injecting %s: nothing is there that could undo it", p.Fault)
			}
			if err := in.add(env.guard(), p); err != nil {
				return nil, err
			}
			err = env.Injector.Inject(ctx, p)
			in.tried(p.ID, err)
			if err != nil {
				return nil, fmt.Errorf("injecting %s at %s: %w", p.Fault, strings.Join(p.Touches.Targets, ", "), err)
			}
			return map[string]any{"id": p.ID, "touches": p.Touches, "notes": p.Notes}, nil
		}
		table = append(table, f)
	}
	return append(table, undo(env, in))
}

// undo is the action that ends a fault before its time.
func undo(env Env, in *injected) native.Function {
	var names []string
	for _, k := range kinds() {
		names = append(names, k.name)
	}
	f := native.Function{
		Name: prefix + "undo", Kind: native.Action, Doc: "ends faults that this run has injected, before their time",
		Parameters: []native.Parameter{
			{Name: "fault", Type: native.Text, OneOf: names, Doc: "which: all of a kind, such as net.loss"},
			{Name: "id", Type: native.Text, Doc: "which: the one with the id that its action returned"},
		},
	}
	choose := func(a native.Arguments) ([]Plan, error) {
		if err := f.CheckValues(a); err != nil {
			return nil, err
		}
		if a.Has("fault") == a.Has("id") {
			return nil, errors.New("say which faults to undo: by fault, or by id")
		}
		if found := in.find(a.Text("fault", ""), a.Text("id", "")); len(found) > 0 {
			return found, nil
		}
		return nil, fmt.Errorf("this run has not injected %s", a.Text("fault", "")+a.Text("id", ""))
	}
	f.Plan = func(_ context.Context, a native.Arguments) (any, error) {
		// What a dry run has not injected can be undone neither.
		if err := f.CheckValues(a); err != nil {
			return nil, err
		}
		return map[string]any{"undoes": a.Text("fault", "") + a.Text("id", "")}, nil
	}
	f.Run = func(ctx context.Context, a native.Arguments) (any, error) {
		plans, err := choose(a)
		if err != nil {
			return nil, err
		}
		ids := []string{}
		var errs []error
		for _, p := range slices.Backward(plans) {
			if err := env.Injector.Undo(ctx, p.ID); err != nil {
				errs = append(errs, fmt.Errorf("undoing %s, %s: %w", p.Fault, p.ID, err))
				continue
			}
			ids = append(ids, p.ID)
		}
		return map[string]any{"undone": ids}, errors.Join(errs...)
	}
	return f
}

// injected is what a run's actions have injected, oldest first.
type injected struct {
	mutex    sync.Mutex
	injector Injector
	all      []injection
}

type injection struct {
	Plan
	tried bool // the injector knows it, if it is injected
}

// add checks a plan beside the others that are active, and adds it, at once: of two that fit one by one, one is refused.
func (in *injected) add(g Guard, p Plan) error {
	in.mutex.Lock()
	defer in.mutex.Unlock()
	if err := g.Check(p, in.active()...); err != nil {
		return err
	}
	in.all = append(in.all, injection{Plan: p})
	return nil
}

// tried is called when the injector has tried to inject a plan. It forgets one of which nothing is left.
func (in *injected) tried(id string, err error) {
	in.mutex.Lock()
	defer in.mutex.Unlock()
	i := slices.IndexFunc(in.all, func(a injection) bool { return a.ID == id })
	in.all[i].tried = true
	if err != nil && !in.injector.Active(id) {
		in.all = slices.Delete(in.all, i, i+1)
	}
}

func (in *injected) find(fault, id string) (found []Plan) {
	in.mutex.Lock()
	defer in.mutex.Unlock()
	for _, a := range in.all {
		if a.Fault == fault || a.ID == id {
			found = append(found, a.Plan)
		}
	}
	return found
}

func (in *injected) others() []Plan {
	in.mutex.Lock()
	defer in.mutex.Unlock()
	return in.active()
}

// active is called with the lock held.
func (in *injected) active() (plans []Plan) {
	for _, a := range in.all {
		if !a.tried || in.injector.Active(a.ID) {
			plans = append(plans, a.Plan)
		}
	}
	return plans
}
