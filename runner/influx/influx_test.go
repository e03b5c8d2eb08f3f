package influx

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/configfile"
	"github.com/deskstorm/deskstorm/internal/disktest"
	"github.com/deskstorm/deskstorm/results"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func TestLine(t *testing.T) {
	text := func(kind results.Kind, tags results.Tags, values ...float64) string {
		a := results.New(results.Series{Metric: "vdi_x", Kind: kind, Tags: tags}, noon, noon.Add(10*time.Second))
		for _, v := range values {
			require.NoError(t, a.Add(v, noon))
		}
		l, err := line(point("20261121T120000-a", "boot storm", a))
		require.NoError(t, err)
		return l
	}
	require.Equal(t, `vdi_x,experiment=boot\ storm,path=spice,profile=agent,site=north,step=login `+
		`count=3i,max=4,min=1,p50=2,p95=4,p99=4,run="20261121T120000-a",sum=7 1795262400000`,
		text(results.Trend, results.Tags{Site: "north", Step: "login", Profile: "agent", Path: "spice"}, 1, 2, 4))
	require.Equal(t, `vdi_x,class=timeout,experiment=boot\ storm count=2i,max=1,min=0,run="20261121T120000-a",sum=1 1795262400000`,
		text(results.Rate, results.Tags{Class: "timeout"}, 0, 7))
	require.Equal(t, `vdi_x,experiment=boot\ storm count=2i,last=7,max=7,min=5,run="20261121T120000-a",sum=12 1795262400000`,
		text(results.Gauge, results.Tags{}, 7, 5))
	require.Equal(t, `vdi_x,experiment=boot\ storm count=0i,run="20261121T120000-a",sum=0 1795262400000`, text(results.Trend, results.Tags{}))
	require.Equal(t, `vdi_x,experiment=boot\ storm,site=a\,b\=c__,step=x_ count=0i,run="20261121T120000-a",sum=0 1795262400000`,
		text(results.Counter, results.Tags{Site: "a,b=c\n\\\\", Step: "x\xff"}))
	require.Equal(t, `"a\"b\\c\${d}\n"`, quote("a\"b\\c${d}\n"))
}

func TestRead(t *testing.T) {
	read := func(text string) (Config, error) {
		r, n := configfile.Parse([]byte(text), "/etc/deskstorm/deskstorm.yaml", "the configuration")
		c := Read(r, n)
		return c, r.Err()
	}
	c, err := read("url: https://influx.example.com:8086\norg: example\nbucket: deskstorm\n")
	require.NoError(t, err)
	require.Equal(t, Config{URL: "https://influx.example.com:8086", Org: "example", Bucket: "deskstorm", Timeout: 10 * time.Second,
		Batch: 5000, Buffer: 256_000_000}, c)
	c, err = read("url: http://h\norg: o\nbucket: b\ntoken: {file: t}\nca_file: ca.pem\ntimeout: 3s\nbatch: 10\nbuffer_mb: 1\n")
	require.NoError(t, err)
	require.Equal(t, "/etc/deskstorm/t", c.Token.File)
	require.Equal(t, "/etc/deskstorm/ca.pem", c.CAFile)
	require.EqualValues(t, 1_000_000, c.Buffer)
	for text, says := range map[string]string{
		"{}":                        "1:1: url is missing",
		"url: https://u:secret@h\n": "1:6: url: expected a URL such as https://influx.example.com:8086, without a user or a query, found something else",
		"url: influx.example.com\n": "1:6: url: expected a URL",
		"token: secret\n":           "1:8: token: expected {file: PATH} or {env: NAME}, found the value itself",
		"batch: 0\n":                "1:8: batch: expected a whole number from 1 to 100000, found 0",
		"retention: 5\n":            "1:1: retention: unknown key; expected batch, bucket, buffer_mb, ca_file, org, timeout, token, url",
	} {
		_, err := read(text)
		require.ErrorContains(t, err, says)
		require.NotContains(t, err.Error(), "secret@")
	}
	_, err = Open(Config{URL: "http://h", Token: configfile.Secret{Env: "DESKSTORM_TEST_UNSET"}}, t.TempDir(), nil, nil)
	require.ErrorContains(t, err, "DESKSTORM_TEST_UNSET is not set")
	_, err = Open(Config{URL: "http://h", CAFile: "/no/such"}, t.TempDir(), nil, nil)
	require.ErrorContains(t, err, "opening the way to InfluxDB: reading authorities' certificates")
	_, err = Open(Config{URL: "http://h"}, "/proc/no/such", nil, nil)
	require.ErrorContains(t, err, "opening the buffer for InfluxDB")
}

