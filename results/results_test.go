package results

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func series(kind Kind) Series {
	return Series{Metric: "vdi_" + string(kind), Kind: kind, Tags: Tags{Site: "a", Step: "type"}}
}

func window(kind Kind, n int) *Aggregate {
	start := epoch.Add(time.Duration(n) * 10 * time.Second)
	return New(series(kind), start, start.Add(10*time.Second))
}

// latencies are log-normal from 10 microseconds to minutes, as latencies under load are.
func latencies(rng *rand.Rand, n int) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = math.Exp(rng.NormFloat64()*2 + 2)
	}
	return values
}

func TestAddByKind(t *testing.T) {
	tests := []struct {
		kind                           Kind
		values                         []float64
		count, clamped                 int64
		sum, least, most, last, median float64
	}{
		{kind: Trend, values: []float64{3, 1, 2}, count: 3, sum: 6, least: 1, most: 3, median: 2},
		{kind: Trend, values: []float64{-1, 4e6}, count: 2, clamped: 2, sum: 3999999, least: -1, most: 4e6, median: 0},
		{kind: Counter, values: []float64{5, 0.5}, count: 2, sum: 5.5, least: 0.5, most: 5, median: math.NaN()},
		{kind: Gauge, values: []float64{7, 9, 8}, count: 3, sum: 24, least: 7, most: 9, last: 8, median: math.NaN()},
		{kind: Rate, values: []float64{0, 1, 2.5, 0}, count: 4, sum: 2, least: 0, most: 1, median: math.NaN()},
		{kind: Trend, median: math.NaN()},
	}
	for _, test := range tests {
		t.Run(string(test.kind), func(t *testing.T) {
			a := window(test.kind, 0)
			for i, v := range test.values {
				require.NoError(t, a.Add(v, epoch.Add(time.Duration(i)*time.Second)))
			}
			require.Equal(t, test.count, a.Count)
			require.Equal(t, test.clamped, a.Clamped)
			require.Equal(t, test.sum, a.Sum)
			require.Equal(t, test.least, a.Min)
			require.Equal(t, test.most, a.Max)
			require.Equal(t, test.last, a.Last)
			if math.IsNaN(test.median) {
				require.True(t, math.IsNaN(a.Quantile(0.5)))
			} else {
				require.InDelta(t, test.median, a.Quantile(0.5), test.median*0.001+0.001)
			}
		})
	}
}

func TestAddRefusesWhatIsNoNumber(t *testing.T) {
	for _, kind := range []Kind{Trend, Counter, Gauge, Rate} {
		for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			a := window(kind, 0)
			require.ErrorIs(t, a.Add(v, epoch), ErrNotFinite)
			require.Zero(t, a.Count)
		}
	}
}

func TestQuantileOutOfRange(t *testing.T) {
	a := window(Trend, 0)
	require.NoError(t, a.Add(1, epoch))
	for _, q := range []float64{-0.1, 1.1, math.NaN()} {
		require.True(t, math.IsNaN(a.Quantile(q)), "q=%v", q)
	}
	require.Equal(t, 1.0, a.Quantile(0))
	require.Equal(t, 1.0, a.Quantile(1))
}

func TestQuantileErrorBound(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		values := latencies(rng, 1+rng.IntN(3000))
		a := window(Trend, 0)
		for _, v := range values {
			require.NoError(t, a.Add(v, epoch))
		}
		slices.Sort(values)
		for _, q := range []float64{0, 0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1} {
			// The rank itself may fall to either neighbour, because q*n is rounded.
			rank := q * float64(len(values))
			low := values[max(0, int(math.Floor(rank))-1)]
			high := values[min(len(values)-1, int(math.Ceil(rank)))]
			got := a.Quantile(q)
			require.GreaterOrEqual(t, got, low-low*0.001-0.001, "seed %d q %v", seed, q)
			require.LessOrEqual(t, got, high+high*0.001+0.001, "seed %d q %v", seed, q)
		}
	}
}

