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
// for itself calls every second night a regression. So the night's one percentile, as a logarithm (a share of failures as an
// arcsine of its root, whose spread does not depend on it), is held against a prediction interval of the last nights', Student's t:
// what one more night of the same kind would exceed with the wanted probability. Holm's correction shares that probability among all
// figures of the run. Only what is besides worse by Regression.AtLeast is called.
func regressed(figures []Figure, nights []Night, c Regression) []Finding {
	if c.Mode == ModeOff || len(figures) == 0 {
		return nil
	}
	tonight := make([]comparison, 0, len(figures))
	most := 0
	for i := range figures {
		earlier := usual(figures[i].key(), nights, c.Nights)
		most = max(most, len(earlier))
		if len(earlier) >= minNights {
			tonight = append(tonight, compare(&figures[i], earlier))
		}
	}
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

// usual are the figures of the last nights that were not called. Where too few of those are left, the change has come to stay, and
// is what is usual now.
func usual(key figureKey, nights []Night, wanted int) []Figure {
	var all, quiet []Figure
	for _, n := range last(nights, 2*wanted) {
		for _, f := range n.Figures {
			if f.key() != key || f.Samples <= 0 {
				continue
			}
			all = append(all, f)
			if !f.Called {
				quiet = append(quiet, f)
			}
		}
	}
	if len(quiet) < minNights {
		quiet = all
	}
	return quiet[max(0, len(quiet)-wanted):]
}

// level is a figure on a scale on which nights spread evenly.
func (f Figure) level() float64 {
	if f.Unit == Share {
		// Anscombe's arcsine, which is defined for no failures at all as well.
		return 2 * math.Asin(math.Sqrt((float64(f.Failed)+3./8)/(float64(f.Samples)+3./4)))
	}
	return math.Log(max(f.Value, 0.001))
}

// unlevel is the value at a level.
func (f Figure) unlevel(level float64) float64 {
	if f.Unit == Share {
		return math.Pow(math.Sin(level/2), 2)
	}
	return math.Exp(level)
}

// noise is the variance that a figure's level has by chance alone.
func (f Figure) noise() float64 {
	if f.Unit == Share {
		return 1 / float64(max(f.Samples, 1))
	}
	return leastSpread * leastSpread
}

// comparison is a figure beside those of the last nights.
type comparison struct {
	figure *Figure
	nights int
	usual  float64
	p      float64 // the probability that one more night of the same kind is as bad
}

func compare(f *Figure, earlier []Figure) comparison {
	levels := make([]float64, len(earlier))
	for i, e := range earlier {
		levels[i] = e.level()
	}
	mean, variance := stat.MeanVariance(levels, nil)
	n := float64(len(levels))
	spread := math.Sqrt(max(variance, f.noise()) * (1 + 1/n))
	t := (f.level() - mean) / spread
	p := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: n - 1}.Survival(t)
	return comparison{figure: f, nights: len(earlier), usual: f.unlevel(mean), p: p}
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
