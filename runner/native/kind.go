package native

// Kind tells probes, which look, from actions, which change something.
type Kind string

// The kinds of activities.
const (
	Probe  Kind = "probe"
	Action Kind = "action"
)
