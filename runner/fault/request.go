package fault

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/deskstorm/deskstorm/runner/native"
	"github.com/deskstorm/deskstorm/runner/target"
)

// kind is a fault of the table. Its planners are for the target's kinds: nil where it cannot be injected.
type kind struct {
	name       string
	doc        string
	parameters []native.Parameter // besides those that all have
	host       planner            // local and ssh
	lab        planner            // http: the switches of a lab
	cloud      planner
}

// planner fills in the plan of a request, and touches nothing.
type planner func(ctx context.Context, r *request) error

// request is a fault that somebody asks for, while it is planned.
type request struct {
	Env
	native.Arguments
	Plan
	at       string                    // the target's name
	machine  target.Machine            // of local and ssh
	services map[string]target.Service // likewise
}

// common are the parameters of every fault.
func common() []native.Parameter {
	return []native.Parameter{
		{Name: "target", Type: native.Text, Required: true, Doc: "where: a target of the configuration"},
		{Name: "for", Type: native.Duration, Required: true, Doc: "after how long it is undone at the latest"},
	}
}

// goodID also bounds what is named after it.
var goodID = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,39}$`)

// plan makes the plan of a fault.
func (k kind) plan(ctx context.Context, env Env, id string, a native.Arguments) (Plan, error) {
	r := &request{Env: env, Arguments: a, at: a.Text("target", ""), Plan: Plan{
		Fault: k.name, ID: id, For: a.Duration("for", 0), Notes: map[string]any{},
	}}
	fail := func(err error) (Plan, error) {
		return Plan{}, fmt.Errorf("planning %s at %s: %w", k.name, r.at, err)
	}
	switch {
	case !goodID.MatchString(id):
		return fail(fmt.Errorf("the id %q is not of up to 40 letters, digits, hyphens, dots and underscores", id))
	case r.For <= 0:
		return fail(errors.New("for must be more than 0"))
	}
	plan, err := k.plannerAt(env.Targets, r.at)
	if err != nil {
		return fail(err)
	}
	at := env.Targets[r.at]
	r.machine, _ = at.Machine()
	r.services = at.Services
	r.Touches.Targets = []string{r.at}
	if at.HTTP != nil {
		// What could not be asked of a lab that does not answer could not be undone there either.
		if _, err := r.labState(ctx); err != nil {
			return fail(err)
		}
	}
	if err := plan(ctx, r); err != nil {
		return fail(err)
	}
	return r.Plan, nil
}

// plannerAt returns the planner for a target.
func (k kind) plannerAt(targets target.Config, name string) (planner, error) {
	at, ok := targets[name]
	if !ok {
		return nil, fmt.Errorf("there is no target %q; the configuration has %s", name, named(targets.Names()))
	}
	kind := kindOf(at)
	plan, wants := k.on(kind)
	if plan == nil {
		return nil, fmt.Errorf("the target is %s, and this fault needs one that is %s", kind, wants)
	}
	return plan, nil
}

// verify refuses what the configuration does not allow at a target, or knows no target for.
func (k kind) verify(env Env, a native.Arguments) error {
	p := Plan{Fault: k.name, For: a.Duration("for", 0), Touches: Touches{Targets: []string{a.Text("target", "")}}}
	if _, err := k.plannerAt(env.Targets, p.Touches.Targets[0]); err != nil {
		return fmt.Errorf("the fault %s is not possible: %w", k.name, err)
	}
	return env.guard().Check(p)
}

// on returns the planner for a kind of targets, and which kinds have one.
func (k kind) on(kind string) (_ planner, wants string) {
	var kinds []string
	for _, p := range []struct {
		planner planner
		kinds   []string
	}{{k.host, []string{"local", "ssh"}}, {k.lab, []string{"http"}}, {k.cloud, []string{"cloud"}}} {
		if p.planner == nil {
			continue
		}
		for _, has := range p.kinds {
			if has == kind {
				return p.planner, ""
			}
		}
		kinds = append(kinds, p.kinds...)
	}
	return nil, strings.Join(kinds, " or ")
}

func (r *request) applies(steps ...target.Step) { r.Apply = append(r.Apply, r.there(steps)...) }
func (r *request) undoes(steps ...target.Step)  { r.Undo = append(r.Undo, r.there(steps)...) }

// there has the steps at the request's target.
func (r *request) there(steps []target.Step) []target.Step {
	for i := range steps {
		steps[i].Target = r.at
	}
	return steps
}

func (r *request) whats(format string, args ...any) { r.Touches.What = fmt.Sprintf(format, args...) }

// lookTimeout bounds a look at a target.
const lookTimeout = 15 * time.Second

// look carries out a step that changes nothing, and returns what it said.
func (r *request) look(ctx context.Context, step target.Step) (string, error) {
	if r.Look == nil {
		return "", errors.New("nothing is there to look at the target with")
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	step.Target = r.at
	return r.Look.Do(ctx, step)
}

func command(argv ...string) target.Step { return target.Step{Command: &target.Command{Argv: argv}} }

// shell is a script for sh with arguments $1, $2 ..., which no shell reads.
func shell(script string, args ...string) target.Step {
	return command(append([]string{"sh", "-c", script, "deskstorm"}, args...)...)
}

// needs refuses where a program is missing.
func (r *request) needs(ctx context.Context, program, install string) error {
	said, err := r.look(ctx, shell(`command -v "$1" || echo missing`, program))
	if err != nil {
		return fmt.Errorf("looking for the program %s: %w", program, err)
	}
	if strings.TrimSpace(said) == "missing" {
		return fmt.Errorf("the program %s is missing there; install %s", program, install)
	}
	return nil
}

func named(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
