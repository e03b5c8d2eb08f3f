package verdict

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
)

// minSites is how many sites are needed to say what sites are like.
const minSites = 4

// siteSpread is the standard deviation between sites, of logarithms, below which nobody believes it: 5 %.
const siteSpread = 0.05

// siteLimits are, by the number of sites (from minSites on; more than there are here as the last) and by how many of them stand
// apart (from one on), how many standard deviations of the other sites the best of those is beyond their mean by chance, on one
// night of fifty, all columns of a row together; that it must be worse by Sites.AtLeast besides leaves far fewer. TestSiteLimits and
// TestSites count them.
var siteLimits = [...][]float64{
	{11.5}, // 4 sites
	{7.1},
	{6.9, 7.3},
	{5.9, 5.5},
	{5.3, 4.7}, // 8
	{5.4, 4.6, 4.7},
	{5.1, 4.3, 4.2},
	{4.9, 4.0, 3.8},
	{4.7, 3.9, 3.6}, // 12
}

// apart looks for sites that stand apart from the others of the night.
//
// The k worst sites, for k up to a third of all, are held against the rest: the best of the k must be beyond the rest's mean by
// siteLimits. To try several k finds two bad sites as well, of which each would hide the other by the spread that it adds. The
// limits are counted and not looked up: that the k are the worst has been chosen, and makes the rest look closer than it is.
func apart(figures []Figure, c Sites) []Finding {
	if c.Mode == ModeOff {
		return nil
	}
	type group struct{ measure, step string }
	var order []group
	sites := map[group][]Figure{}
	for _, f := range figures {
		if f.Site == "" || slices.Contains(c.Except, f.Site) || f.Samples < f.needed() {
			continue
		}
		g := group{f.Measure, f.Step}
		if sites[g] == nil {
			order = append(order, g)
		}
		sites[g] = append(sites[g], f)
	}
	var findings []Finding
	compared := 0
	for _, g := range order {
		if len(sites[g]) < minSites {
			continue
		}
		compared++
		for _, f := range outliers(sites[g], c.AtLeast) {
			if c.Mode == ModeTell {
				f.Result = Noted
			}
			findings = append(findings, f)
		}
	}
	if compared > 0 && len(findings) == 0 {
		findings = append(findings, Finding{
			Check: CheckSites, Name: "other sites", Result: Good, Samples: int64(compared),
			Text: fmt.Sprintf("no site stands apart from the others, in %d figures", compared),
		})
	}
	return findings
}

// needed is how many samples a figure needs to be compared: ten beyond the percentile, or 50.
func (f Figure) needed() int64 {
	if f.Percentile > 0 {
		return max(50, int64(roundUp(10/(1-f.Percentile/100))))
	}
	return 50
}

// outliers are the findings of those that stand apart, worst first.
func outliers(sites []Figure, atLeast float64) []Finding {
	slices.SortStableFunc(sites, func(a, b Figure) int { return cmp.Compare(b.Value, a.Value) })
	limits := siteLimits[min(len(sites)-minSites, len(siteLimits)-1)]
	for k := len(limits); k >= 1; k-- {
		on := scaleOf(sites[k:])
		mean, spread := rest(on, sites[k:])
		if on.level(sites[k-1]) < mean+limits[k-1]*spread {
			continue
		}
		var findings []Finding
		for _, f := range sites[:k] {
			others := on.value(mean)
			if f.Value < others*(1+atLeast) || f.Unit == Share && f.Failed < leastFailed || f.Unit == Millis && f.Value < others+leastMillis {
				continue
			}
			findings = append(findings, Finding{
				Check: CheckSites, Name: f.What(), Result: Bad, Metric: f.Metric, Step: f.Step, Site: f.Site, Percentile: f.Percentile,
				Unit: f.Unit, Value: f.Value, Limit: others, Samples: f.Samples,
				Text: fmt.Sprintf("the %s is %s; at the other %d sites it is %s (%s)",
					f.What(), f.Unit.Format(f.Value), len(sites)-k, f.Unit.Format(others), times(f.Value, others)),
			})
		}
		return findings
	}
	return nil
}

// rest is the mean and the standard deviation of the others' levels.
func rest(on scale, others []Figure) (mean, spread float64) {
	levels := make([]float64, len(others))
	for i, f := range others {
		levels[i] = on.level(f)
	}
	mean, variance := stat.MeanVariance(levels, nil)
	noise := 0.0
	for _, f := range others {
		noise += on.noise(f, on.value(mean)) / float64(len(others))
	}
	least := siteSpread * siteSpread
	if on == arcsine {
		least = 0 // which is no share of the level there; chance is enough
	}
	return mean, math.Sqrt(max(variance, noise, least))
}
