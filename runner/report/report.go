// Package report shows a run: to people as HTML, Markdown and text, to other programs as JUnit XML. It writes what a run measured and
// what the verdict found; what was configured, secrets among it, never gets here.
package report

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/deskstorm/deskstorm/runner/record"
	"github.com/deskstorm/deskstorm/runner/verdict"
)

// Report is what is shown.
type Report struct {
	Run     record.Run
	Verdict verdict.Verdict
	Nights  []verdict.Night // earlier runs, the latest last; none is fine
}

// title is what the run is called.
func (r Report) title() string { return cmp.Or(r.Run.Title, r.Run.Experiment, r.Run.ID) }

// words are an outcome's; none is that of a run that has not ended.
func words(o verdict.Outcome) string {
	switch o {
	case verdict.Passed:
		return "passed"
	case verdict.Deviated:
		return "deviated"
	case verdict.NoVerdict:
		return "no verdict"
	case "":
		return "goes on"
	}
	return "could not run"
}

// resultWords are a finding's.
func resultWords(r verdict.Result) string {
	switch r {
	case verdict.Good:
		return "passed"
	case verdict.Bad:
		return "deviated"
	case verdict.Undecided:
		return "undecided"
	case verdict.Unsound:
		return "unsound"
	case verdict.Broken:
		return "failed"
	}
	return "noted"
}

// checkWords say what a finding is about.
func checkWords(c verdict.Check) string {
	switch c {
	case verdict.CheckPercentile, verdict.CheckBudget:
		return "objective"
	case verdict.CheckRegression:
		return "last nights"
	case verdict.CheckSites:
		return "other sites"
	}
	return string(c)
}

// findings are the verdict's, what matters most first.
func (r Report) findings() []verdict.Finding {
	order := []verdict.Result{verdict.Broken, verdict.Unsound, verdict.Bad, verdict.Undecided, verdict.Noted, verdict.Good}
	sorted := slices.Clone(r.Verdict.Findings)
	slices.SortStableFunc(sorted, func(a, b verdict.Finding) int {
		return cmp.Compare(slices.Index(order, a.Result), slices.Index(order, b.Result))
	})
	return sorted
}

// described is what was found, with the name that people gave to the objective.
func described(f verdict.Finding) string {
	if (f.Check == verdict.CheckPercentile || f.Check == verdict.CheckBudget) && !strings.Contains(f.Name, f.Metric) {
		return f.Name + ": " + f.Text
	}
	return f.Text
}

// place is a finding's site and step, for people.
func place(f verdict.Finding) string {
	var parts []string
	for _, p := range []string{f.Site, f.Step} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, ", ")
}

// value is a finding's value, empty if there is none.
func value(f verdict.Finding) string {
	if f.Unit == "" || f.Samples == 0 {
		return ""
	}
	return f.Unit.Format(f.Value)
}

// limit is what a finding's value is held against.
func limit(f verdict.Finding) string {
	if f.Unit == "" {
		return ""
	}
	is := f.Unit.Format(f.Limit)
	switch f.Check {
	case verdict.CheckPercentile:
		return "below " + is
	case verdict.CheckBudget:
		return "at most " + is
	case verdict.CheckRegression:
		return "usual " + is
	case verdict.CheckSites:
		return "others " + is
	}
	return is
}

func samples(f verdict.Finding) string {
	if f.Unit == "" {
		return ""
	}
	return strconv.FormatInt(f.Samples, 10)
}

// flaky is how often the experiment went back and forth; empty if it did not.
func (r Report) flaky() string {
	f := r.Verdict.Flaky
	if f == nil {
		return ""
	}
	return fmt.Sprintf("Flaky: %d of the last %d runs deviated and %d passed, with %d changes, while no version changed.",
		f.Deviated, f.Runs, f.Passed, f.Changes)
}

// moment is a time for people, with its zone.
func moment(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Format("2006-01-02 15:04:05 MST")
}

// took is a duration for people.
func took(from, until time.Time) string {
	if from.IsZero() || until.Before(from) {
		return "-"
	}
	return lasting(until.Sub(from))
}

func lasting(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// undone says what became of a fault.
func undone(f record.Fault) string {
	if f.Injected.IsZero() {
		return "not injected"
	}
	if f.Undone.IsZero() {
		return "not undone"
	}
	by := ""
	if f.UndoneBy != "" {
		by = " by " + f.UndoneBy
	}
	return "after " + took(f.Injected, f.Undone) + by
}

// exited says how a load generator ended.
func exited(g record.Generator) string {
	s := "ended"
	switch {
	case g.Stopped:
		s = "stopped"
	case g.ExitCode != 0:
		s = fmt.Sprintf("exit code %d", g.ExitCode)
		if g.ExitMeans != "" {
			s += " (" + g.ExitMeans + ")"
		}
	}
	if g.Lost != "" {
		s += ", lost results: " + g.Lost
	}
	return s
}

// activity is one that was run once or, in a hypothesis that is checked again and again, many times.
type activity struct {
	record.Activity               // its first; Ended is that of the last
	Times, Failed   int           // Failed are those that failed or missed their tolerance
	Took            time.Duration // together
	Spans           []span
}

type span struct{ From, Until time.Time }

// activities are those of the run, each once.
func (r Report) activities() []activity {
	type key struct{ phase, name string }
	at := map[key]int{}
	var list []activity
	for _, a := range r.Run.Activities {
		k := key{a.Phase, a.Name}
		i, ok := at[k]
		// What stands twice in a method is two activities; in a hypothesis it is one that is looked at twice.
		if !ok || !strings.HasPrefix(a.Phase, "hypothesis") {
			i = len(list)
			at[k] = i
			list = append(list, activity{Activity: a})
		}
		have := &list[i]
		have.Times++
		have.Ended = a.Ended
		if a.Ended.After(a.Began) {
			have.Took += a.Ended.Sub(a.Began)
		}
		have.Spans = append(have.Spans, span{a.Began, a.Ended})
		if a.Status != "succeeded" || a.ToleranceMet != nil && !*a.ToleranceMet {
			have.Failed++
			have.Error = cmp.Or(have.Error, a.Error)
			have.Status = a.Status
		}
	}
	return list
}

// state is what became of an activity, in words.
func (a activity) state() string {
	switch {
	case a.Failed == 0:
		return "succeeded"
	case a.Times > 1:
		return fmt.Sprintf("failed %d of %d times", a.Failed, a.Times)
	case a.Status == "succeeded":
		return "missed its tolerance"
	}
	return cmp.Or(a.Status, "did not end")
}
