package results

import (
	"fmt"
	"slices"
	"time"
)

// Set is the aggregates of one window, one a series. It is not safe for concurrent use.
type Set struct {
	start, end time.Time
	series     map[Series]*Aggregate
}

// NewSet returns an empty set for the window from start to before end.
func NewSet(start, end time.Time) *Set {
	return &Set{start: start, end: end, series: make(map[Series]*Aggregate)}
}

// Add records a sample of a series, as Aggregate.Add.
func (s *Set) Add(series Series, value float64, at time.Time) error {
	a := s.series[series]
	if a == nil {
		a = New(series, s.start, s.end)
	}
	if err := a.Add(value, at); err != nil {
		return err
	}
	s.series[series] = a
	return nil
}

// Merge merges a into the aggregate of its series and leaves a as it is.
func (s *Set) Merge(a *Aggregate) error {
	if have := s.series[a.Series]; have != nil {
		return have.Merge(a)
	}
	s.series[a.Series] = a.Clone()
	return nil
}

// Aggregates returns the set's aggregates, ordered by series. They still belong to the set.
func (s *Set) Aggregates() []*Aggregate {
	all := make([]*Aggregate, 0, len(s.series))
	for _, a := range s.series {
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b *Aggregate) int { return a.Series.compare(b.Series) })
	return all
}

// Totals merges aggregates of any windows into one a series, ordered by series, and leaves them as they are.
func Totals(aggregates []*Aggregate) ([]*Aggregate, error) {
	total := Set{series: make(map[Series]*Aggregate)}
	for _, a := range aggregates {
		if err := total.Merge(a); err != nil {
			return nil, fmt.Errorf("totalling: %w", err)
		}
	}
	return total.Aggregates(), nil
}
