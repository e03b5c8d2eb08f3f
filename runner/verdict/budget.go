package verdict

import (
	"fmt"
	"sort"
	"time"

	"gonum.org/v1/gonum/stat/distuv"
)

// certain is the error that a judgement from few samples may have.
const certain = 0.01

// judge holds what was measured against the objective's limit. Sites that earlier nights had, and this one has not, are undecided.
func (m measured) judge(nights []Night) []Finding {
	var findings []Finding
	o := m.objective
	seen := map[string]bool{}
	for _, p := range m.sorted() {
		if m.wants(p.site) {
			seen[p.site] = true
			findings = append(findings, m.against(p))
		}
	}
	for _, site := range earlier(m, nights) {
		if m.wants(site) && !seen[site] {
			seen[site] = true
			findings = append(findings, m.nothing(place{site, o.Step}))
		}
	}
	if len(findings) == 0 {
		findings = append(findings, m.nothing(place{o.Site, o.Step}))
	}
	return findings
}

// wants says whether the objective judges a site; an empty one is all of them.
func (m measured) wants(site string) bool {
	if m.objective.PerSite {
		return site != ""
	}
	return site == m.objective.Site
}

func (m measured) finding(p place) Finding {
	o := m.objective
	f := Finding{Check: CheckBudget, Name: o.name(), Metric: o.Metric, Step: p.step, Site: p.site, Unit: Share, Limit: o.AtMost}
	if o.Percentile > 0 {
		f.Check, f.Unit, f.Percentile = CheckPercentile, Millis, o.Percentile
		f.Limit = float64(o.Below) / float64(time.Millisecond)
	}
	return f
}

func (m measured) nothing(p place) Finding {
	f := m.finding(p)
	f.Result, f.Unit, f.Limit = Undecided, "", 0
	f.Text = "nothing was measured for the " + what(f.Metric, f.Step, f.Site, f.Percentile)
	return f
}

func (m measured) against(p place) Finding {
	f := m.finding(p)
	figure, ok := m.figure(p)
	if !ok {
		return m.nothing(p)
	}
	f.Value, f.Samples = figure.Value, figure.Samples
	is := fmt.Sprintf("the %s is %s", figure.What(), f.Unit.Format(f.Value))
	within := fmt.Sprintf("at most %s", f.Unit.Format(f.Limit))
	bad := f.Value > f.Limit
	if f.Check == CheckPercentile {
		within = "below " + f.Unit.Format(f.Limit)
		bad = f.Value >= f.Limit
	}
	switch needed := int64(m.objective.Needed()); {
	case bad && (f.Samples >= needed || m.clearly(p)):
		f.Result, f.Text = Bad, fmt.Sprintf("%s, not %s (%d samples)", is, within, f.Samples)
	case f.Samples < needed:
		f.Result, f.Text = Undecided, fmt.Sprintf("%s, of %d samples: too few to say whether it is %s; %d are needed",
			is, f.Samples, within, needed)
	default:
		f.Result, f.Text = Good, fmt.Sprintf("%s, %s (%d samples)", is, within, f.Samples)
	}
	return f
}

// clearly says whether even few samples leave no doubt that the limit is missed: a site that is down gives few.
func (m measured) clearly(p place) bool {
	t := m.places[p]
	n := float64(t.count)
	if t.total == nil {
		// As many failures, or more, would come by chance from a share at the limit.
		return t.failed > 0 && 1-distuv.Binomial{N: n, P: max(m.objective.AtMost, 1e-9)}.CDF(float64(t.failed-1)) < certain
	}
	// The greatest rank that the percentile's own rank exceeds by chance: what stands there is a lower bound of the percentile.
	ranks := distuv.Binomial{N: n, P: m.objective.Percentile / 100}
	rank := sort.Search(int(t.count), func(rank int) bool { return ranks.CDF(float64(rank)) > certain })
	if rank == 0 {
		return false
	}
	return t.total.Quantile(float64(rank)/n) >= float64(m.objective.Below)/float64(time.Millisecond)
}
