// Package record is what a run of an experiment leaves behind. The engine and the native activities write it, the verdict judges it,
// the history keeps it, reports show it.
package record

import (
	"encoding/json"
	"time"

	"github.com/deskstorm/deskstorm/results"
)

// Status is how a run ended, in the Chaos Toolkit's words.
type Status string

// How a run ended.
const (
	Completed   Status = "completed"   // the method was run to its end; see Deviated
	Failed      Status = "failed"      // the hypothesis did not hold before the method
	Aborted     Status = "aborted"     // an activity of the method, or the load, could not be run
	Interrupted Status = "interrupted" // by a person, a signal, a deadline
)

// Run is one run.
type Run struct {
	ID         string `json:"id"`         // sorts by time: 20261126T021500-7f3a9c
	Experiment string `json:"experiment"` // what it is called in the schedule, or the file's name without its ending
	Title      string `json:"title"`
	// Fingerprint is that of what was done, with its configuration: runs that have the same one may be compared. Empty: it was not begun.
	Fingerprint string    `json:"fingerprint,omitempty"`
	Tags        []string  `json:"tags,omitempty"`
	Trigger     string    `json:"trigger"` // "manual", "schedule", "catch-up"
	Began       time.Time `json:"began"`
	Ended       time.Time `json:"ended"`
	Status      Status    `json:"status"`
	Deviated    bool      `json:"deviated"`
	DryRun      bool      `json:"dry_run,omitempty"`
	Error       string    `json:"error,omitempty"` // why it was aborted or interrupted

	Activities []Activity           `json:"activities"`
	Faults     []Fault              `json:"faults"`
	Generators []Generator          `json:"generators"`
	Clock      Clock                `json:"clock"`
	Points     *Points              `json:"points,omitempty"` // nil: there is no InfluxDB
	Versions   map[string]string    `json:"versions"`         // of what is under test: kernel, qemu, libvirt, ovs, openstack, deskstorm ...
	Windows    []*results.Aggregate `json:"-"`                // of 10 s, per series, merged over all generators; not in the JSON
	Journal    json.RawMessage      `json:"-"`                // the Chaos Toolkit's journal.json
}

// Activity is one that was run.
type Activity struct {
	Phase  string    `json:"phase"` // "hypothesis-before", "method", "hypothesis-during", "hypothesis-after", "rollbacks"
	Kind   string    `json:"kind"`  // "probe", "action"
	Name   string    `json:"name"`
	Began  time.Time `json:"began"`
	Ended  time.Time `json:"ended"`
	Status string    `json:"status"` // "succeeded", "failed", "aborted"
	// ToleranceMet is of an activity with a tolerance; nil of others. The run goes by those of the hypothesis, the verdict also by those of
	// the method's probes.
	ToleranceMet *bool           `json:"tolerance_met,omitempty"`
	Output       json.RawMessage `json:"output,omitempty"`
	Error        string          `json:"error,omitempty"`
}

// Fault is one that was injected, or was about to be.
type Fault struct {
	ID       string    `json:"id"`
	Fault    string    `json:"fault"`
	What     string    `json:"what"` // for people
	Targets  []string  `json:"targets"`
	Injected time.Time `json:"injected"`
	Undone   time.Time `json:"undone"`              // zero: it could not be undone, see Error
	UndoneBy string    `json:"undone_by,omitempty"` // "runner", "watchdog", "target", "recover"
	Error    string    `json:"error,omitempty"`
}

// Generator is a k6 process that made load.
type Generator struct {
	Activity   string    `json:"activity"` // the name of the load.k6
	Segment    string    `json:"segment"`  // k6's execution segment; "0:1" of an only one
	Began      time.Time `json:"began"`
	Ended      time.Time `json:"ended"`
	ExitCode   int       `json:"exit_code"`            // k6's: 0, 99 (thresholds), 107 (script) ...; -1: a signal ended it
	ExitMeans  string    `json:"exit_means,omitempty"` // what ExitCode says, for people; empty for 0
	Stderr     string    `json:"stderr,omitempty"`     // its end
	CPUSeconds float64   `json:"cpu_seconds"`
	MaxRSS     int64     `json:"max_rss_bytes"`
	// MachineCPU is the machine's busy share of all its cores while it ran, highest of any 10 s, 0 to 1.
	MachineCPU float64 `json:"machine_cpu"`
	Iterations int64   `json:"iterations"`
	Dropped    int64   `json:"dropped_iterations"`
	// Stopped is that deskstorm stopped it, because the experiment said so or the run was to end: ExitCode is then 105.
	Stopped bool `json:"stopped,omitempty"`
	// Lost is why results are not complete: a killed process, a torn line. Empty: they are.
	Lost string `json:"lost,omitempty"`
}

// Clock is whether the machine's time could be relied on during the run.
type Clock struct {
	// Jump is the greatest difference between the wall clock and the monotonic one since the run began.
	Jump time.Duration `json:"jump_ns"`
}

// Points is what became of a run's points for InfluxDB.
type Points struct {
	Offered  int64    `json:"offered"`
	Written  int64    `json:"written"`  // acknowledged
	Buffered int64    `json:"buffered"` // wait on disk
	Dropped  int64    `json:"dropped"`
	Lost     int64    `json:"lost"` // of those that do not wait; -1: InfluxDB could not be asked
	Trouble  []string `json:"trouble,omitempty"`
}
