// Package verdict says whether a run was good: by the experiment's objectives, against the last nights, against the other sites of
// the night. Where the harness itself was the bottleneck it gives no verdict, and says why. It reads and writes nothing: all that it
// judges by is handed to it. docs/verdicts.md has the rules and how often they are wrong.
package verdict

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Outcome is what a run comes to.
type Outcome string

// The outcomes, the first that applies from Failed up: each makes what stands below it worthless. What could not be run shows nothing;
// what a broken harness measured is no evidence of a deviation; one deviation outweighs all that passed.
const (
	Passed    Outcome = "passed"
	Deviated  Outcome = "deviated"
	NoVerdict Outcome = "no-verdict" // run, but not measured well enough to say
	Failed    Outcome = "failed"     // could not be run, or left a fault behind
)

// ExitCode is the exit code of a command that ends with this outcome: 0 passed, 1 deviated, 2 could not run, 3 no verdict.
func (o Outcome) ExitCode() int {
	switch o {
	case Passed:
		return 0
	case Deviated:
		return 1
	case NoVerdict:
		return 3
	}
	return 2
}

// Verdict is a run's.
type Verdict struct {
	RunID   string  `json:"run_id"`
	Outcome Outcome `json:"outcome"`
	Reason  string  `json:"reason"` // one sentence
	// From and Until bound what was measured under load; both zero: there was no load.
	From  time.Time `json:"from,omitzero"`
	Until time.Time `json:"until,omitzero"`
	// Findings are all that was looked at, in the order run, harness, hypothesis, objectives, last nights, other sites.
	Findings []Finding `json:"findings"`
	// Figures are what was measured, for later nights to be held against.
	Figures []Figure `json:"figures"`
	Flaky   *Flaky   `json:"flaky,omitempty"` // nil: it is not flaky
}

// ExitCode is that of the outcome.
func (v Verdict) ExitCode() int { return v.Outcome.ExitCode() }

// Check is what a finding is about.
type Check string

// The checks.
const (
	CheckRun        Check = "run"        // was the method run?
	CheckUndo       Check = "undo"       // is every fault undone?
	CheckHarness    Check = "harness"    // can what was measured be relied on?
	CheckProbe      Check = "probe"      // was what a probe of the method found within its tolerance?
	CheckHypothesis Check = "hypothesis" // did the steady state hold?
	CheckScript     Check = "script"     // the load script's own thresholds
	CheckPercentile Check = "percentile" // an objective
	CheckBudget     Check = "budget"     // an objective
	CheckRegression Check = "regression" // the last nights
	CheckSites      Check = "sites"      // the other sites
)

// Result is what a finding says.
type Result string

// The results.
const (
	Good      Result = "passed"
	Bad       Result = "deviated"
	Undecided Result = "undecided" // cannot be said; without a deviation elsewhere there is no verdict
	Unsound   Result = "unsound"   // the harness: whatever else was found does not count
	Broken    Result = "failed"    // the run itself
	Noted     Result = "noted"     // worth knowing; changes nothing
)

// Unit is a figure's.
type Unit string

// The units.
const (
	Millis Unit = "ms"
	Share  Unit = "share" // 0 to 1
)

// Finding is one thing that was looked at.
type Finding struct {
	Check  Check  `json:"check"`
	Name   string `json:"name"` // of the objective, the probe, the limit
	Result Result `json:"result"`
	Text   string `json:"text"` // one sentence

	Metric     string  `json:"metric,omitempty"`
	Step       string  `json:"step,omitempty"`
	Site       string  `json:"site,omitempty"`       // empty: all sites together
	Percentile float64 `json:"percentile,omitempty"` // 0: a share
	Unit       Unit    `json:"unit,omitempty"`       // of Value and Limit; empty: there are none
	Value      float64 `json:"value,omitempty"`
	Limit      float64 `json:"limit,omitempty"`
	Samples    int64   `json:"samples,omitempty"`
}

// Figure is one number that a run came to: a percentile, or a share of failures.
type Figure struct {
	Objective string `json:"objective"` // the first one that measures it
	// Measure is how it was measured, its window included. Figures of the same Measure, Step and Site may be compared.
	Measure    string  `json:"measure"`
	Metric     string  `json:"metric"`
	Step       string  `json:"step,omitempty"`
	Site       string  `json:"site,omitempty"`       // empty: all sites together
	Percentile float64 `json:"percentile,omitempty"` // 0: a share
	Unit       Unit    `json:"unit"`
	Value      float64 `json:"value"`
	Samples    int64   `json:"samples"`
	Failed     int64   `json:"failed,omitempty"` // of a share
	// Uncertain is the standard deviation that a percentile's logarithm has because so many samples were taken and not more.
	Uncertain float64 `json:"uncertain,omitempty"`
	// Called is whether it was called a regression: later nights are not held against it, until it has become usual.
	Called bool `json:"called,omitempty"`
}

// Format spells a value for people: "4.21 s", "85 ms", "0.8 %".
func (u Unit) Format(v float64) string {
	if u == Share {
		return significant(v*100) + " %"
	}
	if math.Abs(v) >= 1000 {
		return significant(v/1000) + " s"
	}
	return significant(v) + " ms"
}

// significant keeps three figures, and all that stand before the point.
func significant(v float64) string {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	digits := max(0, 2-int(math.Floor(math.Log10(math.Abs(v)))))
	scale := math.Pow(10, float64(digits))
	return strconv.FormatFloat(math.Round(v*scale)/scale, 'f', -1, 64)
}

// what names a figure for people: "p95 of vdi_login_duration, step total, site north".
func what(metric, step, site string, percentile float64) string {
	s := "share of " + metric
	if percentile > 0 {
		s = fmt.Sprintf("p%s of %s", strconv.FormatFloat(percentile, 'f', -1, 64), metric)
	}
	if step != "" {
		s += ", step " + step
	}
	if site != "" {
		s += ", site " + site
	}
	return s
}

// What names the figure for people.
func (f Figure) What() string { return what(f.Metric, f.Step, f.Site, f.Percentile) }