func TestWrite(t *testing.T) {
	s := newStub(t)
	w := writer(t, s.config(t), t.TempDir(), nil)
	require.NoError(t, w.Check(t.Context()))
	run, err := w.Begin("r1", "boot-storm")
	require.NoError(t, err)
	for i := range 30 {
		require.NoError(t, run.Add(window(t, noon.Add(time.Duration(i)*10*time.Second))...))
	}
	require.NoError(t, run.Add(window(t, noon)...), "a window that has grown")
	report := run.Finish(bounded(t))
	require.Equal(t, Report{Offered: 310, Repeated: 10, Written: 310, Found: 300, Trouble: []string{}}, report)
	require.True(t, report.Complete())
	require.Zero(t, report.Lost())
	require.Equal(t, "310 points offered, 10 replaced others, 310 written, InfluxDB has 300", report.String())
	for _, n := range s.sizes {
		require.LessOrEqual(t, n, 100, "no more than a batch")
	}
	_, err = w.Begin("../r1", "boot-storm")
	require.ErrorContains(t, err, "its id is none")
	empty, err := w.Begin("r2", "boot-storm")
	require.NoError(t, err)
	report = empty.Finish(bounded(t))
	require.True(t, report.Complete())
}

// What is acknowledged and not there is told.
func TestLost(t *testing.T) {
	s := newStub(t)
	s.lose = 3
	w := writer(t, s.config(t), t.TempDir(), nil)
	run, err := w.Begin("r1", "boot-storm")
	require.NoError(t, err)
	require.NoError(t, run.Add(window(t, noon)...))
	report := run.Finish(bounded(t))
	require.EqualValues(t, 10, report.Written)
	require.EqualValues(t, 7, report.Found)
	require.EqualValues(t, 3, report.Lost())
	require.False(t, report.Complete())

	// The windows are still there, in the history: written once more they are found.
	run, err = w.Begin("r1", "boot-storm")
	require.NoError(t, err)
	require.NoError(t, run.Add(window(t, noon)...))
	require.True(t, run.Finish(bounded(t)).Complete())
}

// InfluxDB is away for some time: everything waits, and is written when it is back.
func TestAway(t *testing.T) {
	s := newStub(t)
	unavailable := func([]string) (int, string, string) { return http.StatusServiceUnavailable, "unavailable", "try later" }
	s.refuse, s.header = unavailable, http.Header{"Retry-After": {"0"}}
	dir := t.TempDir()
	w := writer(t, s.config(t), dir, nil)
	run, err := w.Begin("r1", "boot-storm")
	require.NoError(t, err)
	for i := range 10 {
		require.NoError(t, run.Add(window(t, noon.Add(time.Duration(i)*10*time.Second))...))
	}
	require.Eventually(t, func() bool { _, why := w.Waiting(); return why != nil }, 5*time.Second, time.Millisecond)
	hurried, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	report := run.Finish(hurried)
	require.EqualValues(t, 100, report.Buffered)
	require.Zero(t, report.Written)
	require.Zero(t, report.Lost())
	require.False(t, report.Complete())
	require.Contains(t, report.String(), "100 wait on disk")
	require.Contains(t, report.String(), "unavailable: try later")

	// The runner is started again, meanwhile with a half segment and somebody else's file in its buffer.
	w.Close()
	half := filepath.Join(dir, ".new-123")
	require.NoError(t, os.WriteFile(half, []byte("x"), 0o600))
	require.NoError(t, os.Chtimes(half, time.Time{}, time.Now().Add(-time.Hour)))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "README"), []byte("x"), 0o600))
	s.set(func(s *stub) { s.refuse = nil })
	w = writer(t, s.config(t), dir, nil)
	require.Eventually(t, func() bool { return s.kept() == 100 }, 5*time.Second, time.Millisecond)
	require.Eventually(t, func() bool { n, _ := w.Waiting(); return n == 0 }, 5*time.Second, time.Millisecond)
	require.NoFileExists(t, half)
	require.FileExists(t, filepath.Join(dir, "README"))
}

