package compare

import (
	"cmp"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"gonum.org/v1/gonum/stat"

	"github.com/deskstorm/deskstorm/results"
	"github.com/deskstorm/deskstorm/runner/history"
)

// key is what a row is of: all paths and profiles together, and all sites unless they are kept apart.
type key struct {
	metric, step, site string
	share              bool
}

func (k key) name() string { return name(k.metric, k.step, k.site) }

// measured is what a run measured of one thing.
type measured struct {
	total  *results.Aggregate
	count  int64
	failed float64 // of a rate
	// windows are what total is made of; none if the history gave them up.
	windows []*results.Aggregate
}

// collection is all that a run measured that can be compared.
type collection struct{ all map[key]*measured }

func (c *collection) keys() []key {
	return slices.SortedFunc(maps.Keys(c.all), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.metric, b.metric), cmp.Compare(a.step, b.step), cmp.Compare(a.site, b.site))
	})
}

// collect gathers durations and shares. Counts and levels are the load's, which is no result.
func collect(k history.Kept, perSite bool) (*collection, error) {
	totals := k.Totals
	if len(totals) == 0 {
		var err error
		if totals, err = results.Totals(k.Windows); err != nil {
			return nil, err
		}
	}
	// A login that succeeded failed at no step: shares are of all steps together where some samples have none.
	stepless := map[string]bool{}
	for _, a := range totals {
		if a.Kind == results.Rate && a.Tags.Step == "" {
			stepless[a.Metric] = true
		}
	}
	keyOf := func(a *results.Aggregate) (key, bool) {
		one := key{metric: a.Metric, step: a.Tags.Step, share: a.Kind == results.Rate}
		if perSite {
			one.site = a.Tags.Site
		}
		if one.share && stepless[a.Metric] {
			one.step = ""
		}
		return one, (a.Kind == results.Trend || a.Kind == results.Rate) && a.Count > 0
	}
	c := collection{map[key]*measured{}}
	for _, a := range totals {
		of, ok := keyOf(a)
		if !ok {
			continue
		}
		m := c.all[of]
		if m == nil {
			m = &measured{total: results.New(results.Series{Metric: of.metric, Kind: a.Kind}, a.Start, a.End)}
			c.all[of] = m
		}
		m.count += a.Count
		m.failed += a.Sum
		same := *a // merged with those of other paths, profiles and sites
		same.Series = m.total.Series
		if err := m.total.Merge(&same); err != nil {
			return nil, err
		}
	}
	for _, a := range k.Windows {
		if of, ok := keyOf(a); ok && c.all[of] != nil {
			c.all[of].windows = append(c.all[of].windows, a)
		}
	}
	return &c, nil
}

func (m *measured) quantile(percentile float64) float64 { return m.total.Quantile(percentile / 100) }

func (m *measured) share() float64 { return m.failed / float64(m.count) }

// Blocks of a run's time, which are drawn from it again and again. What is measured in one minute is like what is measured in the
// next, so that windows of 10 s by themselves would look like many more observations than they are.
const (
	mostBlocks    = 30
	leastBlocks   = 8
	shortestBlock = time.Minute
	draws         = 300
)

// cell is how many samples there are of the value with an index.
type cell struct {
	value int
	count int64
}

// noise is a figure's variance within a run.
type noise struct {
	known    bool
	why      string // it is not
	variance float64
	freedom  float64
}

// spread is what a run's figures are when its blocks are drawn at random.
type spread struct {
	why       string
	blocks    int
	quantiles [][]float64 // by percentile, logarithms
	shares    []float64   // arcsines
}

func (s spread) of(i int) noise {
	if s.why != "" {
		return noise{why: s.why}
	}
	return s.noise(max(leastSpread, stat.StdDev(s.quantiles[i], nil)))
}

