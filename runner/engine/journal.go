package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/deskstorm/deskstorm/runner/experiment"
	"github.com/deskstorm/deskstorm/runner/record"
)

// format is the version of chaostoolkit-lib whose journal this is.
const format = "1.44.0"

// Journal is the Chaos Toolkit's journal.json.
type Journal struct {
	Version      string          `json:"chaoslib-version"`
	Platform     string          `json:"platform"`
	Node         string          `json:"node"`
	Experiment   json.RawMessage `json:"experiment"` // secrets that the file spells out are hidden
	Start        string          `json:"start"`      // RFC 3339 with microseconds, UTC, as all times
	Status       record.Status   `json:"status"`
	Deviated     bool            `json:"deviated"`
	SteadyStates SteadyStates    `json:"steady_states"`
	Run          []*Execution    `json:"run"`
	Rollbacks    []*Execution    `json:"rollbacks"`
	End          string          `json:"end"`
	Duration     float64         `json:"duration"` // seconds

	title string
}

// SteadyStates are the checks of the hypothesis. Before and After are nil where there was none.
type SteadyStates struct {
	Before *SteadyState   `json:"before"`
	After  *SteadyState   `json:"after"`
	During []*SteadyState `json:"during"`
}

// SteadyState is one check of the hypothesis. It ends with the first probe that is not as it should be.
type SteadyState struct {
	Met    *bool        `json:"steady_state_met"` // nil: it was interrupted
	Probes []*Execution `json:"probes"`
}

// Execution is an activity that was run.
type Execution struct {
	Activity  any      `json:"activity"` // as the file says it
	Output    any      `json:"output"`   // JSON's types
	Start     string   `json:"start"`
	Status    string   `json:"status"` // succeeded, failed or aborted
	Exception []string `json:"exception,omitempty"`
	End       string   `json:"end"`
	Duration  float64  `json:"duration"` // seconds
	// ToleranceMet is of a hypothesis' probe.
	ToleranceMet *bool `json:"tolerance_met,omitempty"`
}

// JSON returns the journal as the Chaos Toolkit writes it.
func (j *Journal) JSON() ([]byte, error) { return encode(j, "  ") }

// encode leaves <, > and & as they are, as Python does.
func encode(value any, indent string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	err := e.Encode(value)
	return b.Bytes(), err
}

func newJournal(e *experiment.Experiment, values *experiment.Values, o Options) (*Journal, error) {
	decoded, err := experiment.DecodeJSON(e.Source)
	source, ok := decoded.(map[string]any)
	if err != nil || !ok {
		return nil, fmt.Errorf("copying the experiment into its journal: %w", err)
	}
	title := values.Hide(experiment.Text(values.Substitute(e.Title)))
	source["title"], source["dry"] = title, nil
	if o.Dry != DryNone {
		source["dry"] = o.Dry
	}
	raw, err := encode(source, "")
	if err != nil {
		return nil, fmt.Errorf("copying the experiment into its journal: %w", err)
	}
	node, _ := os.Hostname()
	return &Journal{
		Version: format, Platform: platform(), Node: node, Experiment: raw, Start: timestamp(o.Clock.Now()),
		SteadyStates: SteadyStates{During: []*SteadyState{}}, Run: []*Execution{}, Rollbacks: []*Execution{}, title: title,
	}, nil
}

// timestamp is Python's isoformat of a time in UTC.
func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000-07:00") }

// platform is the system, its version and the machine: "Linux-6.12.0-x86_64".
func platform() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "Linux"
	}
	text := func(b []byte) string { return unix.ByteSliceToString(b) }
	return text(u.Sysname[:]) + "-" + text(u.Release[:]) + "-" + text(u.Machine[:])
}
