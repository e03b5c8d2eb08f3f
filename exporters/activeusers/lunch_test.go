package activeusers

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/exporters/activeusers/roster"
	"github.com/deskstorm/deskstorm/internal/activity"
)

// The alert that the documentation gives: above this score for this many minutes.
const (
	alertScore   = 4
	alertMinutes = 3
)

// callCentre is 60 people whose roster is from 8 to 16. A few are away at any time, and half of them have lunch at noon, the
// others half an hour later, each a few minutes early or late.
type callCentre struct {
	random   *rand.Rand
	sequence uint64
}

const people = 60

// minute lets all report for a minute, of whom the part that an outage leaves works.
func (cc *callCentre) minute(f *fixture, works float64) {
	cc.sequence++
	clock := f.now.In(f.config.Sites[0].Zone)
	m := float64(clock.Hour()*60 + clock.Minute())
	for i := range people {
		lunch := 720 + float64(i%2*30) + float64(i*7%11-5)/2 // its begin: the same person goes at the same time
		events := uint64(cc.random.IntN(60))
		if m >= lunch && m < lunch+30 || i < 4 || cc.random.IntN(50) == 0 || float64(i) >= people*works {
			events = 0
		}
		r := f.of(fmt.Sprintf("tc-%d", i), cc.sequence, events)
		f.clients.take(&r, f.now)
	}
}

// day runs a working day from half past nine to half past one, and counts how often the alert would fire.
func (cc *callCentre) day(t *testing.T, f *fixture, date time.Time, works func(hour, minute int) float64) (alerts []string) {
	t.Helper()
	zone := f.config.Sites[0].Zone
	above := 0
	at := f.places.at("N1", "sales")
	for m := 9*60 + 30; m < 13*60+30; m++ {
		f.now = time.Date(date.Year(), date.Month(), date.Day(), 0, m, 0, 0, zone)
		cc.minute(f, works(m/60, m%60))
		f.step()
		if s := f.scores[at]; s.weeks < 3 || s.z <= alertScore {
			above = 0
			continue
		}
		if above++; above == alertMinutes {
			alerts = append(alerts, fmt.Sprintf("%02d:%02d", m/60, m%60))
		}
	}
	return alerts
}

// Four weeks are learned by an exporter that is restarted each week, across the change of the clocks. In the fifth, lunch is no
// alarm, and outages before and at lunch are.
func TestAlertKnowsLunchFromAnOutage(t *testing.T) {
	if testing.Short() {
		t.Skip("runs five weeks; run make test")
	}
	c := testConfig(t)
	c.History = filepath.Join(t.TempDir(), "gaps")
	monday := time.Date(2026, 10, 5, 0, 0, 0, 0, berlin(t))
	var csv strings.Builder
	csv.WriteString("site,department,start,end,count\n")
	for day := range 40 {
		date := monday.AddDate(0, 0, day)
		if date.Weekday() != time.Saturday && date.Weekday() != time.Sunday {
			fmt.Fprintf(&csv, "N1,sales,%s 08:00,16:00,%d\n", date.Format(time.DateOnly), people)
		}
	}
	c.Rosters = []roster.File{{Path: write(t, filepath.Join(t.TempDir(), "roster.csv"), csv.String()), Zone: berlin(t)}}
	cc := &callCentre{random: rand.New(rand.NewPCG(7, 7))}
	usual := func(int, int) float64 { return 1 }
	for week := range 4 {
		f := start(t, c, monday.AddDate(0, 0, 7*week))
		for day := range 5 {
			alerts := cc.day(t, f, monday.AddDate(0, 0, 7*week+day), usual)
			require.Empty(t, alerts)
		}
		f.save()
	}
	f := start(t, c, monday.AddDate(0, 0, 28))
	var alerts [5][]string
	for day := range 5 {
		works := usual
		switch day {
		case 1:
			works = func(hour, _ int) float64 { return map[bool]float64{true: 0.7, false: 1}[hour == 10] }
		case 3:
			works = func(hour, minute int) float64 {
				return map[bool]float64{true: 0.5, false: 1}[hour == 12 && minute >= 10 && minute < 25]
			}
		}
		alerts[day] = cc.day(t, f, monday.AddDate(0, 0, 28+day), works)
	}
	t.Logf("alerts: %v", alerts)
	require.Empty(t, alerts[0])
	require.Empty(t, alerts[2])
	require.Empty(t, alerts[4])
	require.Len(t, alerts[1], 1)
	require.Regexp(t, "^10:", alerts[1][0])
	require.Len(t, alerts[3], 1)
	require.Regexp(t, "^12:", alerts[3][0])
	f.require(t, 4, "gap_samples", "sales", "N1")
	_, ok := f.value(t, "gap_zscore", "sales", "N1")
	require.True(t, ok)
}

// A history that cannot be read is put aside; one that cannot be written is told.
func TestBrokenHistory(t *testing.T) {
	c := testConfig(t)
	c.History = write(t, filepath.Join(t.TempDir(), "gaps"), "not a history")
	f := start(t, c, noon)
	f.step()
	f.require(t, 1, "history_error")
	kept, err := os.ReadFile(c.History + ".broken")
	require.NoError(t, err)
	require.Equal(t, "not a history", string(kept))
	f.pass(saveEvery)
	require.FileExists(t, c.History)

	c.History = filepath.Join(t.TempDir(), "no such folder", "gaps")
	f = start(t, c, noon)
	f.step()
	f.require(t, 0, "history_error")
	f.pass(saveEvery)
	f.require(t, 1, "history_error")
	require.Contains(t, f.log.String(), "the history is lost when the exporter ends")
}

// Until clients had time to report, a restarted exporter does not judge: all would look away.
func TestNoJudgementRightAfterStart(t *testing.T) {
	c := testConfig(t)
	path := write(t, filepath.Join(t.TempDir(), "roster.csv"), "site,department,start,end\nN1,sales,2026-06-01 08:00,18:00\n")
	c.Rosters = []roster.File{{Path: path}}
	f := start(t, c, noon)
	f.step()
	require.Empty(t, f.scores)
	f.pass(50 * time.Second)
	require.Empty(t, f.scores)
	f.pass(20 * time.Second)
	require.Len(t, f.scores, 1)
	_, ok := f.value(t, "gap_zscore", "sales", "N1")
	require.False(t, ok) // there are no earlier weeks
	require.Equal(t, activity.Accepted, f.send(t, f.of("tc-1", 1, 1))[0])
}
