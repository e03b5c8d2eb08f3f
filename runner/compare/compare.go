// Package compare sets runs side by side: two of them, or all that there are by what was under test. It says which differences are
// more than noise, and what else differs between what is compared and may be the reason. It reads and writes nothing: what it
// compares is handed to it, from the history.
package compare

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/deskstorm/deskstorm/runner/history"
	"github.com/deskstorm/deskstorm/runner/versions"
)

// Unit is a figure's.
type Unit string

// The units.
const (
	Millis Unit = "ms"
	Share  Unit = "share" // 0 to 1
)

// Call is what is made of a difference.
type Call string

// The calls. Worse and Better are more than noise, at 5 % for all rows of a table together.
const (
	Worse   Call = "worse"
	Better  Call = "better"
	Noise   Call = "noise"   // no more than chance would make
	Unknown Call = "unknown" // there is too little to say; the row's Why says what is missing
)

// alarms is the probability that a table of runs that do not differ has a row that is called worse or better.
const alarms = 0.05

// Options say how two runs are compared.
type Options struct {
	PerSite bool // a row for each site, and not one for all together
	// Nights are earlier runs of the experiment, with totals: how much one run differs from the next without any reason. With fewer
	// than 5 only the noise within the two runs is known, which is less.
	Nights []history.Kept
}

// minNights is how many nights a spread is taken from.
const minNights = 5

// Row is one figure of both runs.
type Row struct {
	Metric     string  `json:"metric"`
	Step       string  `json:"step,omitempty"`
	Site       string  `json:"site,omitempty"`
	Percentile float64 `json:"percentile,omitempty"` // 0: a share
	Unit       Unit    `json:"unit"`
	A          float64 `json:"a"`
	B          float64 `json:"b"`
	SamplesA   int64   `json:"samples_a"`
	SamplesB   int64   `json:"samples_b"`
	// Ratio is B / A; 0: A is 0. From and To are where it lies with 95 % confidence, for this row by itself; both 0: not known.
	Ratio float64 `json:"ratio,omitempty"`
	From  float64 `json:"from,omitempty"`
	To    float64 `json:"to,omitempty"`
	// P is the probability of a difference like this one, or greater, by chance; 1 where that is not known.
	P    float64 `json:"p"`
	Call Call    `json:"call"`
	Why  string  `json:"why,omitempty"` // of Unknown
}

// Figure is what is compared, for people: "p95" or "share".
func (r Row) Figure() string {
	if r.Percentile == 0 {
		return "share"
	}
	return "p" + strconv.FormatFloat(r.Percentile, 'f', -1, 64)
}

// Name is the metric with its step and site.
func (r Row) Name() string { return name(r.Metric, r.Step, r.Site) }

func name(metric, step, site string) string {
	if step != "" {
		metric += " " + step
	}
	if site != "" {
		metric += " @ " + site
	}
	return metric
}

// Side is one of the two runs.
type Side struct {
	ID         string            `json:"id"`
	Experiment string            `json:"experiment"`
	Began      string            `json:"began"`
	Outcome    string            `json:"outcome,omitempty"`
	Status     string            `json:"status"`
	Versions   map[string]string `json:"versions"`
}

// Change is a version that differs.
type Change struct {
	Name string `json:"name"`
	A    string `json:"a"` // empty: not known
	B    string `json:"b"`
}

// Pair is two runs, side by side.
type Pair struct {
	A       Side     `json:"a"`
	B       Side     `json:"b"`
	Changes []Change `json:"changes"`
	Rows    []Row    `json:"rows"`
	// Nights are how many earlier runs the noise between runs was taken from; 0: only the noise within the two is known.
	Nights int      `json:"nights"`
	Notes  []string `json:"notes"` // what to keep in mind, a sentence each
}

// ErrSame says that a run was to be compared with itself.
var ErrSame = errors.New("a run cannot be compared with itself")

// Runs compares two runs, of which the history gave all (Store.Run): their windows show how noisy they are.
func Runs(a, b history.Kept, o Options) (*Pair, error) {
	if a.ID == b.ID {
		return nil, fmt.Errorf("%s: %w", a.ID, ErrSame)
	}
	before, err := collect(a, o.PerSite)
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", a.ID, err)
	}
	after, err := collect(b, o.PerSite)
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", b.ID, err)
	}
	p := Pair{A: side(a), B: side(b), Changes: changes(a.Versions, b.Versions), Rows: []Row{}, Notes: []string{}}
	spreads, nights, err := spreadsOf(o, a.ID, b.ID)
	if err != nil {
		return nil, err
	}
	p.Nights = nights
	for _, k := range before.keys() {
		other := after.all[k]
		if other == nil {
			continue
		}
		p.Rows = append(p.Rows, rows(k, before.all[k], other, spreads)...)
	}
	call(p.Rows)
	p.note(before, after, a, b)
	return &p, nil
}

