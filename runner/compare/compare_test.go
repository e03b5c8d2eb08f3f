package compare_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/results"
	"github.com/deskstorm/deskstorm/runner/compare"
	"github.com/deskstorm/deskstorm/runner/history"
	"github.com/deskstorm/deskstorm/runner/record"
)

var evening = time.Date(2026, 11, 21, 22, 0, 0, 0, time.UTC)

// cloud is what runs are made of.
type cloud struct {
	minutes int
	login   float64 // the median in ms
	night   float64 // the standard deviation between runs, of logarithms
	minute  float64 // and between minutes of a run
	fails   float64 // the share of logins
}

// run makes a run of 20 logins in 10 s, at two sites.
func (c cloud) run(t testing.TB, rng *rand.Rand, id string, began time.Time, versions map[string]string) history.Kept {
	t.Helper()
	k := history.Kept{Outcome: "passed", Run: record.Run{ID: id, Experiment: "boot-storm", Began: began, Status: record.Completed, Versions: versions}}
	level := math.Log(c.login) + c.night*rng.NormFloat64()
	for m := range c.minutes {
		now := level + c.minute*rng.NormFloat64()
		for w := range 6 {
			start := began.Add(time.Duration(m*6+w) * 10 * time.Second)
			for _, site := range []string{"north", "south"} {
				total := results.New(results.Series{Metric: "vdi_login_duration", Kind: results.Trend,
					Tags: results.Tags{Site: site, Step: "total", Path: "broker"}}, start, start.Add(10*time.Second))
				good := results.New(results.Series{Metric: "vdi_login_failed", Kind: results.Rate, Tags: results.Tags{Site: site}}, start, start.Add(10*time.Second))
				bad := results.New(results.Series{Metric: "vdi_login_failed", Kind: results.Rate,
					Tags: results.Tags{Site: site, Step: "allocate", Class: "timeout"}}, start, start.Add(10*time.Second))
				for range 10 {
					require.NoError(t, total.Add(math.Exp(now+0.4*rng.NormFloat64()), start))
					if rng.Float64() < c.fails {
						require.NoError(t, bad.Add(1, start))
					} else {
						require.NoError(t, good.Add(0, start))
					}
				}
				k.Windows = append(k.Windows, total, good, bad)
			}
		}
	}
	var err error
	k.Totals, err = results.Totals(k.Windows)
	require.NoError(t, err)
	return k
}

func usual() cloud { return cloud{minutes: 30, login: 800, night: 0.05, minute: 0.1, fails: 0.02} }

func TestRuns(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	before := usual().run(t, rng, "20261121T220000-a", evening, map[string]string{"qemu": "7.2.4", "kernel": "6.1.0"})
	slow := usual()
	slow.login, slow.fails = 1300, 0.08
	after := slow.run(t, rng, "20261122T220000-b", evening.Add(24*time.Hour), map[string]string{"qemu": "8.2.2", "kernel": "6.1.0"})
	p, err := compare.Runs(before, after, compare.Options{})
	require.NoError(t, err)
	require.Equal(t, []compare.Change{{Name: "qemu", A: "7.2.4", B: "8.2.2"}}, p.Changes)
	require.Len(t, p.Rows, 4)
	for _, r := range p.Rows {
		require.Equal(t, compare.Worse, r.Call, "%+v", r)
		require.EqualValues(t, 3600, r.SamplesA)
		if r.Unit == compare.Millis {
			require.InEpsilon(t, 1300.0/800, r.Ratio, 0.2)
			require.Less(t, r.From, r.Ratio)
			require.Greater(t, r.To, r.Ratio)
			require.Greater(t, r.From, 1.0)
		}
	}
	require.Len(t, p.Notes, 1)
	require.Contains(t, p.Notes[0], "only the noise within these two is counted")

	back, err := compare.Runs(after, before, compare.Options{PerSite: true})
	require.NoError(t, err)
	require.Len(t, back.Rows, 8)
	for _, r := range back.Rows {
		require.Equal(t, compare.Better, r.Call)
		require.NotEmpty(t, r.Site)
	}
	_, err = compare.Runs(before, before, compare.Options{})
	require.ErrorIs(t, err, compare.ErrSame)

	again, err := compare.Runs(before, after, compare.Options{})
	require.NoError(t, err)
	require.Equal(t, p, again, "the same every time")
	show(t, p, "pair")
}

