package verdict

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/deskstorm/deskstorm/results"
	"github.com/deskstorm/deskstorm/runner/record"
)

// span is the time in which there was load.
type span struct{ from, until time.Time }

// loaded is when there was load: the generators' time, or else that of what was measured. ok is false if there was none.
func loaded(run record.Run) (s span, ok bool) {
	widen := func(from, until time.Time) {
		if from.IsZero() || until.Before(from) {
			return
		}
		if !ok || from.Before(s.from) {
			s.from = from
		}
		if !ok || until.After(s.until) {
			s.until = until
		}
		ok = true
	}
	for _, g := range run.Generators {
		widen(g.Began, g.Ended)
	}
	if ok {
		return s, true
	}
	for _, a := range run.Windows {
		widen(a.Start, a.End)
	}
	return s, ok
}

// counts returns whether an aggregate's window counts. One that lies partly in the time of a fault is of that time.
func counts(w Window, load span, faults []record.Fault) func(*results.Aggregate) bool {
	from, until := load.from.Add(w.From), load.from.Add(w.Until)
	return func(a *results.Aggregate) bool {
		if w.From > 0 && a.Start.Before(from) || w.Until > 0 && a.End.After(until) {
			return false
		}
		if w.Faults != ExcludeFaults && w.Faults != OnlyFaults {
			return true
		}
		faulty := slices.ContainsFunc(faults, func(f record.Fault) bool {
			over := !f.Undone.IsZero() && !a.Start.Before(f.Undone.Add(w.Settle))
			return !f.Injected.IsZero() && a.End.After(f.Injected) && !over
		})
		return faulty == (w.Faults == OnlyFaults)
	}
}

// place is what a figure is of.
type place struct{ site, step string }

// tally is what was measured at a place.
type tally struct {
	parts  []*results.Aggregate // of a trend, not merged yet
	total  *results.Aggregate   // of a trend
	count  int64
	failed int64 // of a rate
}

// measured is what an objective measured, by place. Of a place without a site are all sites together.
type measured struct {
	objective Objective
	measure   string
	places    map[place]*tally
}

// measure gathers what an objective measures.
func measure(o Objective, w Window, run record.Run, load span) measured {
	m := measured{o, o.measure(w), map[place]*tally{}}
	in := counts(w, load, run.Faults)
	kind := results.Rate
	if o.Percentile > 0 {
		kind = results.Trend
	}
	for _, a := range run.Windows {
		fits := a.Metric == o.Metric && a.Kind == kind && (o.Site == "" || a.Tags.Site == o.Site) &&
			(o.Path == "" || a.Tags.Path == o.Path) && (o.Profile == "" || a.Tags.Profile == o.Profile)
		if !fits || kind == results.Trend && o.Step != "" && a.Tags.Step != o.Step || !in(a) {
			continue
		}
		m.add(place{a.Tags.Site, a.Tags.Step}, a)
	}
	m.merge()
	if kind == results.Rate {
		m.places = m.shares()
	}
	return m
}

// add adds a window to its place.
func (m *measured) add(p place, a *results.Aggregate) {
	t := m.places[p]
	if t == nil {
		t = &tally{}
		m.places[p] = t
	}
	t.count += a.Count
	if a.Kind == results.Rate {
		t.failed += int64(math.Round(a.Sum))
		return
	}
	t.parts = append(t.parts, a)
}

// merge merges the windows of each place, and the places of all sites.
func (m *measured) merge() {
	all := map[place]*tally{}
	for p, t := range m.places {
		if len(t.parts) > 0 {
			t.total = merged(t.parts)
			t.parts = nil
		}
		if p.site == "" || m.objective.Site != "" {
			continue
		}
		at := place{"", p.step}
		if all[at] == nil {
			all[at] = &tally{}
		}
		all[at].count += t.count
		all[at].failed += t.failed
		if t.total != nil {
			all[at].parts = append(all[at].parts, t.total)
		}
	}
	for p, t := range all {
		if without := m.places[p]; without != nil { // what has no site is of all sites too
			t.count += without.count
			t.failed += without.failed
			if without.total != nil {
				t.parts = append(t.parts, without.total)
			}
		}
		if len(t.parts) > 0 {
			t.total = merged(t.parts)
			t.parts = nil
		}
		m.places[p] = t
	}
}

