package results

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPack(t *testing.T) {
	for _, kind := range []Kind{Trend, Counter, Gauge, Rate} {
		a, b := one(t, kind), window(kind, 4)
		if kind == Trend {
			require.NoError(t, a.Add(0, epoch))
			require.NoError(t, a.Add(-5, epoch))
			require.NoError(t, a.Add(2*float64(MaxDuration.Milliseconds()), epoch))
		}
		got, err := Unpack(a.Series, Pack([]*Aggregate{a, b}))
		require.NoError(t, err)
		require.Len(t, got, 2)
		requireSame(t, a, got[0])
		requireSame(t, b, got[1])
		require.NoError(t, got[0].Merge(a), "an unpacked aggregate can be merged")
		none, err := Unpack(a.Series, Pack(nil))
		require.NoError(t, err)
		require.Empty(t, none)

		packed := Pack([]*Aggregate{a, b})
		for i := range packed {
			_, err := Unpack(a.Series, packed[:i])
			require.ErrorIs(t, err, ErrPacked)
		}
		_, err = Unpack(a.Series, append(packed, 0))
		require.ErrorIs(t, err, ErrPacked)
	}
}

func TestBuckets(t *testing.T) {
	a := one(t, Trend)
	var n int64
	last := -1.0
	for value, count := range a.Buckets() {
		require.Greater(t, value, last)
		last = value
		n += count
	}
	require.Equal(t, a.Count, n)
	require.InEpsilon(t, a.Max, last, 0.002)
	for range one(t, Gauge).Buckets() {
		t.Fatal("a gauge has none")
	}
}

// FuzzUnpack checks that any bytes give aggregates that can be packed again, or an error.
func FuzzUnpack(f *testing.F) {
	for _, kind := range []Kind{Trend, Counter, Gauge, Rate} {
		f.Add(string(kind), Pack([]*Aggregate{one(f, kind), window(kind, 0)}))
	}
	f.Fuzz(func(t *testing.T, kind string, packed []byte) {
		series := Series{Metric: "m", Kind: Kind(kind)}
		all, err := Unpack(series, packed)
		if err != nil {
			require.ErrorIs(t, err, ErrPacked)
			return
		}
		again, err := Unpack(series, Pack(all))
		require.NoError(t, err)
		require.Len(t, again, len(all))
	})
}

func BenchmarkPack(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	var hour []*Aggregate
	for w := range 360 {
		start := epoch.Add(time.Duration(w) * 10 * time.Second)
		a := New(Series{Metric: "vdi_step_duration", Kind: Trend}, start, start.Add(10*time.Second))
		for _, v := range latencies(rng, 100) {
			require.NoError(b, a.Add(v, start))
		}
		hour = append(hour, a)
	}
	packed := Pack(hour)
	b.Run("pack", func(b *testing.B) {
		for b.Loop() {
			Pack(hour)
		}
		b.ReportMetric(float64(len(packed))/float64(len(hour)), "B/aggregate")
	})
	b.Run("unpack", func(b *testing.B) {
		for b.Loop() {
			if _, err := Unpack(hour[0].Series, packed); err != nil {
				b.Fatal(err)
			}
		}
	})
}
