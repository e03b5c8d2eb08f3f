package verdict

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/deskstorm/deskstorm/results"
)

// nature is how nights differ while nothing is the matter.
type nature struct {
	name     string
	night    float64 // standard deviation of logarithms between nights, common to all figures of a night
	own      float64 // and of each figure
	memory   float64 // correlation of a night with the one before
	tails    bool    // Student's t with 3 degrees of freedom instead of normal: now and then a night is very odd
	monday   float64 // how much slower every seventh night is, as a logarithm
	restless float64 // how much more than others the first site differs from night to night; 0: no more
	figures  int
	most     float64 // false alarms in percent that are borne
	least    float64 // of a site's +50 % in percent that must be found
}

var natures = []nature{
	{name: "calm: nights differ by 3 %", night: 0.02, own: 0.02, figures: 28, most: 2, least: 97},
	{name: "usual: by 8 %", night: 0.06, own: 0.05, figures: 28, most: 2.5, least: 65},
	{name: "usual, one figure", night: 0.06, own: 0.05, figures: 1, most: 4.5, least: 90},
	{name: "rough: by 20 %", night: 0.14, own: 0.14, figures: 28, most: 2.5, least: 0},
	{name: "usual, each night resembles the last (0.5)", night: 0.06, own: 0.05, memory: 0.5, figures: 28, most: 3, least: 80},
	{name: "usual, odd nights (t, 3 degrees)", night: 0.06, own: 0.05, tails: true, figures: 28, most: 9, least: 75},
	{name: "usual, the first site three times as restless", night: 0.06, own: 0.05, restless: 3, figures: 28, most: 2.5, least: 60},
	{name: "usual, Mondays 15 % slower", night: 0.06, own: 0.05, monday: math.Log(1.15), figures: 28, most: 2.5, least: 40},
}

// sky makes nights.
type sky struct {
	nature
	rng  *rand.Rand
	n    int
	last []float64 // common, then each figure
}

func (s *sky) noise() float64 {
	if !s.tails {
		return s.rng.NormFloat64()
	}
	// A normal over the root of a chi-square of 3 degrees over 3, brought to a standard deviation of 1.
	chi := 0.0
	for range 3 {
		chi += math.Pow(s.rng.NormFloat64(), 2)
	}
	return s.rng.NormFloat64() / math.Sqrt(chi/3) / math.Sqrt(3)
}

// next are the figures of the next night: p95s of 5 s, from 700 logins each.
func (s *sky) next() []Figure {
	if s.last == nil {
		s.last = make([]float64, s.figures+1)
	}
	for i := range s.last {
		s.last[i] = s.memory*s.last[i] + math.Sqrt(1-s.memory*s.memory)*s.noise()
	}
	common := s.night * s.last[0]
	if s.n%7 == 0 {
		common += s.monday
	}
	s.n++
	figures := make([]Figure, s.figures)
	for i := range figures {
		own := s.own
		if i == 0 && s.restless > 0 {
			own *= s.restless
		}
		figures[i] = Figure{
			Measure: "p95", Metric: "vdi_login_duration", Site: fmt.Sprint("site", i), Percentile: 95, Unit: Millis, Samples: 700,
			Value: 5000 * math.Exp(common+own*s.last[i+1]),
		}
	}
	return figures
}

// nightsOf is a test's number of nights.
func nightsOf(many int) int {
	if testing.Short() {
		return many / 10
	}
	return many
}

// TestFalseAlarms counts on how many nights on which nothing is the matter something is called, and how often a regression is that
// one site has, or all have. docs/verdicts.md has its table.
func TestFalseAlarms(t *testing.T) {
	nights := nightsOf(2000)
	settings := Defaults().Regression
	called := func(f Figure) bool { return f.Called }
	t.Logf("%-45s %12s  one site: +20 %% +50 %% +100 %%  all sites: +20 %% +50 %% +100 %%", "nights", "false alarms")
	for i, n := range natures {
		s := &sky{nature: n, rng: rand.New(rand.NewPCG(uint64(i), 2026))}
		var past []Night
		alarms := 0
		worse := []float64{1.2, 1.5, 2}
		one, all := make([]int, len(worse)), make([]int, len(worse))
		for night := -14; night < nights; night++ {
			figures := s.next()
			for k, factor := range worse {
				if night < 0 || night%4 != 0 { // a quarter of the nights is enough
					continue
				}
				hurt := slices.Clone(figures)
				hurt[len(hurt)-1].Value *= factor
				regressed(hurt, past, settings)
				if hurt[len(hurt)-1].Called {
					one[k]++
				}
				hurt = slices.Clone(figures)
				for i := range hurt {
					hurt[i].Value *= factor
				}
				regressed(hurt, past, settings)
				if slices.ContainsFunc(hurt, called) {
					all[k]++
				}
			}
			regressed(figures, past, settings)
			if night >= 0 && slices.ContainsFunc(figures, called) {
				alarms++
			}
			past = append(past, Night{Outcome: Passed, Figures: figures})
			past = past[max(0, len(past)-Objectives{}.LookBack()):]
		}
		of := func(n int) float64 { return 400 * float64(n) / float64(nights) }
		t.Logf("%-45s %10.1f %%  %9.0f %% %3.0f %% %3.0f %%  %14.0f %% %3.0f %% %3.0f %%", n.name, of(alarms)/4,
			of(one[0]), of(one[1]), of(one[2]), of(all[0]), of(all[1]), of(all[2]))
		slack := 4 * math.Sqrt(n.most*(100-n.most)/float64(nights)) // four standard deviations of the count itself
		require.Less(t, of(alarms)/4, n.most+slack, n.name)
		require.Greater(t, of(one[1]), n.least-2*slack, n.name)
	}
}

