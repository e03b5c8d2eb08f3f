package verdict

import (
	"cmp"
	"fmt"
	"strconv"
	"time"
)

// Objectives are what a run is judged by. A zero value in them is not said: Or fills it, or Judge takes the default.
type Objectives struct {
	Window     Window
	List       []Objective
	Regression Regression
	Sites      Sites
	Harness    Harness
}

// Window is which part of the load counts as the steady state.
type Window struct {
	From  time.Duration // since the load began, 0s to 24h: a ramp is left out; default: 0
	Until time.Duration // since the load began, up to 24h; default: 0, its end
	// Faults is whether the time counts in which a fault is there; default: IncludeFaults.
	Faults FaultTime
	// Settle is how long after its end a fault is still taken to be there, 0s to 24h; default: 0.
	Settle time.Duration
}

// FaultTime says whether the time of faults counts.
type FaultTime string

// What becomes of the time of faults.
const (
	IncludeFaults FaultTime = "include"
	ExcludeFaults FaultTime = "exclude"
	OnlyFaults    FaultTime = "only"
)

// Objective is a limit of a percentile (Percentile and Below) or of a share of failures (AtMost), never of both.
type Objective struct {
	Name   string // default: made of the rest
	Metric string // a trend or a rate; docs/metrics.md has them
	Step   string // default: empty; of a percentile, each step by itself, of a share, all steps
	Site   string // default: empty, all
	// Path and Profile are tags too; default: empty, all.
	Path, Profile string
	PerSite       bool // each site by itself, rather than all sites together
	PerStep       bool // each step by itself; always so with a percentile

	Percentile float64 // above 0, below 100
	Below      time.Duration
	// AtMost is the error budget, 0 to 1.
	AtMost float64
	// MinSamples are how many samples an answer needs, unless fewer are clear; default: 0, Needed.
	MinSamples int
	Window     *Window // default: nil, that of the Objectives
}

// Needed is how many samples an objective needs for an answer: of a percentile five beyond it, of a share as many as its budget
// needs to allow one failure, at least 20 and at most 1000.
func (o Objective) Needed() int {
	switch {
	case o.MinSamples > 0:
		return o.MinSamples
	case o.Percentile > 0:
		return roundUp(5 / (1 - o.Percentile/100))
	case o.AtMost > 0:
		return min(max(roundUp(1/o.AtMost), 20), 1000)
	}
	return 20
}

func roundUp(v float64) int { return int(v + 1 - 1e-9) }

// name is what the objective is called.
func (o Objective) name() string {
	if o.Name != "" {
		return o.Name
	}
	limit := " at most " + Share.Format(o.AtMost)
	if o.Percentile > 0 {
		limit = " below " + Millis.Format(float64(o.Below)/float64(time.Millisecond))
	}
	return what(o.Metric, o.Step, o.Site, o.Percentile) + limit
}

// measure is what the objective measures, without its limit and its name.
func (o Objective) measure(w Window) string {
	m := o.Metric + " share"
	if o.Percentile > 0 {
		m = o.Metric + " p" + strconv.FormatFloat(o.Percentile, 'f', -1, 64)
	}
	for _, tag := range [][2]string{{"path", o.Path}, {"profile", o.Profile}} {
		if tag[1] != "" {
			m += " " + tag[0] + "=" + tag[1]
		}
	}
	return m + " " + w.String()
}

// String is the window for people: "from 2m0s until 20m0s, faults exclude".
func (w Window) String() string {
	s := "from " + w.From.String()
	if w.Until > 0 {
		s += " until " + w.Until.String()
	}
	if w.Faults == ExcludeFaults || w.Faults == OnlyFaults {
		s += fmt.Sprintf(", faults %s, settle %s", w.Faults, w.Settle)
	}
	return s
}

// Mode is what a comparison may do to the outcome.
type Mode string

// The modes.
const (
	ModeJudge Mode = "judge" // what it finds is a deviation
	ModeTell  Mode = "tell"  // what it finds is noted
	ModeOff   Mode = "off"
)

// Regression is how a night is held against the last ones.
type Regression struct {
	Mode   Mode // default: ModeJudge
	Nights int  // how many are looked at, 5 to 60; default: 7
	// AtLeast is how much worse counts, as a share of the usual, above 0 to 10; default: 0.1.
	AtLeast float64
	// FalseAlarms is the share of nights on which all comparisons of a run together may call what is chance, 0.0001 to 0.2;
	// default: 0.02.
	FalseAlarms float64
}

// Sites is how a site is held against the others of the night.
type Sites struct {
	Mode    Mode     // default: ModeJudge
	AtLeast float64  // how much worse than the others counts, above 0 to 10; default: 0.5
	Except  []string // sites that are known to be otherwise: far away, for instance; default: none
}

// Harness are the limits beyond which the harness was the bottleneck.
type Harness struct {
	Dropped   float64       // iterations that k6 dropped, of all that were due, above 0 to 1; default: 0.01
	CPU       float64       // the machine's busy share in any 10 s of load, above 0 to 1; default: 0.85
	ClockJump time.Duration // 1ms to 1h; default: 1s
}

// minNights is how many nights are needed to say what is usual: with fewer the spread is anybody's guess.
const minNights = 5

// Or returns o with what it does not say taken from otherwise. Objectives are o's, if it has any.
func (o Objectives) Or(otherwise Objectives) Objectives {
	o.Window.From = cmp.Or(o.Window.From, otherwise.Window.From)
	o.Window.Until = cmp.Or(o.Window.Until, otherwise.Window.Until)
	o.Window.Faults = cmp.Or(o.Window.Faults, otherwise.Window.Faults)
	o.Window.Settle = cmp.Or(o.Window.Settle, otherwise.Window.Settle)
	if len(o.List) == 0 {
		o.List = otherwise.List
	}
	o.Regression.Mode = cmp.Or(o.Regression.Mode, otherwise.Regression.Mode)
	o.Regression.Nights = cmp.Or(o.Regression.Nights, otherwise.Regression.Nights)
	o.Regression.AtLeast = cmp.Or(o.Regression.AtLeast, otherwise.Regression.AtLeast)
	o.Regression.FalseAlarms = cmp.Or(o.Regression.FalseAlarms, otherwise.Regression.FalseAlarms)
	o.Sites.Mode = cmp.Or(o.Sites.Mode, otherwise.Sites.Mode)
	o.Sites.AtLeast = cmp.Or(o.Sites.AtLeast, otherwise.Sites.AtLeast)
	if len(o.Sites.Except) == 0 {
		o.Sites.Except = otherwise.Sites.Except
	}
	o.Harness.Dropped = cmp.Or(o.Harness.Dropped, otherwise.Harness.Dropped)
	o.Harness.CPU = cmp.Or(o.Harness.CPU, otherwise.Harness.CPU)
	o.Harness.ClockJump = cmp.Or(o.Harness.ClockJump, otherwise.Harness.ClockJump)
	return o
}

// Defaults are what Judge takes where nothing is said.
func Defaults() Objectives {
	return Objectives{
		Window:     Window{Faults: IncludeFaults},
		Regression: Regression{Mode: ModeJudge, Nights: 7, AtLeast: 0.1, FalseAlarms: 0.02},
		Sites:      Sites{Mode: ModeJudge, AtLeast: 0.5},
		Harness:    Harness{Dropped: 0.01, CPU: 0.85, ClockJump: time.Second},
	}
}