// merged merges aggregates of series that differ in nothing that matters here: paths, profiles, sites. It halves them, because
// merging takes as long as the greater side is wide, and a night's is a hundred times as wide as a window's.
func merged(parts []*results.Aggregate) *results.Aggregate {
	series := results.Series{Metric: parts[0].Metric, Kind: parts[0].Kind}
	const few = 16
	if half := len(parts) / 2; len(parts) > few {
		parts = []*results.Aggregate{merged(parts[:half]), merged(parts[half:])}
	}
	all := results.New(series, parts[0].Start, parts[0].End)
	for _, p := range parts {
		same := *p
		same.Series = series
		// It fails where a bucket would count more than 2^63 samples, which no run makes.
		_ = all.Merge(&same)
	}
	return all
}

// shares brings a rate's samples to what shares are of. A failed login has the step at which it failed, one that succeeded has none:
// the share of a step is that of all logins. Where all samples have a step (a lost round trip), it is of that step alone.
func (m *measured) shares() map[place]*tally {
	everywhere := map[string]*tally{} // by site
	stepless := map[string]bool{}
	for p, t := range m.places {
		all := everywhere[p.site]
		if all == nil {
			all = &tally{}
			everywhere[p.site] = all
		}
		all.count += t.count
		all.failed += t.failed
		stepless[p.site] = stepless[p.site] || p.step == ""
	}
	shares := map[place]*tally{}
	steps := map[string]bool{}
	for p := range m.places {
		if p.step != "" {
			steps[p.step] = true
		}
	}
	for site, all := range everywhere {
		if m.objective.Step == "" && (!m.objective.PerStep || len(steps) == 0) { // where nothing failed there are no steps
			shares[place{site, ""}] = all
			continue
		}
		for step := range steps {
			if m.objective.Step != "" && step != m.objective.Step {
				continue
			}
			t := tally{}
			if have := m.places[place{site, step}]; have != nil {
				t = *have
			}
			if stepless[site] {
				t.count = all.count
			}
			shares[place{site, step}] = &t
		}
		if step := m.objective.Step; step != "" && !steps[step] && stepless[site] {
			shares[place{site, step}] = &tally{count: all.count} // nothing failed there
		}
	}
	return shares
}

// sorted are the places in the order of reports: all sites first.
func (m measured) sorted() []place {
	return slices.SortedFunc(maps.Keys(m.places), func(a, b place) int {
		return cmp.Or(cmp.Compare(a.step, b.step), cmp.Compare(a.site, b.site))
	})
}

// figure is what was measured at a place; ok is false where there are no samples.
func (m measured) figure(p place) (f Figure, ok bool) {
	t := m.places[p]
	if t == nil || t.count <= 0 {
		return Figure{}, false
	}
	f = Figure{
		Objective: m.objective.name(), Measure: m.measure, Metric: m.objective.Metric, Step: p.step, Site: p.site,
		Percentile: m.objective.Percentile, Samples: t.count,
	}
	if t.total != nil {
		f.Unit, f.Value = Millis, t.total.Quantile(f.Percentile/100)
		f.Uncertain = uncertain(t.total, f.Percentile/100)
		return f, true
	}
	f.Unit, f.Value, f.Failed = Share, float64(t.failed)/float64(t.count), t.failed
	return f, true
}

// uncertain is half the distance, of logarithms, between the quantiles that are a standard deviation of the rank away from q.
func uncertain(a *results.Aggregate, q float64) float64 {
	off := math.Sqrt(q * (1 - q) / float64(a.Count))
	low, high := a.Quantile(max(q-off, 0)), a.Quantile(min(q+off, 1))
	return (math.Log(max(high, leastValue)) - math.Log(max(low, leastValue))) / 2
}