// show writes all forms, checks the page's picture to be XML, and keeps the page where a person wants to see it.
func show(t *testing.T, c interface {
	Text(io.Writer) error
	HTML(io.Writer) error
}, name string) {
	t.Helper()
	var text, html bytes.Buffer
	require.NoError(t, c.Text(&text))
	t.Log("\n" + text.String())
	require.NoError(t, c.HTML(&html))
	_, svg, ok := strings.Cut(html.String(), "<svg viewBox")
	require.True(t, ok)
	svg, _, ok = strings.Cut("<svg viewBox"+svg, "</svg>")
	require.True(t, ok)
	for d := xml.NewDecoder(strings.NewReader(svg + "</svg>")); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	require.NotContains(t, svg, "NaN")
	require.NotContains(t, svg, "Inf")
	require.NotContains(t, html.String(), "ZgotmplZ")
	_, err := json.Marshal(c)
	require.NoError(t, err)
	if dir := os.Getenv("DESKSTORM_KEEP_PAGES"); dir != "" {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".html"), html.Bytes(), 0o644))
	}
}

func TestNotes(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	a := usual().run(t, rng, "a", evening, map[string]string{"qemu": "7.2.4 (3), 8.2.2 (1)", "kernel": "6.1", "ovs": "3.1"})
	b := usual().run(t, rng, "b", evening, map[string]string{"qemu": "7.2.4 (1), 8.2.2 (3)", "kernel": "6.8"})
	b.Experiment, b.Outcome = "dhcp-renewal", "no-verdict"
	short := usual()
	short.minutes = 5
	c := short.run(t, rng, "c", evening, nil)
	extra := results.New(results.Series{Metric: "vdi_connect_duration", Kind: results.Trend, Tags: results.Tags{Step: "<script>"}}, evening, evening)
	require.NoError(t, extra.Add(5, evening))
	c.Windows, c.Totals = append(c.Windows, extra), append(c.Totals, extra)

	p, err := compare.Runs(a, b, compare.Options{})
	require.NoError(t, err)
	notes := strings.Join(p.Notes, "\n")
	require.Contains(t, notes, "of two experiments, boot-storm and dhcp-renewal")
	require.Contains(t, notes, "Run b has no verdict (no-verdict)")
	require.Contains(t, notes, "More than one version differs (kernel, ovs, qemu)")
	require.Contains(t, notes, "qemu is a mixture in both, of other shares.")

	p, err = compare.Runs(a, c, compare.Options{})
	require.NoError(t, err)
	notes = strings.Join(p.Notes, "\n")
	require.Contains(t, notes, "their samples differ by more than a fifth (vdi_login_duration total, vdi_login_failed)")
	require.Contains(t, notes, "Only run c measured: vdi_connect_duration <script>.")
	for _, r := range p.Rows {
		require.Equal(t, compare.Unknown, r.Call)
		require.Equal(t, "too short: less than 8 minutes with samples", r.Why)
	}
	show(t, p, "notes")

	// What the history gave up is not needed where the nights say how runs differ.
	a.Windows = nil
	p, err = compare.Runs(a, b, compare.Options{})
	require.NoError(t, err)
	require.Equal(t, "its windows are no longer kept", p.Rows[0].Why)
	var nights []history.Kept
	for i := range 7 {
		nights = append(nights, usual().run(t, rng, fmt.Sprint("n", i), evening, nil))
		nights[i].Windows = nil
	}
	p, err = compare.Runs(a, b, compare.Options{Nights: nights})
	require.NoError(t, err)
	require.Equal(t, 7, p.Nights)
	for _, r := range p.Rows {
		require.Equal(t, compare.Noise, r.Call, "%+v", r)
	}
	empty, err := compare.Runs(history.Kept{Run: record.Run{ID: "x"}}, history.Kept{Run: record.Run{ID: "y"}}, compare.Options{})
	require.NoError(t, err)
	require.Empty(t, empty.Rows)
}