// ofShare is at least what throwing dice would make.
func (s spread) ofShare(samples int64) noise {
	if s.why != "" {
		return noise{why: s.why}
	}
	return s.noise(max(leastSpread, stat.StdDev(s.shares, nil), 0.5/math.Sqrt(float64(samples))))
}

// noise makes up for that what is drawn from n blocks spreads by (n - 1) / n too little.
func (s spread) noise(deviation float64) noise {
	n := float64(s.blocks)
	return noise{known: true, variance: deviation * deviation * n / (n - 1), freedom: n - 1}
}

// spread draws blocks, with replacement, as many as there are (Künsch, "The jackknife and the bootstrap for general stationary
// observations", 1989; here with blocks side by side). It is seeded: the same runs always compare the same.
func (m *measured) spread() spread {
	if len(m.windows) == 0 {
		return spread{why: "its windows are no longer kept"}
	}
	blocks := m.blocks()
	if len(blocks) < leastBlocks {
		return spread{why: "too short: less than 8 minutes with samples"}
	}
	values, cells := flatten(blocks)
	rng := rand.New(rand.NewPCG(uint64(len(blocks)), uint64(m.count)))
	s := spread{blocks: len(blocks), quantiles: make([][]float64, len(percentiles()))}
	counts := make([]int64, len(values))
	for range draws {
		clear(counts)
		var n int64
		var failed float64
		for range blocks {
			drawn := rng.IntN(len(blocks))
			for _, c := range cells[drawn] {
				counts[c.value] += c.count
			}
			for _, a := range blocks[drawn] {
				n += a.Count
				failed += a.Sum
			}
		}
		if n == 0 {
			continue
		}
		s.shares = append(s.shares, arcsine(failed/float64(n)))
		if len(values) > 0 {
			for i, q := range quantiles(values, counts, n) {
				s.quantiles[i] = append(s.quantiles[i], logarithm(q))
			}
		}
	}
	return s
}

// blocks are the windows by the blocks that they begin in. Blocks without any are left out: nothing was asked then.
func (m *measured) blocks() [][]*results.Aggregate {
	first, last := m.windows[0].Start, m.windows[0].Start
	for _, a := range m.windows {
		if a.Start.Before(first) {
			first = a.Start
		}
		if a.Start.After(last) {
			last = a.Start
		}
	}
	length := max(shortestBlock, last.Sub(first)/mostBlocks+1)
	by := map[time.Duration][]*results.Aggregate{}
	for _, a := range m.windows {
		n := a.Start.Sub(first) / length
		by[n] = append(by[n], a)
	}
	var all [][]*results.Aggregate
	for _, n := range slices.Sorted(maps.Keys(by)) {
		all = append(all, by[n])
	}
	return all
}

// flatten makes blocks' histograms lists of counts by the same values.
func flatten(blocks [][]*results.Aggregate) ([]float64, [][]cell) {
	seen := map[float64]int{}
	for _, b := range blocks {
		for _, a := range b {
			for v := range a.Buckets() {
				seen[v] = 0
			}
		}
	}
	values := slices.Sorted(maps.Keys(seen))
	for i, v := range values {
		seen[v] = i
	}
	cells := make([][]cell, len(blocks))
	for i, b := range blocks {
		sums := map[int]int64{}
		for _, a := range b {
			for v, n := range a.Buckets() {
				sums[seen[v]] += n
			}
		}
		for _, value := range slices.Sorted(maps.Keys(sums)) {
			cells[i] = append(cells[i], cell{value, sums[value]})
		}
	}
	return values, cells
}

// quantiles are those of percentiles(), of n samples.
func quantiles(values []float64, counts []int64, n int64) []float64 {
	wanted := percentiles()
	all := make([]float64, 0, len(wanted))
	var sum int64
	for i, c := range counts {
		sum += c
		for len(all) < len(wanted) && float64(sum) >= math.Ceil(wanted[len(all)]/100*float64(n)) {
			all = append(all, values[i])
		}
	}
	return all
}