// The buffer has a bound: the oldest points go, and are counted.
func TestBound(t *testing.T) {
	s := newStub(t)
	s.refuse = func([]string) (int, string, string) {
		return http.StatusTooManyRequests, "too many requests", "slow down"
	}
	c := s.config(t)
	c.Buffer = 20_000
	dir := t.TempDir()
	w := writer(t, c, dir, nil)
	run, err := w.Begin("r1", "boot-storm")
	require.NoError(t, err)
	for i := range 100 {
		require.NoError(t, run.Add(window(t, noon.Add(time.Duration(i)*10*time.Second))...))
		var size int64
		files, err := os.ReadDir(dir)
		require.NoError(t, err)
		for _, f := range files {
			if info, err := f.Info(); err == nil {
				size += info.Size()
			}
		}
		require.LessOrEqual(t, size, c.Buffer)
	}
	s.set(func(s *stub) { s.refuse = nil })
	report := run.Finish(bounded(t))
	require.EqualValues(t, 1000, report.Offered)
	require.Greater(t, report.Dropped, int64(800))
	require.Equal(t, report.Offered, report.Dropped+report.Written)
	require.Equal(t, report.Written, report.Found)
	require.Equal(t, report.Dropped, report.Lost())
	require.Equal(t, []string{"the buffer on disk was full (influxdb.buffer_mb)"}, report.Trouble)
}

func TestRefused(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Config, *stub)
		want   error
		says   string
	}{
		"token": {func(c *Config, _ *stub) { c.Token = configfile.Secret{Env: "DESKSTORM_TEST_OTHER_TOKEN"} }, ErrToken,
			"InfluxDB refuses the token; give it one that may write to the bucket and read it (influxdb.token) (unauthorized: unauthorized access)"},
		"bucket": {func(c *Config, _ *stub) { c.Bucket = "other" }, ErrBucket, `correct influxdb.org and influxdb.bucket (not found: bucket "other" not found)`},
		"something else": {func(_ *Config, s *stub) {
			s.refuse = func([]string) (int, string, string) { return http.StatusMethodNotAllowed, "method not allowed", "no" }
		}, ErrRefused, "it may be no InfluxDB 2 (405: method not allowed: no)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("DESKSTORM_TEST_OTHER_TOKEN", "another-secret")
			s := newStub(t)
			c := s.config(t)
			test.change(&c, s)
			w := writer(t, c, t.TempDir(), nil)
			run, err := w.Begin("r1", "boot-storm")
			require.NoError(t, err)
			require.NoError(t, run.Add(window(t, noon)...))
			report := run.Finish(bounded(t))
			require.EqualValues(t, 10, report.Buffered, "it is not lost either")
			require.Contains(t, report.String(), test.says)
			require.NotContains(t, report.String(), "secret")
			_, why := w.Waiting()
			require.ErrorIs(t, why, test.want)
			s.mu.Lock()
			asked := s.asked
			s.mu.Unlock()
			require.LessOrEqual(t, asked, 3, "it is not tried for ever")
		})
	}
}

// A token that is put right is used from the next run on, for what waits as well.
func TestPutRight(t *testing.T) {
	s := newStub(t)
	s.refuse = func([]string) (int, string, string) {
		return http.StatusForbidden, "forbidden", "insufficient permissions for write"
	}
	w := writer(t, s.config(t), t.TempDir(), nil)
	run, err := w.Begin("r1", "boot-storm")
	require.NoError(t, err)
	require.NoError(t, run.Add(window(t, noon)...))
	require.EqualValues(t, 10, run.Finish(bounded(t)).Buffered)
	s.set(func(s *stub) { s.refuse = nil })
	run, err = w.Begin("r2", "boot-storm")
	require.NoError(t, err)
	require.NoError(t, run.Add(window(t, noon.Add(time.Hour))...))
	require.True(t, run.Finish(bounded(t)).Complete())
	require.Equal(t, 20, s.kept())
}