func side(k history.Kept) Side {
	return Side{ID: k.ID, Experiment: k.Experiment, Began: k.Began.UTC().Format("2006-01-02 15:04 MST"), Outcome: k.Outcome, Status: string(k.Status),
		Versions: k.Versions}
}

func changes(a, b map[string]string) []Change {
	all := []Change{}
	for _, n := range names(a, b) {
		if a[n] != b[n] {
			all = append(all, Change{Name: n, A: a[n], B: b[n]})
		}
	}
	return all
}

// names are those of all versions, in order.
func names(all ...map[string]string) []string {
	var names []string
	for _, m := range all {
		for n := range m {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// percentiles are compared of each series of durations.
func percentiles() []float64 { return []float64{50, 95, 99} }

// rows compares what two runs measured of one thing.
func rows(k key, a, b *measured, spreads map[figure]between) []Row {
	if !k.share {
		var all []Row
		sa, sb := a.spread(), b.spread()
		for i, q := range percentiles() {
			r := Row{Metric: k.metric, Step: k.step, Site: k.site, Percentile: q, Unit: Millis, A: a.quantile(q), B: b.quantile(q),
				SamplesA: a.count, SamplesB: b.count}
			// Of fewer than five samples beyond it a percentile is one of the highest values, and says little.
			if n := float64(min(a.count, b.count)) * (1 - q/100); n < 5 {
				r.unknown("too few samples")
			} else {
				r.judge(logarithm(r.A), logarithm(r.B), sa.of(i), sb.of(i), spreads[figure{k, q}], math.Exp)
			}
			all = append(all, r)
		}
		return all
	}
	r := Row{Metric: k.metric, Step: k.step, Site: k.site, Unit: Share, A: a.share(), B: b.share(), SamplesA: a.count, SamplesB: b.count}
	sa, sb := a.spread(), b.spread()
	r.judge(arcsine(r.A), arcsine(r.B), sa.ofShare(a.count), sb.ofShare(b.count), spreads[figure{k, 0}], nil)
	return []Row{r}
}

func (r *Row) unknown(why string) {
	r.ratio()
	r.P, r.Call, r.Why = 1, Unknown, why
}

func (r *Row) ratio() {
	if r.A > 0 {
		r.Ratio = r.B / r.A
	}
}

// judge finds how probable the difference of two values is by chance, on a scale on which they spread evenly. The noise is that within
// the runs, or that between nights where it is known and greater: what happens to a run as a whole is not seen within it.
func (r *Row) judge(a, b float64, sa, sb noise, nights between, back func(float64) float64) {
	r.ratio()
	if !sa.known || !sb.known {
		if nights.deviation == 0 {
			r.unknown(cmp.Or(sa.why, sb.why))
			return
		}
		sa, sb = noise{freedom: math.Inf(1)}, noise{freedom: math.Inf(1)}
	}
	error2 := sa.variance + sb.variance
	// Welch and Satterthwaite: the degrees of freedom of a difference of two means.
	freedom := error2 * error2 / (sa.variance*sa.variance/sa.freedom + sb.variance*sb.variance/sb.freedom)
	if of2 := 2 * nights.deviation * nights.deviation; of2 > error2 {
		error2, freedom = of2, float64(nights.nights-1)
	}
	t := distuv.StudentsT{Sigma: 1, Nu: max(1, min(freedom, 1000))}
	difference := b - a
	r.P = min(1, 2*t.Survival(math.Abs(difference)/math.Sqrt(error2)))
	if back != nil {
		half := t.Quantile(0.975) * math.Sqrt(error2)
		r.From, r.To = back(difference-half), back(difference+half)
	}
}

// call decides on all rows by Holm's method: the more rows, the more a single one must differ.
func call(rows []Row) {
	var known []*Row
	for i := range rows {
		if rows[i].Call != Unknown {
			rows[i].Call = Noise
			known = append(known, &rows[i])
		}
	}
	slices.SortStableFunc(known, func(x, y *Row) int { return cmp.Compare(x.P, y.P) })
	for i, r := range known {
		if r.P*float64(len(known)-i) > alarms {
			return
		}
		r.Call = Worse
		if r.B < r.A {
			r.Call = Better
		}
	}
}

// figure is what nights spread in.
type figure struct {
	key
	percentile float64
}

// between is how a figure differs from night to night.
type between struct {
	deviation float64 // 0: not known
	nights    int
}

// spreadsOf are how the figures differ between nights; nights is how many there are, 0 if too few.
func spreadsOf(o Options, a, b string) (map[figure]between, int, error) {
	values := map[figure][]float64{}
	nights := 0
	for _, k := range o.Nights {
		if k.ID == a || k.ID == b {
			continue
		}
		c, err := collect(k, o.PerSite)
		if err != nil {
			return nil, 0, fmt.Errorf("run %s: %w", k.ID, err)
		}
		nights++
		for key, m := range c.all {
			if key.share {
				values[figure{key, 0}] = append(values[figure{key, 0}], arcsine(m.share()))
				continue
			}
			for _, q := range percentiles() {
				values[figure{key, q}] = append(values[figure{key, q}], logarithm(m.quantile(q)))
			}
		}
	}
	if nights < minNights {
		return nil, 0, nil
	}
	spreads := map[figure]between{}
	for f, v := range values {
		if len(v) >= minNights {
			spreads[f] = between{max(leastSpread, stat.StdDev(v, nil)), len(v)}
		}
	}
	return spreads, nights, nil
}

// leastSpread is the standard deviation of logarithms, or of arcsines, that nobody believes to be less.
const leastSpread = 0.005

// logarithm is the scale of durations. Of nothing it is that of a microsecond, which nothing is told apart from.
func logarithm(millis float64) float64 { return math.Log(max(millis, 0.001)) }

// arcsine is the scale of shares: on it their noise does not depend on how great they are.
func arcsine(share float64) float64 { return math.Asin(math.Sqrt(max(0, min(1, share)))) }

// note says what to keep in mind.
func (p *Pair) note(before, after *collection, a, b history.Kept) {
	say := func(format string, args ...any) { p.Notes = append(p.Notes, fmt.Sprintf(format, args...)) }
	if a.Experiment != b.Experiment {
		say("The runs are of two experiments, %s and %s: they may have been asked for different things.", a.Experiment, b.Experiment)
	}
	for _, k := range []history.Kept{a, b} {
		if !slices.Contains(history.Sound(), k.Outcome) {
			say("Run %s has no verdict (%s): what it measured may be the harness's doing.", k.ID, cmp.Or(k.Outcome, string(k.Status), "it goes on"))
		}
	}
	if p.Nights == 0 && len(p.Rows) > 0 {
		say("How much runs differ from one to the next is not known (it takes %d earlier ones): only the noise within these two is "+
			"counted, and a bad hour of the cloud looks like a difference.", minNights)
	}
	var far []string
	for _, k := range before.keys() {
		if m, n := before.all[k], after.all[k]; n != nil && m.count > 0 && n.count > 0 {
			if r := float64(n.count) / float64(m.count); r < 0.8 || r > 1.25 {
				far = append(far, k.name())
			}
		}
	}
	if len(far) > 0 {
		say("The runs were loaded differently: their samples differ by more than a fifth (%s).", some(far))
	}
	for _, x := range []struct {
		id   string
		a, b *collection
	}{{a.ID, before, after}, {b.ID, after, before}} {
		var only []string
		for _, k := range x.a.keys() {
			if x.b.all[k] == nil {
				only = append(only, k.name())
			}
		}
		if len(only) > 0 {
			say("Only run %s measured: %s.", x.id, some(only))
		}
	}
	if c := p.Changes; len(c) > 1 {
		all := make([]string, len(c))
		for i := range c {
			all[i] = c[i].Name
		}
		say("More than one version differs (%s): which of them a difference comes from cannot be said.", some(all))
	}
	for _, c := range p.Changes {
		if versions.Combination(c.A) == versions.Combination(c.B) {
			say("%s is a mixture in both, of other shares.", c.Name)
		}
	}
}

// some are the first of a list.
func some(all []string) string {
	const most = 5
	text := ""
	for i, s := range all[:min(most, len(all))] {
		if i > 0 {
			text += ", "
		}
		text += s
	}
	if len(all) > most {
		text += fmt.Sprintf(" and %d more", len(all)-most)
	}
	return text
}
