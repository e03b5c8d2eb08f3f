// Package experiment reads experiments: files in the Chaos Toolkit's open format
// (https://chaostoolkit.org/reference/api/experiment/), YAML or JSON. What is not in the format, or not supported, is refused
// by name, with file, line and column.
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

	Configuration map[string]Value // by name; never nil, so that values can be put in place of those of the file
	Secrets       []SecretGroup    // in the file's order, in which names are looked up
	Hypothesis    *Hypothesis      // nil: there is none
	Method        []Activity
	Rollbacks     []Activity
	Runtime       Runtime

	// Extensions are the file's extensions by name, each as JSON. The one called "deskstorm" holds the objectives that the
	// verdict judges by (package verdict).
	Extensions map[string]json.RawMessage
	// Source is the file as JSON, for the journal. Secrets that it spells out are replaced by Hidden.
	Source json.RawMessage
}

// Hidden stands wherever a secret would.
const Hidden = "********"

// Value is a configuration's or a secret's value: itself, or where it is.
type Value struct {
	Static  any    // JSON's types, if neither Env nor Path is set
	Env     string // type: env
	Path    string // type: file
	Type    string // of an environment variable's value: str, int, float, bool, json; empty: str
	Default any    // of an environment variable that is not set, if Optional
	// Optional says that there is a Default.
	Optional bool
	Line     int // in the file, from 1
}

// SecretGroup are secrets that belong together, by name.
type SecretGroup struct {
	Name   string
	Values map[string]Value
}

// Hypothesis is what holds while all is well.
type Hypothesis struct {
	Title  string
	Probes []Activity
}

// Runtime says when hypothesis and rollbacks are run.
type Runtime struct {
	Hypothesis HypothesisStrategy
	Frequency  time.Duration // between two checks of the continuous and during strategies; 0: 1 s
	FailFast   bool
	// FailFastRatio is the share of checks, in percent, that must have failed for FailFast to end the method.
	FailFastRatio float64
	Rollbacks     RollbackStrategy
}

// HypothesisStrategy is when the hypothesis is checked.
type HypothesisStrategy string

// The Chaos Toolkit's hypothesis strategies.
const (
	HypothesisDefault      HypothesisStrategy = "default" // before and after the method
	HypothesisBefore       HypothesisStrategy = "before-method-only"
	HypothesisAfter        HypothesisStrategy = "after-method-only"
	HypothesisDuring       HypothesisStrategy = "during-method-only"
	HypothesisContinuously HypothesisStrategy = "continuously" // before, during and after the method
	HypothesisSkip         HypothesisStrategy = "skip"
)

// RollbackStrategy is when the rollbacks are run.
type RollbackStrategy string

// The Chaos Toolkit's rollback strategies.
const (
	RollbackDefault  RollbackStrategy = "default" // unless a hypothesis' probe failed, or the run was interrupted
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
	Tolerance  *Tolerance // of a hypothesis' probe; of the method's, the verdict judges it
	Line       int        // in the file, from 1

	HTTP    *HTTP
	Process *Process
	Native  *Native

	// Source is the activity as JSON's types, for the journal.
	Source any

	ref int // of a reference: which of the file's, from 1
}

// Pause is the time before or after an activity.
type Pause struct {
	For time.Duration
	// Var is a "${name}" whose value is the pause in seconds; empty: For is it.
	Var string
}

// HTTP is the provider http.
type HTTP struct {
	URL            string
	Method         string // in capitals
	Headers        map[string]any
	Arguments      any // a mapping is a form or, by its Content-Type, JSON; of a GET, the query
	ExpectedStatus int // 0: any
	Timeout        Timeout
	VerifyTLS      bool
	MaxRetries     int
}

// Process is the provider process.
type Process struct {
	Path      string
	Arguments any           // a text, which a shell reads, or a list; a mapping in the file is names and values in turn
	Timeout   time.Duration // 0: none
}

// Timeout is how long a request may take to connect, and to go on afterwards. Zero is any time.
type Timeout struct {
	Connect, Read time.Duration
	Var           string // as of a Pause; its value is a number or a list of two
}

// Native is the provider deskstorm: a function of package native's tables.
type Native struct {
	Func      string
	Arguments map[string]any
}

// ToleranceType is how a tolerance is held against a value.
type ToleranceType string

// The types of tolerances.
const (
	ToleranceScalar   ToleranceType = ""     // equal; a number is held against the status of an HTTP answer or a process
	ToleranceList     ToleranceType = "list" // two: from the one to the other; otherwise: one of them
	ToleranceRegex    ToleranceType = "regex"
	ToleranceJSONPath ToleranceType = "jsonpath"
	ToleranceRange    ToleranceType = "range"
	ToleranceProbe    ToleranceType = "probe"
)

// Tolerance is what a probe's value must be.
type Tolerance struct {
	Type   ToleranceType
	Value  any    // of a scalar and a list
	Target string // of regex, jsonpath and range: the key of the value that is judged; empty: the value itself

	Pattern   string // of a regex, with substitutions
	Path      string // of a jsonpath, with substitutions
	Count     *int   // of a jsonpath: how many values must be found; nil: at least one
	Expect    any    // of a jsonpath: the values that must be found, if Expected; it overrides Count
	Expected  bool
	Low, High float64   // of a range, both included
	Probe     *Activity // takes the value as its argument "value"
}