// TestFalseAlarmsOfShares does the same with error budgets: 0.3 % of 4000 logins fail, on some nights more, on some fewer.
func TestFalseAlarmsOfShares(t *testing.T) {
	nights := nightsOf(4000)
	for _, test := range []struct{ spread, most, least float64 }{{0, 1, 85}, {0.3, 1.5, 30}, {0.8, 2, 0}} {
		rng := rand.New(rand.NewPCG(8, 2026))
		next := func(times float64) []Figure {
			figures := make([]Figure, 7)
			for i := range figures {
				share := 0.003 * times * math.Exp(test.spread*rng.NormFloat64()-test.spread*test.spread/2)
				f := Figure{Measure: "share", Site: fmt.Sprint(i), Unit: Share, Samples: 4000}
				f.Failed = int64(distuv.Binomial{N: 4000, P: share, Src: rng}.Rand())
				f.Value = float64(f.Failed) / 4000
				figures[i] = f
			}
			return figures
		}
		var past []Night
		alarms, found := 0, 0
		for night := -7; night < nights; night++ {
			figures, hurt := next(1), next(4)
			regressed(figures, past, Defaults().Regression)
			if night >= 0 {
				if slices.ContainsFunc(figures, func(f Figure) bool { return f.Called }) {
					alarms++
				}
				one := append([]Figure{hurt[0]}, slices.Clone(figures[1:])...)
				regressed(one, past, Defaults().Regression)
				if one[0].Called {
					found++
				}
			}
			past = append(past, Night{Outcome: Passed, Figures: figures})
			past = past[max(0, len(past)-14):]
		}
		of := func(n int) float64 { return 100 * float64(n) / float64(nights) }
		t.Logf("shares that differ by %2.0f %% between nights: %.1f %% false alarms, four times as many failures found on %.0f %%",
			100*test.spread, of(alarms), of(found))
		slack := 4 * math.Sqrt(test.most*(100-test.most)/float64(nights))
		require.Less(t, of(alarms), test.most+slack)
		require.Greater(t, of(found), test.least-slack)
	}
}

// TestFewSamples: a night with far fewer logins than the others has a percentile that is more uncertain, and no regression.
func TestFewSamples(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 2026))
	night := func(n int, factor float64) Figure {
		a := results.New(results.Series{Metric: "vdi_login_duration", Kind: results.Trend}, began, began.Add(time.Hour))
		for range n {
			require.NoError(t, a.Add(1000*factor*math.Exp(0.5*rng.NormFloat64()), began))
		}
		m := measured{Objective{Metric: "vdi_login_duration", Percentile: 95}, "p95", map[place]*tally{{}: {total: a, count: a.Count}}}
		f, ok := m.figure(place{})
		require.True(t, ok)
		return f
	}
	pool := make([]Figure, 40)
	for i := range pool {
		pool[i] = night(4000, 1)
	}
	const nights = 1000
	alarms, found := 0, 0
	for range nights {
		var past []Night
		for _, i := range rng.Perm(len(pool))[:7] {
			past = append(past, Night{Outcome: Passed, Figures: []Figure{pool[i]}})
		}
		for _, c := range []struct {
			called *int
			factor float64
		}{{&alarms, 1}, {&found, 2}} {
			tonight := []Figure{night(220, c.factor)}
			regressed(tonight, past, Defaults().Regression)
			if tonight[0].Called {
				*c.called++
			}
		}
	}
	t.Logf("220 logins after nights of 4000: %.1f %% false alarms, +100 %% found on %.0f %%", 100*float64(alarms)/nights, 100*float64(found)/nights)
	require.Less(t, alarms, nights*4/100)
	require.Greater(t, found, nights*9/10)
	few := []Figure{night(150, 5)}
	require.Equal(t, Noted, regressed(few, []Night{{Outcome: Passed, Figures: pool}}, Defaults().Regression)[0].Result, "too few to compare")
}

// TestChangeThatStays: a regression is called night after night and does not hide in what is usual, until it has become usual.
func TestChangeThatStays(t *testing.T) {
	s := &sky{nature: natures[1], rng: rand.New(rand.NewPCG(5, 2026))}
	var past []Night
	calls := ""
	for night := -14; night < 30; night++ {
		figures := s.next()
		if night >= 0 {
			figures[3].Value *= 2
		}
		regressed(figures, past, Defaults().Regression)
		if night >= 0 {
			calls += map[bool]string{true: "x", false: "."}[figures[3].Called]
		}
		past = append(past, Night{Outcome: Deviated, Figures: figures})
	}
	t.Log(calls)
	require.Regexp(t, `^x{10}\.+$`, calls)
}