func TestMergeOfPartsIsTheWhole(t *testing.T) {
	for _, kind := range []Kind{Trend, Counter, Gauge, Rate} {
		t.Run(string(kind), func(t *testing.T) {
			for seed := range uint64(20) {
				rng := rand.New(rand.NewPCG(seed, 2))
				parts := make([]*Aggregate, 1+rng.IntN(6))
				for i := range parts {
					parts[i] = window(kind, i)
				}
				whole := New(series(kind), parts[0].Start, parts[len(parts)-1].End)
				for i, v := range latencies(rng, rng.IntN(2000)) {
					part := parts[rng.IntN(len(parts))]
					at := epoch.Add(time.Duration(i) * time.Millisecond)
					require.NoError(t, whole.Add(v, at))
					require.NoError(t, part.Add(v, at))
				}
				rng.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })

				merged := parts[0].Clone()
				before := parts[0].Count
				for _, part := range parts[1:] {
					require.NoError(t, merged.Merge(part))
				}
				require.Equal(t, before, parts[0].Count, "the clone is independent")
				requireSame(t, whole, merged)
			}
		})
	}
}

// requireSame allows only the sum to differ, by the rounding of additions in another order.
func requireSame(t *testing.T, want, got *Aggregate) {
	t.Helper()
	require.InEpsilon(t, want.Sum+1, got.Sum+1, 1e-9)
	for q := 0.0; q <= 1; q += 0.125 {
		if w := want.Quantile(q); !math.IsNaN(w) {
			require.Equal(t, w, got.Quantile(q))
		}
	}
	w, g := want.Clone(), got.Clone()
	g.Sum, w.micros, g.micros = w.Sum, nil, nil
	require.Equal(t, w, g)
}

func TestMergeRefusesAnotherSeries(t *testing.T) {
	a, b := window(Trend, 0), window(Counter, 0)
	require.ErrorIs(t, a.Merge(b), ErrDifferentSeries)
}

func TestMergeDoesNotDependOnOrderForGauges(t *testing.T) {
	a, b := window(Gauge, 0), window(Gauge, 0)
	require.NoError(t, a.Add(1, epoch))
	require.NoError(t, b.Add(2, epoch))
	ab, ba := a.Clone(), b.Clone()
	require.NoError(t, ab.Merge(b))
	require.NoError(t, ba.Merge(a))
	require.Equal(t, ab, ba)
}

func TestSetKeepsSeriesApart(t *testing.T) {
	set := NewSet(epoch, epoch.Add(time.Second))
	one, other := series(Trend), series(Trend)
	other.Tags.Site = "b"
	require.NoError(t, set.Add(other, 2, epoch))
	require.NoError(t, set.Add(one, 1, epoch))
	require.NoError(t, set.Add(one, 3, epoch))
	require.True(t, errors.Is(set.Add(series(Counter), math.NaN(), epoch), ErrNotFinite))

	all := set.Aggregates()
	require.Len(t, all, 2, "a series whose only sample was refused does not appear")
	require.Equal(t, one, all[0].Series)
	require.Equal(t, int64(2), all[0].Count)
	require.Equal(t, other, all[1].Series)
}

func TestTotalsMergesWindows(t *testing.T) {
	first, second := window(Trend, 0), window(Trend, 1)
	require.NoError(t, first.Add(1, epoch))
	require.NoError(t, second.Add(2, epoch))
	totals, err := Totals([]*Aggregate{second, first})
	require.NoError(t, err)
	require.Len(t, totals, 1)
	require.Equal(t, int64(2), totals[0].Count)
	require.Equal(t, first.Start, totals[0].Start)
	require.Equal(t, second.End, totals[0].End)
	require.Equal(t, 1.5, totals[0].Mean())
	require.Equal(t, int64(1), first.Count)
}
