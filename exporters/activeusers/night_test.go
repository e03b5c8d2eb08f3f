package activeusers

import (
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/exporters/activeusers/roster"
	"github.com/deskstorm/deskstorm/internal/activity"
	"github.com/deskstorm/deskstorm/internal/wallclock"
)

// seat is a simulated thin client, where one person works.
type seat struct {
	name             string
	site, department int
	zone             *time.Location
	shift            int  // early, late, night
	absent           bool // the roster expects somebody, and nobody came
	sequence         uint64
}

// shifts begin at these hours of the wall clock and last eight, by that clock.
var shiftBegins = [3]int{6, 14, 22}

// works says whether the wall clock shows a time of the person's shift. It is the test's own idea of time, not the roster's.
func (s *seat) works(now time.Time) bool {
	return (now.In(s.zone).Hour()-shiftBegins[s.shift]+24)%24 < 8
}

// office is 10,000 thin clients at six sites on three continents.
func office(t *testing.T, c *Config) []*seat {
	t.Helper()
	c.Sites, c.Departments = nil, []string{"sales", "care", "bank", "travel"}
	for i, zone := range []string{
		"Europe/Berlin", "Europe/Berlin", "Europe/Berlin", "Europe/London", "America/New_York", "Asia/Shanghai",
	} {
		loaded, err := wallclock.LoadZone(zone)
		require.NoError(t, err)
		c.Sites = append(c.Sites, Site{fmt.Sprintf("N%d", i+1), loaded})
	}
	random := rand.New(rand.NewPCG(20261025, 1))
	seats := make([]*seat, 10_000)
	for i := range seats {
		site := random.IntN(6)
		seats[i] = &seat{
			name: fmt.Sprintf("tc-%05d", i), site: site, department: random.IntN(4), zone: c.Sites[site].Zone,
			shift: random.IntN(3), absent: random.IntN(20) == 0,
		}
	}
	return seats
}

// writeOffice writes the inventory, and a roster of the days around from with a line a person and day.
func writeOffice(t *testing.T, c *Config, seats []*seat, from time.Time) {
	t.Helper()
	dir := t.TempDir()
	c.Inventory = filepath.Join(dir, "clients.csv")
	c.Rosters = []roster.File{{Path: filepath.Join(dir, "roster.csv")}}
	save := func(path string, rows func(w *csv.Writer)) {
		f, err := os.Create(path)
		require.NoError(t, err)
		w := csv.NewWriter(f)
		rows(w)
		w.Flush()
		require.NoError(t, w.Error())
		require.NoError(t, f.Close())
	}
	save(c.Inventory, func(w *csv.Writer) {
		_ = w.Write([]string{"client", "site", "department"}) // Flush tells
		for _, s := range seats {
			_ = w.Write([]string{s.name, c.Sites[s.site].Name, c.Departments[s.department]})
		}
	})
	save(c.Rosters[0].Path, func(w *csv.Writer) {
		_ = w.Write([]string{"seat", "site", "department", "start", "end", "zone"})
		for day := -1; day < 3; day++ {
			for _, s := range seats {
				begin := from.AddDate(0, 0, day).Format("2006-01-02") + fmt.Sprintf(" %02d:00", shiftBegins[s.shift])
				end := fmt.Sprintf("%02d:00", (shiftBegins[s.shift]+8)%24)
				_ = w.Write([]string{s.name, c.Sites[s.site].Name, c.Departments[s.department], begin, end, s.zone.String()})
			}
		}
	})
}

// 10,000 simulated thin clients work through the nights in which Europe's clocks change. At each look the exporter must expect
// those whose wall clocks say so, see as active those who came, and find the absent in the gap.
func TestTenThousandClientsAcrossTheChange(t *testing.T) {
	if testing.Short() {
		t.Skip("sends 160,000 reports; run make test")
	}
	for _, c := range []struct {
		name  string
		from  time.Time
		night int // hours of Berlin's night shift
	}{
		{"back", time.Date(2026, 10, 24, 18, 0, 0, 0, time.UTC), 9},
		{"forward", time.Date(2026, 3, 28, 18, 0, 0, 0, time.UTC), 7},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := testConfig(t)
			const every = 30 * time.Minute // reports; each hour's first look is right after a change of shifts
			config.SilentAfter, config.ActiveWithin = every-time.Second, every-time.Second
			seats := office(t, &config)
			writeOffice(t, &config, seats, c.from)
			f := start(t, config, c.from)
			sites := make([]*activity.Client, len(config.Sites))
			for i, s := range config.Sites {
				var err error
				sites[i], err = activity.NewClient(f.url, activity.SiteToken(secret, s.Name), nil)
				require.NoError(t, err)
			}
			begun, sent, night := time.Now(), 0, 0
			for f.now.Before(c.from.Add(13 * time.Hour)) {
				sent += f.round(t, seats, sites, every)
				if f.matches(t, seats) {
					night++
				}
				f.pass(every)
			}
			require.Equal(t, c.night*2, night)
			f.require(t, float64(sent), "reports_total", "accepted")
			t.Logf("%d reports and %d looks in %s", sent, 13*2, time.Since(begun).Round(time.Millisecond))
		})
	}
}

// round sends a report of each client at which somebody works, through its site's relay.
func (f *fixture) round(t *testing.T, seats []*seat, sites []*activity.Client, every time.Duration) (sent int) {
	t.Helper()
	batches := make([][]activity.Report, len(sites))
	send := func(site int) {
		results, err := sites[site].Send(t.Context(), batches[site])
		require.NoError(t, err)
		for _, r := range results {
			require.Equal(t, activity.Accepted, r)
		}
		sent += len(results)
		batches[site] = batches[site][:0]
	}
	for _, s := range seats {
		if s.absent || !s.works(f.now) {
			continue
		}
		s.sequence++
		batches[s.site] = append(batches[s.site], activity.Report{
			Client: s.name, Run: "run", Sequence: s.sequence, From: f.now.Add(-every), To: f.now, Events: 1 + s.sequence%50,
		})
		if len(batches[s.site]) == activity.MaxReports {
			send(s.site)
		}
	}
	for site := range sites {
		if len(batches[site]) > 0 {
			send(site)
		}
	}
	return sent
}

// matches compares what is served with what the seats themselves say, and tells whether Berlin's night shift is expected.
func (f *fixture) matches(t *testing.T, seats []*seat) (night bool) {
	t.Helper()
	f.step()
	type cell struct{ site, department string }
	expected, absent := map[cell]float64{}, map[cell]float64{}
	for _, s := range seats {
		c := cell{f.config.Sites[s.site].Name, f.config.Departments[s.department]}
		if !s.works(f.now) {
			continue
		}
		expected[c]++
		if s.absent {
			absent[c]++
		}
		night = night || s.site == 0 && s.shift == 2
	}
	families, err := f.registry.Gather()
	require.NoError(t, err)
	seen := 0
	for _, family := range families {
		for _, m := range family.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			c := cell{labels["site"], labels["department"]}
			what := f.now.String() + " " + strconv.Quote(family.GetName()) + fmt.Sprint(c)
			switch family.GetName() {
			case "deskstorm_activeusers_expected":
				require.Equal(t, expected[c], m.GetGauge().GetValue(), what)
			case "deskstorm_activeusers_gap":
				require.Equal(t, absent[c], m.GetGauge().GetValue(), what)
			case "deskstorm_activeusers_active":
				require.Equal(t, expected[c]-absent[c], m.GetGauge().GetValue(), what)
			default:
				continue
			}
			seen++
		}
	}
	require.Equal(t, 3*6*4, seen)
	return night
}
