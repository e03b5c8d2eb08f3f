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
		Plan: plan{path: PathBroker, kind: "simulated", people: 200, duration: 75 * time.Second, arrivals: 30 * time.Second,
			profile: "callcenter", probeEvery: 15 * time.Second},
		Begun: true, Elapsed: 28 * time.Second,
		Arrived: 198, LoggingIn: 23, Working: 168, Failed: 6, Ended: 1,
		LoginsPerSecond: 8.34, Wait: 1282, WaitP95: 3195, Over: 10 * time.Second, Longest: 3,
		Parts: []partView{
			{"auth", 2.33, 1205, 0.15}, {"match", 0.02, 0.06, 0.00002}, {"allocate", 1.42, 7.08, 0.002}, {"boot", 2740, 3224, 0.828},
			{"console", 1.6, 4, 0.003}, {"rest", 3.5, 22.6, 0.006}, {"link", 0.51, 8.58, 0.001}, {"ticket", 0.26, 5.51, 0.001},
			{"main", 1.61, 19.8, 0.009}, {"picture", nan, nan, 0},
		},
		Pool:          &poolState{Ready: 0, Building: 16, Assigned: 173},
		KeysPerSecond: 481.4, Keys: 17033, ReceivedPerSecond: 360_000, SentPerSecond: 12_300,
		Recent: 15 * time.Second,
		Trips: []tripView{
			{Name: "server", Median: 2.57, P95: 14.7, P95s: []float64{nan, 12, 15, 14, 13}},
			{Name: "guest", Median: 17.6, P95: 142.8, Lost: 12, P95s: []float64{nan, 40, 43, 44, 140}},
			{Name: "visible", Median: nan, P95: nan, Lost: 13, P95s: []float64{nan, nan, nan, nan, nan}},
		},
		Silent: 13, Lost: []float64{0, 0, 0, 5, 20},
		Faults: []faultView{
			{After: 11 * time.Second, What: "LDAP answers 0.3 s late, for 4.5 s", Noticed: 1440 * time.Millisecond},
			{After: 18 * time.Second, What: "Nova answers 500 for consoles, for 3 s or more", Noticed: 940 * time.Millisecond},
			{After: 26 * time.Second, What: "a second client takes over a desktop"},
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

	// The old way has no pool, in the afternoon nobody comes, and before the first login there is nothing to compare.
	v := exampleView()
	v.Plan.path, v.Pool, v.Elapsed, v.Over, v.Faults = PathCloud, nil, time.Minute, 0, nil
	golden(t, "live-cloud", renderView(v, style{width: 80, height: 23}))
	v.Wait, v.Longest, v.Arrived = math.NaN(), -1, 0
	text := renderView(v, style{width: 80, height: 23})
	require.Contains(t, text, "logins   nobody yet")
	require.NotContains(t, text, "came:")
}

func TestRenderLine(t *testing.T) {
	golden(t, "line", renderLine(exampleView()))
	require.Equal(t, "starting k6 and its thin clients\n", renderLine(view{}))
}

func exampleSummary() *Summary {
	noticed, received := 1.9, int64(23_950)
	q := func(count int64, median, p95 float64) Quantiles { return Quantiles{count, median, p95, 2 * p95} }
	return &Summary{
		Path: PathBroker, Desktops: "simulated", Clients: 200, Profile: "callcenter", DurationSeconds: 75, ArrivalsSeconds: 30, Seed: 1,
		LoggedIn: 194, Connected: 193, LoggedOut: true,
		Failures: []Failure{
			{loginFailed, "console", "cloud-failed", 4}, {connectFailed, "link", "console-refused", 1}, {loginFailed, "", "broker-down", 1},
		},
		Login: q(194, 909, 3110), Wait: q(193, 913, 3117), WaitSeconds: 209.5,
		Parts: []Part{
			{"auth", loginDuration, "auth", 62.86, 0.3, q(194, 2.33, 1205)},
			{"match", loginDuration, "match", 0.004, 0.00002, q(194, 0.02, 0.06)},
			{"allocate", loginDuration, "allocate", 0.37, 0.002, q(194, 1.42, 7.08)},
			{"boot", loginDuration, "boot", 143.39, 0.684, q(61, 2740, 3224)},
			{"console", loginDuration, "console", 0.35, 0.002, q(194, 1.46, 3.66)},
			{"rest", loginDuration, "unaccounted", 0.9, 0.004, q(194, 2.04, 19)},
			{"link", connectDuration, "link", 0.35, 0.002, q(193, 0.51, 8.58)},
			{"ticket", connectDuration, "auth", 0.18, 0.001, q(193, 0.26, 5.51)},
			{"main", connectDuration, "main", 0.98, 0.005, q(193, 1.61, 19.8)},
			{"picture", connectDuration, "picture", 0, 0, Quantiles{}},
		},
		Pool: &Pool{LeastReady: 0, MostAssigned: 194},
		Keys: 23_950, KeysReceived: &received,
		Trips: []Trip{
			{"server", 0, Quantiles{735, 2.58, 15.5, 20.8}},
			{"guest", 20, Quantiles{715, 17.6, 44.8, 53.8}},
			{"visible", 12, Quantiles{0, 0, 0, 0}},
		},
		Sites: []Site{
			{"N1", q(97, 913, 2796), q(455, 15, 27.2), 8},
			{"N2", Quantiles{}, q(1220, 28.7, 10_590), 24},
		},
		Losses: []Loss{
			{"a host dies: 20 desktops hang for 12.5 s", map[string]int{"guest": 13, "visible": 12}},
			{"", map[string]int{"guest": 7}},
		},
		Ended: []Ended{{"gone", 2}, {"evicted", 1}, {"protocol", 1}},
		Faults: []Fault{
			{What: "LDAP answers 0.3 s late, for 4.5 s", AfterSeconds: 10.5, NoticedSeconds: &noticed},
			{What: "a host dies: 20 desktops hang for 12.5 s", Desktops: 20, AfterSeconds: 41.3, NoticedSeconds: &noticed},
			{What: "a second client takes over a desktop", Desktops: 1, AfterSeconds: 52.5, NotNoticed: "nobody met it"},
			{What: "a desktop is killed", Desktops: 1, Error: "no such desktop"},
		},
		BytesReceived: 16_600_000, BytesSent: 674_000, SessionSeconds: 11_000,
		Harness:             Harness{K6CPUSeconds: 16.7, K6MemoryBytes: 191_000_000, CloudCPUSeconds: 15},
		FirstPictureSeconds: 4.3,
	}
}

