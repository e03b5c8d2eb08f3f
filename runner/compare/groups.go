package compare

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/gonum/stat"

	"github.com/deskstorm/deskstorm/runner/history"
	"github.com/deskstorm/deskstorm/runner/versions"
)

// By is runs grouped by a version of what was under test.
type By struct {
	Key         string       `json:"key"`
	Experiments []Experiment `json:"experiments"`
}

// Experiment is the runs of one experiment: those of another were asked for other things.
type Experiment struct {
	Name        string       `json:"name"`
	Groups      []Group      `json:"groups"` // in the order of their versions
	Confounders []Confounder `json:"confounders"`
	Rows        []GroupRow   `json:"rows"`
	Notes       []string     `json:"notes"`
}

// Group is the runs with one version, or one mixture of them.
type Group struct {
	Version  string         `json:"version"`
	Runs     int            `json:"runs"`
	Sound    int            `json:"sound"` // with a verdict: those that the rows are of
	Outcomes map[string]int `json:"outcomes"`
	From     time.Time      `json:"from"` // the first one began
	Until    time.Time      `json:"until"`
}

// Confounder is another version that differs between the groups, and may be the reason of what differs.
type Confounder struct {
	Name string `json:"name"`
	// Apart says that no two groups have a version in common: nothing can tell its effect from that of the key.
	Apart  bool       `json:"apart"`
	Values [][]string `json:"values"` // of each group
}

// GroupRow is a figure of each group.
type GroupRow struct {
	Metric     string  `json:"metric"`
	Step       string  `json:"step,omitempty"`
	Percentile float64 `json:"percentile,omitempty"` // 0: a share
	Unit       Unit    `json:"unit"`
	Cells      []Cell  `json:"cells"` // of each group
}

// Cell is one group's figure: of each run one value.
type Cell struct {
	Runs    int       `json:"runs"` // that measured it; 0: none, and no more is known
	Median  float64   `json:"median"`
	Lowest  float64   `json:"lowest"`
	Highest float64   `json:"highest"`
	Values  []float64 `json:"values"`
	// Ratio is Median to that of the first group; 0: not known. Slower is the probability that a run of this group has a greater value
	// than one of the first, 0.5 where they are alike. P is that of such a difference by chance; 1 where it is not known.
	Ratio  float64 `json:"ratio,omitempty"`
	Slower float64 `json:"slower"`
	P      float64 `json:"p"`
	Call   Call    `json:"call,omitempty"` // against the first group; empty: it is the first
}

// Figure is what is compared, for people.
func (r GroupRow) Figure() string { return Row{Percentile: r.Percentile}.Figure() }

// Name is the metric with its step.
func (r GroupRow) Name() string { return name(r.Metric, r.Step, "") }

// leastRuns is how many runs each of two groups must have: of three against three the least probability by chance is 10 %.
const leastRuns = 4

// unknownVersion is the group of runs whose version was not found out.
const unknownVersion = "unknown"

// ErrNoRuns says that there are no runs to group.
var ErrNoRuns = errors.New("there are no runs to compare")

// GroupBy groups runs, with their totals (Store.Totals), by a version (versions.QEMU and the like). Dry runs, and those that go on, are
// left out. The error is ErrNoRuns if none are left, or says which versions there are if none of the runs has this one.
func GroupBy(runs []history.Kept, key string) (*By, error) {
	all := map[string][]history.Kept{}
	known := map[string]bool{}
	for _, k := range runs {
		if !k.Running && !k.DryRun {
			all[k.Experiment] = append(all[k.Experiment], k)
			for name := range k.Versions {
				known[name] = true
			}
		}
	}
	if len(all) == 0 {
		return nil, ErrNoRuns
	}
	if !known[key] {
		return nil, fmt.Errorf("of none of %d runs a version of %q is known, only of %s", len(runs), key,
			cmp.Or(strings.Join(slices.Sorted(maps.Keys(known)), ", "), "nothing"))
	}
	by := By{Key: key, Experiments: []Experiment{}}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		e, err := group(name, all[name], key)
		if err != nil {
			return nil, fmt.Errorf("comparing the runs of %s: %w", name, err)
		}
		by.Experiments = append(by.Experiments, *e)
	}
	return &by, nil
}

