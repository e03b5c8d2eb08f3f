// Package baseline remembers how large the gap between expected and active users was at each minute of earlier weeks, and says
// how unusual a gap is. Half of a department is away at noon each day, and nobody should be called for that; half of it away at
// ten is an outage.
//
// Gaps are kept as shares of those expected, so that a small shift on a holiday compares with a large one. Median and median
// absolute deviation (MAD) are what is compared with: an outage of last Tuesday hardly moves them.
package baseline

import (
	"math"
	"slices"
	"time"
)

// Limits and sizes.
const (
	MaxWeeks  = 26
	MaxSeries = 1000 // 20 KB a week each

	minutes = 7 * 24 * 60 // of a week

	// MinWeeks are needed for a score.
	MinWeeks = 3
	// tolerance is how many minutes earlier or later the same thing may happen in another week: lunch does not begin on the
	// minute.
	tolerance = 5
	// consistent makes of the MAD an estimate of the standard deviation, for normally distributed values.
	consistent = 1.4826

	scale   = 1e4 // of shares in memory and on disk
	limit   = 3   // beyond which a share is no longer told apart
	missing = math.MinInt16
)

// Key is what has a gap: a department at a site.
type Key struct{ Site, Department string }

// History is the earlier weeks. It is not safe for concurrent use.
type History struct {
	weeks  int
	series map[Key]series
}

// series are weeks' rows, by the number of the week.
type series map[int64]*[minutes]int16

// New makes an empty history that looks back so many weeks: MinWeeks to MaxWeeks.
func New(weeks int) *History {
	return &History{weeks: min(max(weeks, MinWeeks), MaxWeeks), series: map[Key]series{}}
}

// minute counts the minutes on the wall clock since a Monday. A minute that the clocks repeat is one here, and one that they leave
// out never comes.
func minute(at time.Time) int64 {
	day := time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, time.UTC).Unix() / 86400
	const mondayBefore1970 = 3 // days from 29 December 1969 to the Unix epoch
	return (day+mondayBefore1970)*24*60 + int64(at.Hour()*60+at.Minute())
}

// Observe remembers the gap's share of those expected at a moment, whose Location is the site's. A series beyond MaxSeries is
// not kept.
func (h *History) Observe(k Key, at time.Time, share float64) {
	m := minute(at)
	if math.IsNaN(share) || m < 0 { // m: a clock that was never set
		return
	}
	s, ok := h.series[k]
	if !ok {
		if len(h.series) >= MaxSeries {
			return
		}
		s = series{}
		h.series[k] = s
	}
	week := m / minutes
	row, ok := s[week]
	if !ok {
		row = newRow()
		s[week] = row
		for w := range s {
			if w < week-int64(h.weeks) {
				delete(s, w)
			}
		}
	}
	row[m%minutes] = int16(math.Round(min(max(share, -limit), limit) * scale))
}

func newRow() *[minutes]int16 {
	row := &[minutes]int16{}
	for i := range row {
		row[i] = missing
	}
	return row
}

// Score is how many standard deviations a share is above what was usual at the same weekday and minute. No deviation is taken to
// be smaller than floor: a share that was the same for weeks must not make an alarm of one person. Weeks is how many were
// compared with; below MinWeeks there is no score.
//
// Each earlier week stands with the share that is nearest to this one within some minutes, so that a lunch that begins three
// minutes early is no alarm, and neither does its steep edge hide one.
func (h *History) Score(k Key, at time.Time, share, floor float64) (z float64, weeks int) {
	s := h.series[k]
	m := minute(at)
	nearest := make([]float64, 0, MaxWeeks)
	for back := range h.weeks {
		if v, ok := s.nearest(m-int64(back+1)*minutes, share); ok {
			nearest = append(nearest, v)
		}
	}
	if len(nearest) < MinWeeks {
		return 0, len(nearest)
	}
	usual := median(nearest)
	for i, v := range nearest {
		nearest[i] = math.Abs(v - usual)
	}
	return (share - usual) / max(consistent*median(nearest), floor), len(nearest)
}

func (s series) nearest(m int64, share float64) (best float64, ok bool) {
	for at := max(0, m-tolerance); at <= m+tolerance; at++ {
		row := s[at/minutes]
		if row == nil || row[at%minutes] == missing {
			continue
		}
		v := float64(row[at%minutes]) / scale
		if !ok || math.Abs(v-share) < math.Abs(best-share) {
			best, ok = v, true
		}
	}
	return best, ok
}

// median sorts the values, of which there is at least one.
func median(v []float64) float64 {
	slices.Sort(v)
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2
}
