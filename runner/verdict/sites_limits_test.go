package verdict

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/stat"
)

// beyond is, by k-1, how many standard deviations of the rest the best of the k worst of n normal sites is beyond the rest's mean.
func beyond(rng *rand.Rand, n, ks int) []float64 {
	levels := make([]float64, n)
	for i := range levels {
		levels[i] = rng.NormFloat64()
	}
	slices.SortFunc(levels, func(a, b float64) int { return cmp.Compare(b, a) })
	out := make([]float64, ks)
	for k := 1; k <= ks; k++ {
		mean, spread := stat.MeanStdDev(levels[k:], nil)
		out[k-1] = (levels[k-1] - mean) / spread
	}
	return out
}

// TestSiteLimits counts how often sites of one kind are called, for each number of sites, and shows what the limits would be by
// these counts.
func TestSiteLimits(t *testing.T) {
	const nights, wanted = 40_000, 0.02
	for i, limits := range siteLimits {
		n := minSites + i
		rng := rand.New(rand.NewPCG(uint64(n), 6))
		ks := min(3, n/3)
		require.Len(t, limits, ks)
		all := make([][]float64, ks)
		called := 0
		for range nights {
			hit := false
			for k, b := range beyond(rng, n, ks) {
				all[k] = append(all[k], b)
				hit = hit || b >= limits[k]
			}
			if hit {
				called++
			}
		}
		by := make([]float64, ks)
		for k := range all {
			slices.Sort(all[k])
			by[k] = all[k][int(float64(nights)*(1-wanted/float64(ks)))]
		}
		share := float64(called) / nights
		t.Logf("%2d sites: called on %.2f %% of nights; by these counts %.2f", n, 100*share, by)
		require.InDelta(t, wanted, share, 0.005, "%d sites", n)
	}
}