// TestFalseAlarms counts how often two runs of the same cloud are called different. Without nights only what happens within a run is
// known, so that clouds that differ from night to night are called wrongly: that is what the note says.
func TestFalseAlarms(t *testing.T) {
	const pairs = 40
	for _, test := range []struct {
		name   string
		night  float64
		nights int
		most   float64 // share of pairs that are called
	}{
		{"nights alike, none known", 0, 0, 0.15},
		{"nights differ, none known", 0.1, 0, 1},
		{"nights differ, seven known", 0.1, 7, 0.15},
	} {
		t.Run(test.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(3, 3))
			c := usual()
			c.night, c.minutes = test.night, 12
			called := 0
			for range pairs {
				var o compare.Options
				for i := range test.nights {
					o.Nights = append(o.Nights, c.run(t, rng, fmt.Sprint("n", i), evening, nil))
				}
				p, err := compare.Runs(c.run(t, rng, "a", evening, nil), c.run(t, rng, "b", evening, nil), o)
				require.NoError(t, err)
				for _, r := range p.Rows {
					if r.Call == compare.Worse || r.Call == compare.Better {
						called++
						break
					}
				}
			}
			share := float64(called) / float64(pairs)
			t.Logf("%d of %d pairs have a row that is called", called, pairs)
			require.LessOrEqual(t, share, test.most)
		})
	}
}

func TestGroupBy(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	var runs []history.Kept
	day := 24 * time.Hour
	for i := range 24 {
		c := usual()
		versions := map[string]string{"qemu": "7.2.4", "kernel": "6.1.0", "ovs": "3.1.0", "deskstorm": fmt.Sprint("1.", i%3)}
		if i >= 12 {
			c.login = 1100
			versions["qemu"], versions["kernel"] = "10.0.2", "6.8.0"
		}
		if i == 20 {
			versions["ovs"] = "3.3.0"
		}
		k := c.run(t, rng, fmt.Sprint("r", i), evening.Add(time.Duration(i)*day), versions)
		k.Windows = nil
		if i%8 == 7 {
			k.Outcome = "deviated"
		}
		if i == 5 {
			k.Outcome = "no-verdict"
		}
		runs = append(runs, k)
	}
	runs = append(runs, usual().run(t, rng, "old", evening, nil))
	other := usual().run(t, rng, "other", evening, map[string]string{"qemu": "7.2.4"})
	other.Experiment = "amqp-idle"
	dry := usual().run(t, rng, "dry", evening, map[string]string{"qemu": "7.2.4"})
	dry.DryRun = true
	runs = append(runs, other, dry)

	by, err := compare.GroupBy(runs, "qemu")
	require.NoError(t, err)
	require.Len(t, by.Experiments, 2)
	require.Equal(t, "amqp-idle", by.Experiments[0].Name)
	require.Contains(t, by.Experiments[0].Notes, "All runs have the same qemu: there is nothing to compare.")
	e := by.Experiments[1]
	require.Len(t, e.Groups, 3)
	require.Equal(t, []string{"7.2.4", "10.0.2", "unknown"}, []string{e.Groups[0].Version, e.Groups[1].Version, e.Groups[2].Version})
	require.Equal(t, map[string]int{"passed": 10, "deviated": 1, "no-verdict": 1}, e.Groups[0].Outcomes)
	require.Equal(t, 12, e.Groups[0].Runs)
	require.Equal(t, 11, e.Groups[0].Sound)

	require.Len(t, e.Rows, 2)
	login := e.Rows[0]
	require.Equal(t, "vdi_login_duration total", login.Name())
	require.Equal(t, "p95", login.Figure())
	require.Equal(t, compare.Worse, login.Cells[1].Call)
	require.InEpsilon(t, 1100.0/800, login.Cells[1].Ratio, 0.1)
	require.Greater(t, login.Cells[1].Slower, 0.95)
	require.Equal(t, compare.Unknown, login.Cells[2].Call)
	require.Equal(t, compare.Noise, e.Rows[1].Cells[1].Call, "as many fail")

	var names []string
	for _, c := range e.Confounders {
		names = append(names, fmt.Sprint(c.Name, " ", c.Apart))
	}
	require.Equal(t, []string{"deskstorm false", "kernel true", "ovs false"}, names)
	notes := strings.Join(e.Notes, "\n")
	require.Contains(t, notes, "kernel differs together with qemu in all runs: which of the two a difference comes from cannot be said.")
	require.Contains(t, notes, "ovs differs between the groups, too, in some runs.")
	require.Contains(t, notes, "Runs of qemu unknown with a verdict: 1; it takes 4")
	require.Contains(t, notes, "The runs of 10.0.2 were all at another time than those of 7.2.4")
	show(t, by, "by")

	_, err = compare.GroupBy(nil, "qemu")
	require.ErrorIs(t, err, compare.ErrNoRuns)
	_, err = compare.GroupBy(runs, "qemus")
	require.ErrorContains(t, err, `a version of "qemus" is known, only of deskstorm, kernel, ovs, qemu`)
}

