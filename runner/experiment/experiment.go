// Package experiment reads experiments: files in the Chaos Toolkit's open format (https://chaostoolkit.org/reference/api/experiment/),
// YAML or JSON. What is not in the format, or not supported, is refused by name, with file, line and column.
package experiment

import (
	"encoding/json"
	"time"

	"github.com/deskstorm/deskstorm/runner/native"
)

// Experiment is an experiment as its file says it, before configuration and secrets are substituted.
type Experiment struct {
	File        string // where it was read from
	Title       string
	Description string
	Tags        []string

	Configuration map[string]Value            // by name
	Secrets       map[string]map[string]Value // by group and name
	Hypothesis    *Hypothesis                 // nil: there is none
	Method        []Activity
	Rollbacks     []Activity
	Runtime       Runtime

	// Extensions are the file's extensions by name, each as JSON. The one called "deskstorm" holds the objectives that the verdict
	// judges by (package verdict).
	Extensions map[string]json.RawMessage
	// Source is the file as JSON, for the journal.
	Source json.RawMessage
}

// Value is a configuration's or a secret's value: itself, or where it is.
type Value struct {
	Static  any    // JSON's types, if neither Env nor Path is set
	Env     string // type: env
	Path    string // type: file
	Type    string // of an environment variable's value: str, int, float, bool, json; empty: str
	Default any    // of an environment variable that is not set; nil: none
}

// Hypothesis is what holds while all is well.
type Hypothesis struct {
	Title  string
	Probes []Activity
}

// Runtime says when hypothesis and rollbacks are run.
type Runtime struct {
	Hypothesis HypothesisStrategy
	Frequency  time.Duration // of continuous and during strategies; 0: 1 s
	FailFast   bool
	Rollbacks  RollbackStrategy
}

// HypothesisStrategy is when the hypothesis is checked.
type HypothesisStrategy string

// The Chaos Toolkit's hypothesis strategies.
const (
	HypothesisDefault      HypothesisStrategy = "default" // before and after the method
	HypothesisBefore       HypothesisStrategy = "before-method-only"
	HypothesisAfter        HypothesisStrategy = "after-method-only"
	HypothesisDuring       HypothesisStrategy = "during-method-only"
	HypothesisContinuously HypothesisStrategy = "continuously"
	HypothesisSkip         HypothesisStrategy = "skip"
)

// RollbackStrategy is when the rollbacks are run.
type RollbackStrategy string

// The Chaos Toolkit's rollback strategies.
const (
	RollbackDefault  RollbackStrategy = "default" // unless the hypothesis failed before the method, or the run was interrupted
	RollbackAlways   RollbackStrategy = "always"
	RollbackNever    RollbackStrategy = "never"
	RollbackDeviated RollbackStrategy = "deviated"
)

// Kind is package native's: its functions know their kind, and this package reads files with tables of them.
type Kind = native.Kind

// The kinds of activities.
const (
	Probe  = native.Probe
	Action = native.Action
)

// Activity is a probe or an action. Exactly one of its providers is set.
type Activity struct {
	Kind       Kind
	Name       string
	Background bool
	Before     Pause
	After      Pause
	Tolerance  *Tolerance // of a hypothesis' probe
	Line       int        // in the file, from 1

	HTTP    *HTTP
	Process *Process
	Native  *Native
}

// Pause is the time before or after an activity.
type Pause struct {
	For time.Duration
	// Var is a configuration's name in ${}, whose value is the pause in seconds; empty: For is it.
	Var string
}

// HTTP is the provider http.
type HTTP struct {
	URL            string
	Method         string // GET if empty
	Headers        map[string]string
	Arguments      any // a mapping is a form or, by its Content-Type, JSON; of a GET, the query
	ExpectedStatus int // 0: any
	Timeout        Timeout
	VerifyTLS      bool
	Secrets        []string // groups
}

// Process is the provider process.
type Process struct {
	Path      string
	Arguments any // a text, a list, or a mapping of options
	Timeout   Timeout
	Secrets   []string
}

// Timeout is a provider's; zero is none.
type Timeout struct {
	Connect, Read time.Duration
	Var           string // as of a Pause
}

// Native is the provider deskstorm: a function of package native's tables.
type Native struct {
	Func      string
	Arguments map[string]any
	Secrets   []string
}

// Tolerance is what a probe's value must be.
type Tolerance struct {
	// Value is the file's tolerance as JSON's types: a scalar, a list, or a mapping with type: regex, jsonpath, range or probe.
	Value any
	Probe *Activity // type: probe
}
