package verdict

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// LookBack is how many sound nights a regression is looked for in, for Judge's nights: twice as many as are compared, because those
// that were called themselves are passed over.
func (o Objectives) LookBack() int { return 2 * o.Or(Defaults()).Regression.Nights }

// The least differences that are worth a word.
const (
	leastMillis = 1 // of a percentile
	leastFailed = 3 // failures
	// leastSpread is the standard deviation between nights, of logarithms, below which nobody believes it: 1 %.
	leastSpread = 0.01
)

// regressed holds each figure against the same figure of the last nights, and marks those that it calls.
//
// One night is one observation: the windows of a night share its cloud, its neighbours and its weather, and a test that takes each
// for itself calls every third night a regression. So the night's one percentile, on a scale on which nights spread evenly, is held
// against a prediction interval of the last nights', Student's t: what one more night of the same kind would exceed with the wanted
// probability. Seven nights say little about their own spread, so that it is moderated by that of the other sites. Holm's
// correction shares the probability among all figures of the run. Only what is besides worse by Regression.AtLeast is called.
// TestFalseAlarms counts what comes of it.
func regressed(figures []Figure, nights []Night, c Regression) []Finding {
	if c.Mode == ModeOff || len(figures) == 0 {
		return nil
	}
	tonight, most := compare(figures, nights, c.Nights)
	if len(tonight) == 0 {
		return []Finding{{
			Check: CheckRegression, Name: "last nights", Result: Noted,
			Text: fmt.Sprintf("not held against earlier nights: %d are comparable, %d are needed", most, minNights),
		}}
	}
	slices.SortStableFunc(tonight, func(a, b comparison) int { return cmp.Compare(a.p, b.p) })
	var findings []Finding
	for i, x := range tonight {
		if x.p*float64(len(tonight)-i) > c.FalseAlarms {
			break // Holm: nor are those after it significant
		}
		if !x.worse(c.AtLeast) {
			continue
		}
		x.figure.Called = true
		f := x.finding()
		if c.Mode == ModeTell {
			f.Result = Noted
		}
		findings = append(findings, f)
	}
	if len(findings) == 0 {
		findings = append(findings, Finding{
			Check: CheckRegression, Name: "last nights", Result: Good, Samples: int64(len(tonight)),
			Text: fmt.Sprintf("none of %d figures is worse than on the last %d nights", len(tonight), most),
		})
	}
	return findings
}

// comparison is a figure beside those of the last nights.
type comparison struct {
	figure   *Figure
	nights   int
	scale    scale
	mean     float64 // of the last nights' levels
	variance float64
	usual    float64 // the value at the mean
	p        float64 // the probability that one more night of the same kind is as bad
}

// spreadKey is what comparisons have in common whose spreads are of one kind.
type spreadKey struct {
	measure, step string
	scale         scale
}

func (x comparison) group() spreadKey { return spreadKey{x.figure.Measure, x.figure.Step, x.scale} }

// moderation is how many nights' worth the spread at other sites counts, beside the site's own. Seven nights have six degrees of
// freedom; as many again are far fewer than the other sites have together, because sites share their nights.
const moderation = 6

// compare returns comparisons of the figures that minNights nights or more have, and how many nights the most had.
func compare(figures []Figure, nights []Night, wanted int) (all []comparison, most int) {
	past := map[figureKey][]Figure{}
	for _, n := range last(nightly(nights), 2*wanted) {
		for _, f := range n.Figures {
			if f.Samples >= f.needed() {
				past[f.key()] = append(past[f.key()], f)
			}
		}
	}
	spread := map[spreadKey][]float64{} // by what the sites have in common
	for i := range figures {
		f := &figures[i]
		if f.Samples < f.needed() {
			continue
		}
		earlier := usual(past[f.key()], wanted)
		most = max(most, len(earlier))
		if len(earlier) < minNights {
			continue
		}
		on := scaleOf(earlier)
		levels := make([]float64, len(earlier))
		for i, e := range earlier {
			levels[i] = on.level(e)
		}
		x := comparison{figure: f, nights: len(earlier), scale: on}
		x.mean, x.variance = stat.MeanVariance(levels, nil)
		x.usual = on.value(x.mean)
		all = append(all, x)
		spread[x.group()] = append(spread[x.group()], x.variance)
	}
	for i := range all {
		x := &all[i]
		n := float64(x.nights)
		variance, freedom := x.variance, n-1
		if sites := spread[x.group()]; len(sites) >= minSites {
			variance = (variance*freedom + stat.Mean(sites, nil)*moderation) / (freedom + moderation)
			freedom += moderation
		}
		t := (x.scale.level(*x.figure) - x.mean) / math.Sqrt(max(variance, x.scale.noise(*x.figure, x.usual))*(1+1/n))
		x.p = distuv.StudentsT{Mu: 0, Sigma: 1, Nu: freedom}.Survival(t)
	}
	return all, most
}

// usual are the latest of a figure's earlier values, as many as wanted, that were not called. Where too few of those are left, the
// change has come to stay, and is what is usual now.
func usual(earlier []Figure, wanted int) []Figure {
	quiet := slices.DeleteFunc(slices.Clone(earlier), func(f Figure) bool { return f.Called })
	if len(quiet) < minNights {
		quiet = earlier
	}
	return quiet[max(0, len(quiet)-wanted):]
}

// worse says whether the difference is worth a word.
func (x comparison) worse(atLeast float64) bool {
	f := x.figure
	if f.Value < x.usual*(1+atLeast) {
		return false
	}
	if f.Unit == Share {
		return f.Failed >= leastFailed
	}
	return f.Value >= x.usual+leastMillis
}

func (x comparison) finding() Finding {
	f := x.figure
	return Finding{
		Check: CheckRegression, Name: f.What(), Result: Bad, Metric: f.Metric, Step: f.Step, Site: f.Site, Percentile: f.Percentile,
		Unit: f.Unit, Value: f.Value, Limit: x.usual, Samples: f.Samples,
		Text: fmt.Sprintf("the %s is %s; usual on the last %d nights is %s (%s)",
			f.What(), f.Unit.Format(f.Value), x.nights, f.Unit.Format(x.usual), times(f.Value, x.usual)),
	}
}

// times says how much worse a value is.
func times(value, than float64) string {
	if than <= 0 || value/than > 100 {
		return "far worse"
	}
	if value/than >= 2 {
		return significant(value/than) + " times as much"
	}
	return strings.TrimSpace("+" + Share.Format(value/than-1))
}