func group(name string, runs []history.Kept, key string) (*Experiment, error) {
	e := Experiment{Name: name, Confounders: []Confounder{}, Notes: []string{}}
	members := map[string][]history.Kept{}
	for _, k := range runs {
		v := versionOf(k, key)
		members[v] = append(members[v], k)
	}
	order := slices.SortedFunc(maps.Keys(members), func(a, b string) int {
		// What is not known comes last: the first group is what the others are held against.
		return cmp.Or(boolean(a == unknownVersion)-boolean(b == unknownVersion), versions.Compare(a, b))
	})
	cells := map[figure][][]float64{} // by group
	for i, v := range order {
		g := Group{Version: v, Outcomes: map[string]int{}}
		for _, k := range members[v] {
			g.add(k)
			if !slices.Contains(history.Sound(), k.Outcome) {
				continue
			}
			g.Sound++
			c, err := collect(k, false)
			if err != nil {
				return nil, fmt.Errorf("run %s: %w", k.ID, err)
			}
			for of, m := range c.all {
				f, value := figure{of, 95}, 0.0
				if of.share {
					f.percentile, value = 0, m.share()
				} else {
					value = m.quantile(95)
				}
				if cells[f] == nil {
					cells[f] = make([][]float64, len(order))
				}
				cells[f][i] = append(cells[f][i], value)
			}
		}
		e.Groups = append(e.Groups, g)
	}
	e.confounders(order, members, key)
	e.rows(cells)
	e.note(key)
	return &e, nil
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}

func versionOf(k history.Kept, name string) string {
	return cmp.Or(versions.Combination(k.Versions[name]), unknownVersion)
}

func (g *Group) add(k history.Kept) {
	g.Runs++
	g.Outcomes[cmp.Or(k.Outcome, string(k.Status))]++
	if g.From.IsZero() || k.Began.Before(g.From) {
		g.From = k.Began
	}
	if k.Began.After(g.Until) {
		g.Until = k.Began
	}
}

// confounders are the other versions that differ between the groups.
func (e *Experiment) confounders(order []string, members map[string][]history.Kept, key string) {
	var known []map[string]string
	for _, v := range order {
		for _, k := range members[v] {
			known = append(known, k.Versions)
		}
	}
	for _, n := range names(known...) {
		if n == key {
			continue
		}
		c := Confounder{Name: n, Apart: true}
		differ := false
		used := map[string]bool{}
		for i, v := range order {
			set := map[string]bool{}
			for _, k := range members[v] {
				set[versionOf(k, n)] = true
			}
			c.Values = append(c.Values, slices.SortedFunc(maps.Keys(set), versions.Compare))
			differ = differ || i > 0 && !slices.Equal(c.Values[0], c.Values[i])
			for value := range set {
				if used[value] {
					c.Apart = false
				}
			}
			maps.Copy(used, set)
		}
		if differ {
			e.Confounders = append(e.Confounders, c)
		}
	}
}

// rows holds each group's values against the first group's.
func (e *Experiment) rows(cells map[figure][][]float64) {
	order := slices.SortedFunc(maps.Keys(cells), func(a, b figure) int {
		return cmp.Or(cmp.Compare(a.metric, b.metric), cmp.Compare(a.step, b.step))
	})
	for _, f := range order {
		r := GroupRow{Metric: f.metric, Step: f.step, Percentile: f.percentile, Unit: Millis}
		if f.share {
			r.Unit = Share
		}
		for i, values := range cells[f] {
			c := Cell{Runs: len(values), Values: values, Slower: 0.5, P: 1}
			if c.Runs > 0 {
				slices.Sort(c.Values)
				c.Lowest, c.Highest, c.Median = values[0], values[len(values)-1], median(values)
			}
			if i > 0 {
				c.against(r.Cells[0])
			}
			r.Cells = append(r.Cells, c)
		}
		e.Rows = append(e.Rows, r)
	}
	e.call()
}

