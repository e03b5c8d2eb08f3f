package demo

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// golden compares text with a file of testdata, or writes it there.
func golden(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if os.Getenv("DESKSTORM_UPDATE") != "" {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), text)
}

func exampleView() view {
	nan := math.NaN()
	return view{
		Plan:  plan{kind: "simulated", clients: 200, duration: time.Minute, profile: "callcenter", probeEvery: 15 * time.Second},
		Begun: true, Elapsed: 38 * time.Second,
		Connected: 199, LoggedIn: 200, FailedLogins: 0, Ended: 1,
		Wait: 3.43, Steps: map[string]float64{"link": 0.69, "auth": 0.31, "main": 1.93, "picture": 0.2},
		KeysPerSecond: 481.4, Keys: 17033, ReceivedPerSecond: 360_000, SentPerSecond: 12_300,
		Recent: 15 * time.Second,
		Trips: []tripView{
			{Name: "server", Median: 2.57, P95: 14.7, P95s: []float64{nan, 12, 15, 14, 13}},
			{Name: "guest", Median: 17.6, P95: 142.8, Lost: 12, P95s: []float64{nan, 40, 43, 44, 140}},
			{Name: "visible", Median: nan, P95: nan, Lost: 13, P95s: []float64{nan, nan, nan, nan, nan}},
		},
		Silent: 13, Lost: []float64{0, 0, 0, 5, 20},
		Faults: []faultView{
			{After: 30 * time.Second, What: "a host dies: 20 desktops hang for 10 s", Noticed: 1940 * time.Millisecond},
			{After: 36 * time.Second, What: "a second client takes over a desktop"},
			{What: "a desktop is killed", Failed: errors.New("no such desktop")},
		},
	}
}

func TestRenderView(t *testing.T) {
	for name, s := range map[string]style{
		"live-80x24":  {width: 80, height: 23},
		"live-120x40": {width: 120, height: 39, colour: true},
		"live-40x10":  {width: 40, height: 9},
	} {
		t.Run(name, func(t *testing.T) {
			text := renderView(exampleView(), s)
			golden(t, name, text)
			lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
			require.LessOrEqual(t, len(lines), s.height)
			for _, l := range lines {
				for _, sgr := range []string{sgrBold, sgrDim, sgrRed, sgrGreen, sgrReset} {
					l = strings.ReplaceAll(l, sgr, "")
				}
				require.LessOrEqual(t, utf8.RuneCountInString(l), s.width)
				require.NotContains(t, l, "\x1b")
			}
		})
	}
	golden(t, "live-starting", renderView(view{Plan: exampleView().Plan}, style{width: 80, height: 23}))
}

func TestRenderLine(t *testing.T) {
	golden(t, "line", renderLine(exampleView()))
	require.Equal(t, "starting k6 and its thin clients\n", renderLine(view{}))
}

func exampleSummary() *Summary {
	noticed, received := 1.9, int64(23_950)
	return &Summary{
		Desktops: "simulated", Clients: 200, Profile: "callcenter", DurationSeconds: 60, Seed: 1,
		LoggedIn: 198, FailedLogins: map[string]int{"link": 1, "auth": 1},
		Wait: Quantiles{198, 3.43, 10, 22.2},
		Steps: []Step{
			{"link", Quantiles{198, 0.69, 1.8, 2.5}}, {"auth", Quantiles{198, 0.31, 1.2, 2.3}},
			{"main", Quantiles{198, 1.93, 8.8, 13}}, {"picture", Quantiles{198, 0.2, 1.3, 5.3}},
		},
		Keys: 23_950, KeysReceived: &received,
		Trips: []Trip{
			{"server", 0, Quantiles{735, 2.58, 15.5, 20.8}},
			{"guest", 20, Quantiles{715, 17.6, 44.8, 53.8}},
			{"visible", 12, Quantiles{0, 0, 0, 0}},
		},
		Sites: []Site{
			{"north", 8, Quantiles{455, 15, 27.2, 35.2}},
			{"south", 24, Quantiles{1220, 28.7, 51.6, 10_590}},
		},
		Losses: []Loss{
			{"a host dies: 20 desktops hang for 10 s", map[string]int{"guest": 13, "visible": 12}},
			{"", map[string]int{"guest": 7}},
		},
		Ended: []Ended{{"gone", 2}, {"evicted", 1}, {"protocol", 1}},
		Faults: []Fault{
			{What: "a host dies: 20 desktops hang for 10 s", Desktops: 20, AfterSeconds: 30, NoticedSeconds: &noticed},
			{What: "a second client takes over a desktop", Desktops: 1, AfterSeconds: 36},
			{What: "a desktop is killed", Desktops: 1, Error: "no such desktop"},
		},
		BytesReceived: 16_600_000, BytesSent: 674_000, SessionSeconds: 11_000,
		Harness:           Harness{K6CPUSeconds: 12, K6MemoryBytes: 219_000_000, DesktopsCPUSeconds: 9.6},
		FirstLoginSeconds: 2.43,
	}
}