func TestRenderSummary(t *testing.T) {
	text := renderSummary(exampleSummary(), style{})
	golden(t, "summary", text)
	short := func(text string) {
		t.Helper()
		for l := range strings.Lines(text) {
			require.LessOrEqual(t, utf8.RuneCountInString(strings.TrimSuffix(l, "\n")), 80, l)
		}
	}
	short(text)
	require.Contains(t, renderSummary(exampleSummary(), style{colour: true}), sgrBold)

	s := exampleSummary()
	*s.KeysReceived = 23_900
	require.Contains(t, renderSummary(s, style{}), "The desktops counted 23,900: 50 fewer than were sent.")
	*s.KeysReceived = 23_951
	require.Contains(t, renderSummary(s, style{}), "The desktops counted 23,951: 1 more than k6 told of.")
	s.Desktops, s.KeysReceived, s.Interrupted, s.LoginsLeft, s.LoggedOut = "QEMU", nil, true, 2, false
	text = renderSummary(s, style{})
	require.NotContains(t, text, "counted")
	require.Contains(t, text, "stopped early")
	require.Contains(t, text, "2 stayed logged in")
	require.Contains(t, text, "DESKSTORM_USERS=CSV \\\n  scenarios/morning-shift.js\n")
	short(text)
	s = exampleSummary()
	s.Path, s.Pool = PathCloud, nil
	text = renderSummary(s, style{})
	require.Contains(t, text, "by Keystone and Nova")
	require.NotContains(t, text, "pool")
	short(text)

	empty := &model{total: newModel(plan{}).total, plan: plan{
		path: PathBroker, kind: "simulated", people: 3, duration: time.Minute, arrivals: 24 * time.Second, profile: "callcenter"}}
	golden(t, "summary-empty", renderSummary(empty.summary(), style{}))
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

func TestPercent(t *testing.T) {
	for share, want := range map[float64]string{0: "0 %", 0.00002: "<1 %", 0.0099: "<1 %", 0.014: "1 %", 0.684: "68 %", 1: "100 %"} {
		require.Equal(t, want, percent(share))
	}
}

func TestShareBar(t *testing.T) {
	bar := func(shares ...float64) string {
		v := view{}
		for i, share := range shares {
			v.Parts = append(v.Parts, partView{Name: []string{"auth", "boot", "console"}[i], Share: share})
		}
		return style{}.shareBar(v)
	}
	require.Equal(t, "│auth───────────────│boot───────────────", bar(0.5, 0.5))
	require.Equal(t, "│boot────────────────────────────────│──", bar(0.05, 0.925, 0.025))
	require.Equal(t, "│auth──────│boot─────────────────│others", bar(0.275, 0.55, 0.175), "not console's name, which is longer")
	require.Equal(t, "│others─", bar(0.075, 0.1, 0.025))
	require.Equal(t, barColumns, utf8.RuneCountInString(bar(0.001, 0.998, 0.001)))
	require.Empty(t, style{}.shareBar(view{Longest: -1}))
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
	require.Equal(t, 1, strings.Count(text, "0:08  4 desktops hang\n"))
	require.Equal(t, 1, strings.Count(text, "0:11  noticed within 2.7 s: 4 desktops hang\n"), "8.3 s and 2.7 s: %s", text)
	require.Equal(t, 3, strings.Count(text, " at work")+strings.Count(text, "starting"), text)
}