// Of a batch with points that are refused, the others are written.
func TestRefusedPoints(t *testing.T) {
	s := newStub(t)
	bad := "vdi_gauge,"
	s.refuse = func(lines []string) (int, string, string) {
		if len(lines) > 40 {
			return http.StatusRequestEntityTooLarge, "request too large", "cannot read data: points batch is too large"
		}
		for _, l := range lines {
			if strings.HasPrefix(l, bad) {
				return http.StatusBadRequest, "invalid", "unable to parse '" + l[:20] + "': bad field"
			}
		}
		return 0, "", ""
	}
	w := writer(t, s.config(t), t.TempDir(), nil)
	run, err := w.Begin("r1", "boot-storm")
	require.NoError(t, err)
	var all []*results.Aggregate
	for i := range 5 {
		all = append(all, window(t, noon.Add(time.Duration(i)*10*time.Second))...)
	}
	require.NoError(t, run.Add(all...))
	report := run.Finish(bounded(t))
	require.Equal(t, []int64{50, 40, 10, 40}, []int64{report.Offered, report.Written, report.Dropped, report.Found})
	require.Contains(t, report.String(), "InfluxDB refuses a point: invalid: unable to parse 'vdi_gauge,")

	// Where all of them are, that is not found out one by one.
	bad = "vdi_"
	run, err = w.Begin("r2", "boot-storm")
	require.NoError(t, err)
	before := s.asked
	for i := range 10 {
		all = append(all, window(t, noon.Add(time.Duration(i)*10*time.Second))...)
	}
	require.NoError(t, run.Add(all...))
	report = run.Finish(bounded(t))
	require.EqualValues(t, 150, report.Dropped)
	require.Less(t, s.asked-before, 120)
}

func TestDamagedBuffer(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"000000000001.2.r1.lp": "a b=1 1", "000000000002.1.r1.lp": `a,experiment=x run="r1" 1`, "x.1.r1.lp": "a"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	s := newStub(t)
	w := writer(t, s.config(t), dir, nil)
	require.Eventually(t, func() bool { n, _ := w.Waiting(); return n == 0 }, 5*time.Second, time.Millisecond)
	require.Equal(t, 1, s.kept())
}

// TestTwoAtOnce: a command that is used beside the service has the same buffer. It may send what the service has put there, and takes
// nothing away that is being written.
func TestTwoAtOnce(t *testing.T) {
	s := newStub(t)
	s.refuse = func([]string) (int, string, string) { return http.StatusServiceUnavailable, "unavailable", "try later" }
	dir := t.TempDir()
	slow := quick
	slow.backoff, slow.maxBackoff = time.Second, time.Second
	service, err := open(s.config(t), dir, nil, slog.New(slog.DiscardHandler), slow)
	require.NoError(t, err)
	t.Cleanup(service.Close)
	run, err := service.Begin("r1", "boot-storm")
	require.NoError(t, err)
	require.NoError(t, run.Add(window(t, noon)...))
	require.Eventually(t, func() bool { _, why := service.Waiting(); return why != nil }, 5*time.Second, time.Millisecond)

	half := filepath.Join(dir, ".new-123")
	require.NoError(t, os.WriteFile(half, []byte("x"), 0o600))
	s.set(func(s *stub) { s.refuse = nil })
	writer(t, s.config(t), dir, nil)
	require.FileExists(t, half)
	require.Eventually(t, func() bool {
		left, err := filepath.Glob(filepath.Join(dir, "*"+ending))
		return err == nil && len(left) == 0
	}, 5*time.Second, time.Millisecond)

	report := run.Finish(bounded(t))
	require.True(t, report.Complete(), report.String())
	require.EqualValues(t, 10, report.Written)
	require.Zero(t, report.Dropped)
}

func TestFullDisk(t *testing.T) {
	dir := disktest.New(t, "64k")
	s := newStub(t)
	s.refuse = func([]string) (int, string, string) { return http.StatusInternalServerError, "internal error", "" }
	w := writer(t, s.config(t), dir, nil)
	run, err := w.Begin("r1", "boot-storm")
	require.NoError(t, err)
	var failed error
	for i := range 100 {
		if err := run.Add(window(t, noon.Add(time.Duration(i)*10*time.Second))...); err != nil {
			failed = err
		}
	}
	require.ErrorIs(t, failed, syscall.ENOSPC)
	s.set(func(s *stub) { s.refuse = nil })
	report := run.Finish(bounded(t))
	require.EqualValues(t, 1000, report.Offered)
	require.Equal(t, report.Offered, report.Dropped+report.Written)
	require.Equal(t, report.Written, report.Found)
	require.Contains(t, report.String(), "the buffer on disk could not be written")
}

