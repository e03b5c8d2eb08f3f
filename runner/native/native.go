// Package native describes the activities that deskstorm adds to the Chaos Toolkit's format, of the provider "type: deskstorm":
//
//	provider:
//	  type: deskstorm
//	  func: fault.net.loss
//	  arguments: {target: broker-net, percent: 5, for: 2m}
//
// The packages that have such functions return them in tables. A table for reading files has no Run: names and parameters are
// enough to check a file, to make its JSON schema, and to document it.
package native

import "context"

// Function is a native probe or action.
type Function struct {
	Name       string // such as "fault.net.loss"
	Kind       Kind
	Doc        string // one sentence
	Parameters []Parameter

	// Run does it and returns what a tolerance is held against: JSON's types, or what encodes as them. The end of ctx ends it.
	Run func(ctx context.Context, a Arguments) (any, error)
	// Verify refuses what can be known to fail before an experiment begins, without asking anybody; Check has passed the arguments. Nil:
	// nothing can.
	Verify func(a Arguments) error
	// Plan says what Run would touch, for --dry-run actions, and touches nothing. Nil: a look, which touches nothing.
	Plan func(ctx context.Context, a Arguments) (any, error)
}

// Parameter is one of a function's arguments.
type Parameter struct {
	Name     string
	Type     Type
	Required bool
	Doc      string   // what it is, with its unit and what it is if absent
	OneOf    []string // of a Text: all that it may be; empty: anything
}

// Type is a parameter's type.
type Type string

// The types of parameters.
const (
	Text     Type = "text"
	Integer  Type = "integer"
	Number   Type = "number"
	Boolean  Type = "boolean"
	Duration Type = "duration" // "30s", "1h30m", or a number of seconds
	List     Type = "list"     // of texts
	Mapping  Type = "mapping"
)

type activityKey struct{}

// WithActivity tells a function's Run which activity runs it, by its name in the experiment.
func WithActivity(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, activityKey{}, name)
}

// ActivityOf is the name of the activity that runs; empty if nobody said.
func ActivityOf(ctx context.Context) string {
	name, _ := ctx.Value(activityKey{}).(string)
	return name
}
