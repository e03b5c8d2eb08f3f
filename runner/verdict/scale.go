package verdict

import "math"

// scale is one on which nights, and sites, spread evenly, whatever the figures' size.
type scale int

const (
	logarithm scale = iota // of percentiles, and of shares of many failures: whatever makes them worse multiplies them
	arcsine                // of shares of few or no failures, which chance alone makes differ
)

// leastValue is a histogram's microsecond, in milliseconds: the logarithm of less is none.
const leastValue = 0.001

// fewFailures is the mean number of failures below which chance is the greater part of their spread, and their logarithm lopsided.
const fewFailures = 3

// scaleOf is what figures of one kind are compared on.
func scaleOf(figures []Figure) scale {
	var failed int64
	for _, f := range figures {
		if f.Unit != Share {
			return logarithm
		}
		failed += f.Failed
	}
	if failed < fewFailures*int64(len(figures)) {
		return arcsine
	}
	return logarithm
}

// level is where a figure stands on the scale.
func (s scale) level(f Figure) float64 {
	switch {
	case s == arcsine: // Anscombe's, whose variance is that of chance alone wherever it stands: one over the samples
		return 2 * math.Asin(math.Sqrt((float64(f.Failed)+3./8)/(float64(f.Samples)+3./4)))
	case f.Unit == Share:
		return math.Log((float64(f.Failed) + 0.5) / float64(f.Samples))
	}
	return math.Log(max(f.Value, leastValue))
}

// value is what stands at a level.
func (s scale) value(level float64) float64 {
	if s == arcsine {
		return math.Pow(math.Sin(level/2), 2)
	}
	return math.Exp(level)
}

// noise is the variance that a figure's level has by chance alone, if what is usual is a value.
func (s scale) noise(f Figure, usual float64) float64 {
	switch {
	case s == arcsine:
		return 1 / float64(max(f.Samples, 1))
	case f.Unit == Share:
		return 1 / max(usual*float64(f.Samples), 1)
	}
	return max(leastSpread*leastSpread, f.Uncertain*f.Uncertain)
}