// TestSites counts how often sites that are alike are told apart, and how often one or two that are worse are found.
func TestSites(t *testing.T) {
	nights := nightsOf(10_000)
	settings := Defaults().Sites
	for _, test := range []struct {
		sites  int
		spread float64
		most   float64
	}{{4, 0.1, 0.1}, {6, 0.05, 0.1}, {6, 0.1, 0.1}, {6, 0.2, 1}, {12, 0.1, 0.1}, {12, 0.2, 1.5}, {40, 0.2, 1}} {
		rng := rand.New(rand.NewPCG(9, uint64(test.sites)))
		called := func(bad int, factor float64) (share float64) {
			n := 0
			for range nights {
				figures := make([]Figure, test.sites)
				for i := range figures {
					v := 1000 * math.Exp(test.spread*rng.NormFloat64())
					if i < bad {
						v *= factor
					}
					figures[i] = Figure{Measure: "p95", Site: fmt.Sprint("site", i), Percentile: 95, Unit: Millis, Value: v, Samples: 700}
				}
				hit := 0
				for _, f := range apart(figures, settings) {
					if f.Result == Bad && (bad == 0 || f.Site < fmt.Sprint("site", bad)) {
						hit++
					}
				}
				if hit >= max(bad, 1) {
					n++
				}
			}
			return 100 * float64(n) / float64(nights)
		}
		none := called(0, 1)
		t.Logf("%2d sites that differ by %2.0f %%: %.2f %% false alarms; one bad site found: twice %3.0f %%, three times %3.0f %%; "+
			"both of two: three times %3.0f %%", test.sites, 100*test.spread, none, called(1, 2), called(1, 3), called(2, 3))
		require.Less(t, none, test.most+4*math.Sqrt(test.most*(100-test.most)/float64(nights)))
	}
}

// TestWhyNotWindows counts the false alarms of tests that suggest themselves: Mann-Whitney's of tonight's windows against all those
// of the last seven nights, at 2 %, and whether tonight is worse than each of the last seven.
func TestWhyNotWindows(t *testing.T) {
	nights := nightsOf(1000)
	for _, test := range []struct {
		name          string
		night, memory float64
	}{
		{"windows are independent, nights are alike", 0, 0},
		{"windows resemble the last (0.7), nights are alike", 0, 0.7},
		{"windows resemble the last (0.7), nights differ by 8 %", 0.08, 0.7},
	} {
		rng := rand.New(rand.NewPCG(4, 2026))
		windows := func() []float64 {
			level, x := test.night*rng.NormFloat64(), rng.NormFloat64()
			values := make([]float64, 120)
			for i := range values {
				x = test.memory*x + math.Sqrt(1-test.memory*test.memory)*rng.NormFloat64()
				values[i] = level + 0.2*x
			}
			return values
		}
		whole := func(values []float64) float64 { return quantile(values, 0.5) }
		var past [][]float64
		byWindows, byRank := 0, 0
		for night := -7; night < nights; night++ {
			tonight := windows()
			if night >= 0 {
				if mannWhitney(tonight, slices.Concat(past...)) < 0.02 {
					byWindows++
				}
				if !slices.ContainsFunc(past, func(p []float64) bool { return whole(p) >= whole(tonight) }) {
					byRank++
				}
			}
			past = append(past, tonight)
			past = past[max(0, len(past)-7):]
		}
		of := func(n int) float64 { return 100 * float64(n) / float64(nights) }
		t.Logf("%-55s Mann-Whitney of windows %4.1f %%, worst of eight nights %4.1f %%", test.name, of(byWindows), of(byRank))
		if test.memory > 0 {
			require.Greater(t, of(byWindows), 5., test.name)
		}
		require.InDelta(t, 12.5, of(byRank), 6)
	}
}

func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[int(q*float64(len(sorted)-1))]
}

// mannWhitney is the one-sided p of a being greater than b, by the normal approximation, which is exact enough for hundreds.
func mannWhitney(a, b []float64) float64 {
	type value struct {
		v float64
		a bool
	}
	var all []value
	for _, v := range a {
		all = append(all, value{v, true})
	}
	for _, v := range b {
		all = append(all, value{v, false})
	}
	slices.SortFunc(all, func(x, y value) int {
		if x.v < y.v {
			return -1
		}
		return 1
	})
	ranks := 0.0
	for i, x := range all {
		if x.a {
			ranks += float64(i + 1)
		}
	}
	n, m := float64(len(a)), float64(len(b))
	u := ranks - n*(n+1)/2
	return distuv.UnitNormal.Survival((u - n*m/2) / math.Sqrt(n*m*(n+m+1)/12))
}