// TestNothingMeasured: runs without load have no table.
func TestNothingMeasured(t *testing.T) {
	at := func(id string) history.Kept {
		return history.Kept{Run: record.Run{ID: id, Experiment: "smoke", Began: evening, Ended: evening.Add(time.Second)}, Outcome: "passed"}
	}
	p, err := compare.Runs(at("a"), at("b"), compare.Options{})
	require.NoError(t, err)
	var text, page bytes.Buffer
	require.NoError(t, p.Text(&text))
	require.Contains(t, text.String(), "There is nothing that load has measured in both.\n")
	require.NotContains(t, text.String(), "figure")
	require.NoError(t, p.HTML(&page))
	require.Contains(t, page.String(), "There is nothing that load has measured in both.")
	require.NotContains(t, page.String(), "<svg")
	encoded, err := json.Marshal(p)
	require.NoError(t, err)
	require.Contains(t, string(encoded), `"rows":[]`)
}

// Groups of the same cloud are seldom called different.
func TestGroupsFalseAlarms(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	called := 0
	const times = 60
	c := usual()
	c.minutes = 3
	for range times {
		var runs []history.Kept
		for i := range 12 {
			runs = append(runs, c.run(t, rng, fmt.Sprint("r", i), evening, map[string]string{"qemu": fmt.Sprint(i % 2)}))
		}
		by, err := compare.GroupBy(runs, "qemu")
		require.NoError(t, err)
		for _, r := range by.Experiments[0].Rows {
			if r.Cells[1].Call != compare.Noise {
				called++
				break
			}
		}
	}
	t.Logf("%d of %d comparisons have a row that is called", called, times)
	require.LessOrEqual(t, called, times/6)
}

// What the history keeps can be compared as it was.
func TestOfTheHistory(t *testing.T) {
	s, err := history.OpenDSN(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "history.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	rng := rand.New(rand.NewPCG(6, 6))
	var fresh, kept []history.Kept
	for i := range 2 {
		k := usual().run(t, rng, fmt.Sprint("r", i), evening.Add(time.Duration(i)*time.Hour), map[string]string{"qemu": fmt.Sprint(i)})
		fresh = append(fresh, k)
		require.NoError(t, s.Save(t.Context(), k.Run, k.Outcome, nil))
		got, err := s.Run(t.Context(), k.ID)
		require.NoError(t, err)
		kept = append(kept, got)
	}
	want, err := compare.Runs(fresh[0], fresh[1], compare.Options{})
	require.NoError(t, err)
	got, err := compare.Runs(kept[0], kept[1], compare.Options{})
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func BenchmarkRuns(b *testing.B) {
	rng := rand.New(rand.NewPCG(7, 7))
	c := usual()
	c.minutes = 480
	x, y := c.run(b, rng, "x", evening, nil), c.run(b, rng, "y", evening, nil)
	for b.Loop() {
		if _, err := compare.Runs(x, y, compare.Options{PerSite: true}); err != nil {
			b.Fatal(err)
		}
	}
}
