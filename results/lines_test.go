package results

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	hdrhistogram "github.com/HdrHistogram/hdrhistogram-go"
	"github.com/stretchr/testify/require"
)

// one returns an aggregate of a kind with a few hundred samples.
func one(t testing.TB, kind Kind) *Aggregate {
	rng := rand.New(rand.NewPCG(7, 7))
	a := window(kind, 3)
	for _, v := range latencies(rng, 500) {
		require.NoError(t, a.Add(v, epoch))
	}
	return a
}

func encode(t testing.TB, aggregates ...*Aggregate) string {
	var b bytes.Buffer
	e := NewEncoder(&b)
	for _, a := range aggregates {
		require.NoError(t, e.Encode(a))
	}
	return b.String()
}

func TestLinesRoundTrip(t *testing.T) {
	var all []*Aggregate
	for _, kind := range []Kind{Trend, Counter, Gauge, Rate} {
		all = append(all, one(t, kind), window(kind, 1))
	}
	text := encode(t, all...)
	require.Equal(t, len(all), strings.Count(text, "\n"))

	got, err := Read(strings.NewReader(text))
	require.NoError(t, err)
	require.Len(t, got, len(all))
	for i, a := range all {
		requireSame(t, a, got[i])
		require.NoError(t, got[i].Merge(a), "a decoded aggregate can be merged")
	}
}

// TestHistogramIsHDRs checks that other HdrHistogram tools can read what is written.
func TestHistogramIsHDRs(t *testing.T) {
	a := one(t, Trend)
	encoded, err := a.micros.Encode()
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(encoded), "HISTFAA"), "the prefix of every compressed V2 histogram")
	dense, err := hdrhistogram.Decode(encoded)
	require.NoError(t, err)
	require.Equal(t, a.Count, dense.TotalCount())
	require.Equal(t, a.micros.ValueAtPercentile(99), dense.ValueAtQuantile(99))
}

func TestDecodeRefuses(t *testing.T) {
	trend := strings.TrimSpace(encode(t, one(t, Trend)))
	rate := strings.TrimSpace(encode(t, one(t, Rate)))
	gauge := strings.TrimSpace(encode(t, one(t, Gauge)))
	foreign, err := hdrhistogram.NewPacked(1, 1<<62, 5).Encode()
	require.NoError(t, err)
	tests := []struct{ name, line, says string }{
		{"empty line", "", "empty"},
		{"half a line", trend[:len(trend)/2], "not an aggregate"},
		{"unknown field", strings.Replace(trend, `"count"`, `"colour":1,"count"`, 1), "colour"},
		{"unknown tag", strings.Replace(trend, `"site"`, `"user":"u","site"`, 1), "user"},
		{"two values", trend + trend, "more than one"},
		{"no name", strings.Replace(trend, "vdi_trend", "", 1), "name"},
		{"name with space", strings.Replace(trend, "vdi_trend", "vdi trend", 1), "name"},
		{"unknown kind", strings.Replace(trend, `"kind":"trend"`, `"kind":"median"`, 1), "median"},
		{"no window", strings.Replace(trend, `"start":"2026`, `"start":"2027`, 1), "window"},
		{"negative count", strings.Replace(trend, `"count":500`, `"count":-500`, 1), "count"},
		{"other count", strings.Replace(trend, `"count":500`, `"count":501`, 1), "histogram holds 500"},
		{"trend without histogram", strings.Replace(rate, `"kind":"rate"`, `"kind":"trend"`, 1), "histogram"},
		{"counter with histogram", strings.Replace(trend, `"kind":"trend"`, `"kind":"counter"`, 1), "histogram"},
		{"rate above 1", strings.Replace(rate, `"max":1`, `"max":2`, 1), "rate"},
		{"rate with last", strings.Replace(gauge, `"kind":"gauge"`, `"kind":"counter"`, 1), "gauge"},
		{"foreign geometry", `{"metric":"m","kind":"trend","start":"2026-01-01T00:00:00Z","end":"2026-01-01T00:00:01Z",` +
			`"count":0,"sum":0,"min":0,"max":0,"histogram":"` + string(foreign) + `"}`, "5 figures"},
		{"broken base64", strings.Replace(trend, "HISTFAA", "!ISTFAA", 1), "base64"},
		{"other cookie", strings.Replace(trend, "HISTFAA", "AISTFAA", 1), "histogram"},
		{"blank line", " \t", "empty"},
		{"too long", strings.Repeat(" ", MaxLine+1), "too long"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			good := encode(t, one(t, Counter))
			all, err := Read(strings.NewReader(good + good + test.line + "\n" + good))
			require.Len(t, all, 2, "what stands before the bad line is kept")
			var at *LineError
			require.True(t, errors.As(err, &at), "%v", err)
			require.Equal(t, 3, at.Line)
			require.ErrorContains(t, err, "line 3")
			require.ErrorContains(t, err, test.says)
		})
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestEncodeReportsTheWriter(t *testing.T) {
	err := NewEncoder(brokenPipe{}).Encode(one(t, Trend))
	require.ErrorIs(t, err, io.ErrClosedPipe)
	require.ErrorContains(t, err, "vdi_trend")
}

// FuzzDecode checks that any input gives aggregates that can be written again, or an error with a line.
func FuzzDecode(f *testing.F) {
	for _, kind := range []Kind{Trend, Counter, Gauge, Rate} {
		f.Add([]byte(encode(f, one(f, kind), window(kind, 0))))
	}
	f.Add([]byte(`{"metric":"m","kind":"trend","histogram":"HISTFAAAAAA="}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := Read(bytes.NewReader(text))
		var at *LineError
		if err != nil && !errors.As(err, &at) {
			t.Fatalf("error without a line: %v", err)
		}
		for _, a := range all {
			a.Quantile(0.99)
		}
		again, err := Read(strings.NewReader(encode(t, all...)))
		require.NoError(t, err)
		require.Len(t, again, len(all))
	})
}
