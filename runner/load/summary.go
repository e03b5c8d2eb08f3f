package load

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/deskstorm/deskstorm/results"
)

// Summary is what a load.k6 returns, for the journal and for tolerances.
type Summary struct {
	Script     string    `json:"script"`
	VUs        int       `json:"virtual_users"`
	Processes  int       `json:"processes"`
	Began      time.Time `json:"began"`
	Seconds    float64   `json:"seconds"`
	Stopped    bool      `json:"stopped,omitempty"` // before the script ended
	Iterations int64     `json:"iterations"`
	Dropped    int64     `json:"dropped_iterations"`
	ExitCodes  []int     `json:"exit_codes"` // of the processes, by their segments
	CPUSeconds float64   `json:"cpu_seconds"`
	MachineCPU float64   `json:"machine_cpu"`    // highest busy share of any 10 s, 0 to 1
	Lost       bool      `json:"lost,omitempty"` // results are not complete; the generators say why
	Metrics    []Metric  `json:"metrics"`
}

// Metric is all that the load measured of a metric, and of a step where it has steps.
type Metric struct {
	Metric string `json:"metric"`
	Step   string `json:"step,omitempty"`
	Count  int64  `json:"count,omitempty"` // samples
	// Of durations, in milliseconds.
	P50 float64 `json:"p50_ms,omitempty"`
	P95 float64 `json:"p95_ms,omitempty"`
	P99 float64 `json:"p99_ms,omitempty"`
	Max float64 `json:"max_ms,omitempty"`
	// Sum is of counters.
	Sum *float64 `json:"sum,omitempty"`
	// Share is of rates: which part of the samples was not zero.
	Share *float64 `json:"share,omitempty"`
}

// summary is what there is once all processes have ended.
func (r *running) summary() Summary {
	s := Summary{
		Script: r.name, VUs: r.needs.VUs, Processes: r.processes, Began: r.began, Seconds: round(time.Since(r.began).Seconds()),
		ExitCodes: []int{}, Metrics: []Metric{},
	}
	slices.SortFunc(r.generators, byBeginning)
	for _, g := range r.generators {
		s.Iterations += g.Iterations
		s.Dropped += g.Dropped
		s.ExitCodes = append(s.ExitCodes, g.ExitCode)
		s.CPUSeconds = round(s.CPUSeconds + g.CPUSeconds)
		s.MachineCPU = round(max(s.MachineCPU, g.MachineCPU))
		s.Stopped = s.Stopped || g.Stopped
		s.Lost = s.Lost || g.Lost != ""
	}
	for _, a := range r.totals {
		s.Metrics = append(s.Metrics, metric(a))
	}
	slices.SortFunc(s.Metrics, func(a, b Metric) int {
		return cmp.Or(cmp.Compare(a.Metric, b.Metric), cmp.Compare(a.Step, b.Step))
	})
	return s
}

func metric(a *results.Aggregate) Metric {
	m := Metric{Metric: a.Metric, Step: a.Tags.Step, Count: a.Count}
	switch {
	case a.Count == 0:
	case a.Kind == results.Trend:
		m.P50, m.P95, m.P99, m.Max = round(a.Quantile(.5)), round(a.Quantile(.95)), round(a.Quantile(.99)), round(a.Max)
	case a.Kind == results.Rate:
		share := a.Mean()
		m.Share = &share
	default:
		m.Sum = &a.Sum
	}
	return m
}

// round leaves three places: microseconds of milliseconds.
func round(x float64) float64 { return math.Round(x*1000) / 1000 }