func median(sorted []float64) float64 {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// against finds how probable the difference to the first group is by chance: the rank sum's place among those of shuffled runs (Mann
// and Whitney's test, by permutation: it holds with ties and few runs).
func (c *Cell) against(first Cell) {
	if first.Runs > 0 && c.Runs > 0 && first.Median > 0 {
		c.Ratio = c.Median / first.Median
	}
	if first.Runs < leastRuns || c.Runs < leastRuns {
		c.Call = Unknown
		return
	}
	c.Call = Noise
	all := slices.Concat(first.Values, c.Values)
	ranks := ranksOf(all)
	mean := float64(c.Runs) * stat.Mean(ranks, nil)
	sum := func(r []float64) float64 {
		s := 0.0
		for _, v := range r[first.Runs:] {
			s += v
		}
		return s
	}
	seen := sum(ranks)
	// U / (m n), from the rank sum.
	c.Slower = (seen - float64(c.Runs*(c.Runs+1))/2) / float64(first.Runs*c.Runs)
	rng := rand.New(rand.NewPCG(uint64(first.Runs), uint64(c.Runs)))
	extreme := 1 // what was seen is one of them
	for range shuffles {
		rng.Shuffle(len(ranks), func(i, j int) { ranks[i], ranks[j] = ranks[j], ranks[i] })
		if math.Abs(sum(ranks)-mean) >= math.Abs(seen-mean)-1e-9 {
			extreme++
		}
	}
	c.P = float64(extreme) / (shuffles + 1)
}

const shuffles = 9999

// ranksOf are the ranks of values, from 1, the mean of their ranks where several are alike.
func ranksOf(values []float64) []float64 {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(values[i], values[j]) })
	ranks := make([]float64, len(values))
	for i := 0; i < len(order); {
		j := i
		for j < len(order) && values[order[j]] == values[order[i]] {
			j++
		}
		for _, k := range order[i:j] {
			ranks[k] = float64(i+j+1) / 2
		}
		i = j
	}
	return ranks
}

// call decides on all cells by Holm's method.
func (e *Experiment) call() {
	var known []*Cell
	for i := range e.Rows {
		for j := range e.Rows[i].Cells {
			if c := &e.Rows[i].Cells[j]; c.Call == Noise {
				known = append(known, c)
			}
		}
	}
	slices.SortStableFunc(known, func(x, y *Cell) int { return cmp.Compare(x.P, y.P) })
	for i, c := range known {
		if c.P*float64(len(known)-i) > alarms {
			return
		}
		c.Call = Worse
		if c.Slower < 0.5 {
			c.Call = Better
		}
	}
}

func (e *Experiment) note(key string) {
	say := func(format string, args ...any) { e.Notes = append(e.Notes, fmt.Sprintf(format, args...)) }
	for _, c := range e.Confounders {
		if c.Apart {
			say("%s differs together with %s in all runs: which of the two a difference comes from cannot be said.", c.Name, key)
		} else {
			say("%s differs between the groups, too, in some runs.", c.Name)
		}
	}
	for i, g := range e.Groups {
		if g.Sound < leastRuns {
			say("Runs of %s %s with a verdict: %d; it takes %d in both groups to tell a difference from chance.", key, g.Version, g.Sound, leastRuns)
		}
		if i > 0 && (g.From.After(e.Groups[0].Until) || e.Groups[0].From.After(g.Until)) {
			say("The runs of %s were all at another time than those of %s: whatever else changed in between may be the reason.",
				g.Version, e.Groups[0].Version)
		}
	}
	if len(e.Groups) == 1 {
		say("All runs have the same %s: there is nothing to compare.", key)
	}
}