func TestRenderSummary(t *testing.T) {
	text := renderSummary(exampleSummary(), style{})
	golden(t, "summary", text)
	for l := range strings.Lines(text) {
		require.LessOrEqual(t, utf8.RuneCountInString(strings.TrimSuffix(l, "\n")), 80, l)
	}

	s := exampleSummary()
	*s.KeysReceived = 23_900
	require.Contains(t, renderSummary(s, style{}), "The desktops counted 23,900: 50 fewer than were sent.")
	*s.KeysReceived = 23_951
	require.Contains(t, renderSummary(s, style{}), "The desktops counted 23,951: 1 more than k6 told of.")
	s.Desktops, s.KeysReceived, s.Interrupted = "QEMU", nil, true
	text = renderSummary(s, style{})
	require.NotContains(t, text, "counted")
	require.Contains(t, text, "stopped early")
	require.Contains(t, text, "DESKSTORM_DESKTOPS")

	golden(t, "summary-empty", renderSummary((&model{total: newModel(plan{}).total, plan: plan{kind: "simulated", clients: 3, duration: time.Minute, profile: "callcenter"}}).summary(), style{}))
}

func TestNumbers(t *testing.T) {
	for ms, want := range map[float64]string{
		0: "0.00 ms", 9.994: "9.99 ms", 9.996: "10.0 ms", 99.96: "100 ms", 1500: "1500 ms", 12_345: "12.3 s", math.NaN(): "-",
	} {
		require.Equal(t, want, millis(ms))
	}
	for bytes, want := range map[float64]string{0: "0 B", 999: "999 B", 1500: "1.5 kB", 360_000: "360 kB", 2.5e6: "2.5 MB", 7e9: "7.0 GB"} {
		require.Equal(t, want, size(bytes))
	}
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1234: "-1,234", -123: "-123"} {
		require.Equal(t, want, number(n))
	}
}

func TestSparkline(t *testing.T) {
	nan := math.NaN()
	require.Equal(t, " ▁▄█", sparkline([]float64{nan, 0, 3.9, 8}))
	require.Equal(t, "▁▁", sparkline([]float64{0, 0}))
	require.Equal(t, "", sparkline(nil))
	require.Equal(t, "  ", sparkline([]float64{nan, nan}))
}

func TestDisplayOnATerminalDrawsInPlace(t *testing.T) {
	var out bytes.Buffer
	d := newDisplay(Options{Out: &out, Size: func() (int, int) { return 80, 24 }})
	m := recordedModel(t, recorded(12))
	d.open()
	d.show(m, recorded(13))
	d.show(m, recorded(13.1)) // too early
	d.show(m, recorded(14))
	d.close()
	text := out.String()
	require.True(t, strings.HasPrefix(text, enterScreen))
	require.True(t, strings.HasSuffix(text, leaveScreen))
	require.Equal(t, 2, strings.Count(text, home))
	require.NotContains(t, text, sgrRed, "no colours were asked for")
}

func TestDisplayElsewhereWritesLines(t *testing.T) {
	var out bytes.Buffer
	d := newDisplay(Options{Out: &out})
	d.open()
	for second := 1.0; second <= 15; second += 0.5 {
		d.show(recordedModel(t, recorded(second-1)), recorded(second))
	}
	d.close()
	text := out.String()
	require.NotContains(t, text, "\x1b")
	require.Equal(t, 1, strings.Count(text, "0:07  6 desktops hang\n"))
	require.Equal(t, 1, strings.Count(text, "noticed within 3.4 s: 6 desktops hang\n"))
	require.Equal(t, 3, strings.Count(text, " connected ")+strings.Count(text, "starting"), text)
}
