package runner

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/deskstorm/deskstorm/runner/engine"
	"github.com/deskstorm/deskstorm/runner/experiment"
	"github.com/deskstorm/deskstorm/runner/fault"
	"github.com/deskstorm/deskstorm/runner/load"
	"github.com/deskstorm/deskstorm/runner/native"
	"github.com/deskstorm/deskstorm/runner/probes"
	"github.com/deskstorm/deskstorm/runner/verdict"
	"github.com/deskstorm/deskstorm/scenarios"

	"github.com/goccy/go-yaml/ast"

	"github.com/deskstorm/deskstorm/internal/configfile"
)

// Request is what to run.
type Request struct {
	// Experiment is the path of a file, or the name of a shipped experiment, such as boot-storm.
	Experiment string
	Name       string // that the run is kept under; empty: the file's name without its ending
	Trigger    string // "manual", "schedule" or "catch-up"
	// Variables replace values of the experiment's configuration, by name.
	Variables map[string]any
	Dry       engine.Dry
	Notify    []string // who is told, by their names in the configuration
}

// Loaded is an experiment, and what it is to be judged by.
type Loaded struct {
	*experiment.Experiment
	Objectives verdict.Objectives
	Name       string // of the file, without its ending
	Dir        string // where paths in it begin; empty: it is shipped
}

// Functions are all native probes and actions, to be read and documented; they cannot be run.
func Functions() []native.Function {
	all := slices.Concat(fault.Table(fault.Env{}), load.Table(load.Env{}), probes.Table(probes.Env{}))
	slices.SortFunc(all, func(a, b native.Function) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Schema is the JSON schema of experiments, with all native functions and the objectives.
func Schema() []byte {
	return experiment.Schema(Functions(), map[string]map[string]any{verdict.ExtensionName: verdict.Schema()})
}

// Load reads an experiment: the file of that path, or the shipped one of that name. All mistakes are told at once, with line and
// column each.
func Load(path string) (Loaded, error) {
	l := Loaded{Name: strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)), Dir: filepath.Dir(path)}
	objectives := experiment.Extension{Name: verdict.ExtensionName, Read: func(r *configfile.Reader, n ast.Node) {
		l.Objectives = verdict.Read(r, n)
	}}
	var err error
	if !strings.ContainsAny(path, "./") {
		text, e := scenarios.Experiment(path)
		if e != nil {
			return Loaded{}, e
		}
		l.Dir = ""
		l.Experiment, err = experiment.Parse(text, path+".yaml", Functions(), objectives)
	} else {
		if _, e := os.Stat(path); e != nil {
			return Loaded{}, fmt.Errorf("reading an experiment: %w; there are also the shipped ones %s", e, strings.Join(scenarios.ExperimentNames(), ", "))
		}
		l.Experiment, err = experiment.Load(path, Functions(), objectives)
	}
	return l, err
}

// set replaces values of the configuration, as they are: what the file says of an environment variable is no longer asked for.
func (l Loaded) set(variables map[string]any) error {
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		if _, ok := l.Configuration[name]; !ok {
			return fmt.Errorf("the experiment has no configuration %q to replace; it has %s", name,
				strings.Join(slices.Sorted(maps.Keys(l.Configuration)), ", "))
		}
		l.Configuration[name] = experiment.Value{Static: variables[name]}
	}
	return nil
}