func TestVictoriaMetrics(t *testing.T) {
	v := startVictoria(t)
	w := writer(t, v.config(), t.TempDir(), v.count)
	require.NoError(t, w.Check(t.Context()))
	run, err := w.Begin("r1", "boot storm")
	require.NoError(t, err)
	begin := time.Now().Add(-time.Hour).Truncate(10 * time.Second)
	for i := range 100 {
		require.NoError(t, run.Add(window(t, begin.Add(time.Duration(i)*10*time.Second))...))
	}
	report := run.Finish(bounded(t))
	require.True(t, report.Complete(), report.String())
	require.EqualValues(t, 1000, report.Found)
	all, err := v.export(t.Context(), `vdi_trend_p95{step="step0"}`)
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.Equal(t, map[string]string{"__name__": "vdi_trend_p95", "experiment": "boot storm", "site": "north, 1=2", "step": "step0",
		"db": ""}, withDB(all[0].Metric))
	require.Len(t, all[0].Values, 100)
	require.Equal(t, 1.0, all[0].Values[0])
	require.Equal(t, begin.UnixMilli(), all[0].Timestamps[0])
}

// withDB is labels whether or not the server adds one for the bucket.
func withDB(labels map[string]string) map[string]string {
	labels["db"] = ""
	return labels
}

// The server is stopped in the middle of a run and started again: nothing is lost.
func TestVictoriaMetricsIsRestarted(t *testing.T) {
	v := startVictoria(t)
	dir := t.TempDir()
	w := writer(t, v.config(), dir, v.count)
	run, err := w.Begin("r1", "boot storm")
	require.NoError(t, err)
	begin := time.Now().Add(-time.Hour).Truncate(10 * time.Second)
	for i := range 300 {
		switch i {
		case 100:
			require.Eventually(t, func() bool { n, _ := w.Waiting(); return n == 0 }, 10*time.Second, time.Millisecond, "some was written")
			require.NoError(t, v.process.Process.Signal(syscall.SIGTERM))
			<-v.process.Done
		case 200:
			n, why := w.Waiting()
			require.Positive(t, n)
			require.Error(t, why)
			v.start(t)
		}
		require.NoError(t, run.Add(window(t, begin.Add(time.Duration(i)*10*time.Second))...))
	}
	report := run.Finish(bounded(t))
	require.True(t, report.Complete(), report.String())
	require.EqualValues(t, 3000, report.Found)
	require.Zero(t, report.Dropped)
}

// The server is killed. What it acknowledged and had in memory only is lost, which the counts show; a second offer, from the
// history's windows, makes the run whole.
func TestVictoriaMetricsIsKilled(t *testing.T) {
	v := startVictoria(t)
	w := writer(t, v.config(), t.TempDir(), v.count)
	begin := time.Now().Add(-time.Hour).Truncate(10 * time.Second)
	offer := func(kill bool) Report {
		run, err := w.Begin("r1", "boot storm")
		require.NoError(t, err)
		for i := range 100 {
			if kill && i == 50 {
				require.Eventually(t, func() bool { n, _ := w.Waiting(); return n == 0 }, 10*time.Second, time.Millisecond)
				v.process.Kill()
				v.start(t)
			}
			require.NoError(t, run.Add(window(t, begin.Add(time.Duration(i)*10*time.Second))...))
		}
		return run.Finish(bounded(t))
	}
	report := offer(true)
	require.EqualValues(t, 1000, report.Written)
	require.Equal(t, report.Written-report.Found, report.Lost())
	t.Log(report.String())
	report = offer(false)
	require.True(t, report.Complete(), report.String())
}

func BenchmarkAdd(b *testing.B) {
	dir := b.TempDir()
	buffer, err := openBuffer(dir, 1<<30)
	require.NoError(b, err)
	var lines []string
	for range 10 {
		for _, a := range window(b, noon) {
			l, err := line(point("r1", "boot-storm", a))
			require.NoError(b, err)
			lines = append(lines, l)
		}
	}
	for b.Loop() {
		if _, err := buffer.add("r1", lines); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(strings.Join(lines, "\n")))/float64(len(lines)), "B/point")
}
