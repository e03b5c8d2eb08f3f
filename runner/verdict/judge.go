package verdict

import (
	"fmt"
	"slices"
	"strings"

	"github.com/deskstorm/deskstorm/runner/record"
)

// Judge judges a run. The nights are the experiment's earlier runs, the latest last; those that came to no verdict may be among
// them. Of the others the last LookBack are enough, and the last one of as many nights. What the objectives do not say is taken from
// Defaults.
func Judge(run record.Run, o Objectives, nights []Night) Verdict {
	o = o.Or(Defaults())
	v := Verdict{RunID: run.ID}
	load, loaded := loaded(run)
	if loaded {
		v.From, v.Until = load.from, load.until
	}
	v.Findings = append(v.Findings, ran(run)...)
	v.Findings = append(v.Findings, harness(run, o.Harness)...)
	v.Findings = append(v.Findings, steady(run)...)

	var all []measured
	for _, objective := range o.List {
		window := o.Window
		if objective.Window != nil {
			window = *objective.Window
		}
		m := measure(objective, window, run, load)
		all = append(all, m)
		v.Findings = append(v.Findings, m.judge(nights)...)
	}
	v.Figures = figures(all)
	v.Findings = append(v.Findings, regressed(v.Figures, nights, o.Regression)...)
	v.Findings = append(v.Findings, apart(v.Figures, o.Sites)...)
	v.Outcome, v.Reason = v.conclude(run)
	v.Flaky = flaky(run, v.Outcome, nights, o.Regression.Nights)
	return v
}

// figures are all that was measured, each once: several objectives may hold one figure against several limits.
func figures(all []measured) []Figure {
	var list []Figure
	seen := map[figureKey]bool{}
	for _, m := range all {
		for _, p := range m.sorted() {
			f, ok := m.figure(p)
			if ok && !seen[f.key()] {
				seen[f.key()] = true
				list = append(list, f)
			}
		}
	}
	return list
}

// figureKey is what two figures have in common that may be compared.
type figureKey struct{ measure, step, site string }

func (f Figure) key() figureKey { return figureKey{f.Measure, f.Step, f.Site} }

// conclude is the order of precedence; the outcomes' comment argues for it.
func (v Verdict) conclude(run record.Run) (Outcome, string) {
	if broken := v.With(Broken); len(broken) > 0 {
		return Failed, sentence(broken)
	}
	if run.DryRun {
		return NoVerdict, "a dry run leaves out what would say something of the cloud"
	}
	if unsound := v.With(Unsound); len(unsound) > 0 {
		return NoVerdict, sentence(unsound)
	}
	if bad := v.With(Bad); len(bad) > 0 {
		return Deviated, sentence(bad)
	}
	if undecided := v.With(Undecided); len(undecided) > 0 {
		return NoVerdict, sentence(undecided)
	}
	if good := v.With(Good); len(good) == 0 {
		return NoVerdict, "there is neither a hypothesis nor an objective to judge by"
	}
	return Passed, "all that was looked at is as it should be"
}

// With returns the findings of a result.
func (v Verdict) With(r Result) []Finding {
	return slices.DeleteFunc(slices.Clone(v.Findings), func(f Finding) bool { return f.Result != r })
}

func sentence(findings []Finding) string {
	s := findings[0].Text
	if more := len(findings) - 1; more > 0 {
		s += fmt.Sprintf(" (and %d more)", more)
	}
	return s
}

// ran judges whether the run was run at all, and left nothing behind.
func ran(run record.Run) []Finding {
	var findings []Finding
	why := ""
	if run.Error != "" {
		why = ": " + run.Error
	}
	switch run.Status {
	case record.Completed, record.Failed:
	case record.Interrupted:
		findings = append(findings, Finding{Check: CheckRun, Name: "interrupted", Result: Unsound, Text: "the run was interrupted" + why})
	case record.Aborted:
		findings = append(findings, Finding{Check: CheckRun, Name: "aborted", Result: Broken, Text: "the run could not be run" + why})
	default:
		findings = append(findings, Finding{
			Check: CheckRun, Name: "status", Result: Broken, Text: fmt.Sprintf("the run did not end: its status is %q", run.Status) + why,
		})
	}
	for _, f := range run.Faults {
		if f.Injected.IsZero() || !f.Undone.IsZero() {
			continue
		}
		text := fmt.Sprintf("the fault %s (%s) is not undone; run deskstorm recover", f.Fault, f.What)
		if f.Error != "" {
			text += ": " + f.Error
		}
		findings = append(findings, Finding{Check: CheckUndo, Name: f.Fault, Result: Broken, Text: text})
	}
	for _, a := range run.Activities {
		if a.Phase != "method" || run.Status == record.Aborted {
			continue
		}
		if a.Kind == "probe" && a.ToleranceMet != nil && !run.DryRun {
			findings = append(findings, looked(a))
			continue
		}
		if a.Status == "succeeded" {
			continue
		}
		// A probe may fail because of the very fault; an action that failed was not done, and what follows from it was not seen.
		f := Finding{Check: CheckRun, Name: a.Name, Result: Undecided, Text: fmt.Sprintf("the action %q was not done", a.Name)}
		if a.Kind == "probe" {
			f.Result, f.Text = Noted, fmt.Sprintf("the method's probe %q failed", a.Name)
		}
		if a.Error != "" {
			f.Text += ": " + a.Error
		}
		findings = append(findings, f)
	}
	return findings
}

// looked judges a probe of the method that has a tolerance: whether a fault is seen, or a desktop is there in time, shows in the middle.
func looked(a record.Activity) Finding {
	f := Finding{Check: CheckProbe, Name: a.Name, Result: Good, Text: fmt.Sprintf("%q was as expected in the method", a.Name)}
	if a.Status != "succeeded" || !*a.ToleranceMet {
		f.Result, f.Text = Bad, fmt.Sprintf("%q was not as expected in the method", a.Name)
		if a.Error != "" {
			f.Text += ": " + a.Error
		}
	}
	return f
}

// steady judges the hypothesis.
func steady(run record.Run) []Finding {
	type probe struct{ phase, name string }
	var order []probe
	missed, looks := map[probe]int{}, map[probe]int{}
	why := map[probe]string{}
	for _, a := range run.Activities {
		if !strings.HasPrefix(a.Phase, "hypothesis") {
			continue
		}
		p := probe{a.Phase, a.Name}
		if looks[p] == 0 {
			order = append(order, p)
		}
		looks[p]++
		if a.Status != "succeeded" || a.ToleranceMet != nil && !*a.ToleranceMet {
			missed[p]++
			if why[p] == "" && a.Error != "" {
				why[p] = ": " + a.Error
			}
		}
	}
	var findings []Finding
	bad := false
	for _, p := range order {
		when := strings.TrimPrefix(p.phase, "hypothesis-") + " the method"
		f := Finding{
			Check: CheckHypothesis, Name: p.name + ", " + when, Result: Good, Samples: int64(looks[p]),
			Text: fmt.Sprintf("%q held %s", p.name, when),
		}
		if n := missed[p]; n > 0 {
			bad = true
			f.Result, f.Text = Bad, fmt.Sprintf("%q did not hold %s", p.name, when)
			if looks[p] > 1 {
				f.Text += fmt.Sprintf(", %d of %d times", n, looks[p])
			}
			f.Text += why[p]
		}
		findings = append(findings, f)
	}
	if (run.Deviated || run.Status == record.Failed) && !bad {
		findings = append(findings, Finding{
			Check: CheckHypothesis, Name: "steady state", Result: Bad, Text: "the steady state did not hold",
		})
	}
	return findings
}
