package serve_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"github.com/deskstorm/deskstorm/internal/configfile"
	"github.com/deskstorm/deskstorm/runner/schedule"
	"github.com/deskstorm/deskstorm/runner/serve"
)

// patience is for what takes milliseconds on a machine that does nothing else.
const patience = 20 * time.Second

// lab is a server whose runs do as they are told.
type lab struct {
	*serve.Server
	url  string
	stop func() error

	mutex   sync.Mutex
	began   []string
	history []serve.Entry
	broken  error             // of the history
	end     chan serve.Result // what a run that waits for it ends with
}

// Run shows some progress, and ends when it is told to, or cancelled. A cancelled run takes a while to undo what it did.
func (l *lab) Run(ctx context.Context, s schedule.Start, show func(serve.Progress)) serve.Result {
	l.mutex.Lock()
	id := fmt.Sprintf("20261126T02%02d00-7f3a9c", len(l.began))
	l.began = append(l.began, s.Job.Name)
	l.mutex.Unlock()
	began := time.Now()
	if s.Job.Name == "panics" {
		panic("a bug")
	}
	show(serve.Progress{
		RunID: id, Phase: "method", Activity: "start 200 desktops", Faults: []string{"5 % of packets to 10.0.0.5:5672 are dropped"},
		Steps: []serve.Step{
			{Name: "broker login", Site: "north", Count: 1234, Errors: 3, P50: 0.181, P95: 0.7, P99: 1.9},
			{Name: "first picture", Site: "north", Count: 1180, P50: 4.2, P95: 11.5, P99: 31},
		},
	})
	r := serve.Result{RunID: id, Title: "200 desktops start at once", Outcome: serve.Passed, Reason: "all objectives are met"}
	select {
	case r = <-l.end:
		r.RunID = id
	case <-ctx.Done():
		time.Sleep(50 * time.Millisecond)
		r.Outcome, r.Reason = serve.Interrupted, context.Cause(ctx).Error()
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.history = slices.Insert(l.history, 0, serve.Entry{
		ID: id, Job: s.Job.Name, Title: r.Title, Trigger: string(s.Trigger), Began: began, Ended: time.Now(), Outcome: r.Outcome,
		Reason: r.Reason, Reported: true,
	})
	return r
}

func (l *lab) List(_ context.Context, job string, limit int) ([]serve.Entry, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	all := slices.DeleteFunc(slices.Clone(l.history), func(e serve.Entry) bool { return job != "" && e.Job != job })
	return all[:min(limit, len(all))], l.broken
}

func (l *lab) One(_ context.Context, id string) (any, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for _, e := range l.history {
		if e.ID == id {
			return e, nil
		}
	}
	return nil, fmt.Errorf("reading run %s: %w", id, serve.ErrNoRun)
}

func (l *lab) HTML(_ context.Context, id string, to io.Writer) error {
	if _, err := l.One(context.Background(), id); err != nil {
		return err
	}
	_, err := fmt.Fprintf(to, "<!doctype html><title>Report</title><h1>Report of %s</h1>"+
		"<script>document.title = origin</script>", id)
	return err
}

const sample = `
boot-storm:
  experiment: boot-storm
  cron: "15 2 * * 1-5"
  timezone: Europe/Berlin
  jitter: 20m
  group: compute
  blackout: ["Mon-Fri 06:00-22:00"]
  deadline: "05:30"
dhcp-renewal:
  experiment: dhcp-renewal
  cron: "0 3 * * *"
  timezone: Europe/Berlin
  overlap: queue
smoke:
  experiment: experiments/smoke.yaml
  cron: "0 0 1 1 *"
  catch_up: latest
panics:
  experiment: smoke
  cron: "@yearly"
`

func jobs(t testing.TB, text string) []schedule.Job {
	t.Helper()
	r, n := configfile.Parse([]byte(text), "deskstorm.yaml", "the schedule")
	c := schedule.Read(r, n)
	require.NoError(t, r.Err())
	return c.Jobs
}

func start(t testing.TB, change func(*serve.Options, *lab)) *lab {
	t.Helper()
	l := &lab{end: make(chan serve.Result)}
	store, err := schedule.OpenFile(filepath.Join(t.TempDir(), "state.json"))
	require.NoError(t, err)
	o := serve.Options{
		Addresses: []string{"127.0.0.1:0"}, Jobs: jobs(t, sample), Store: store, Runs: l, History: l, Reports: l,
		Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&o, l)
	}
	l.Server, err = serve.Listen(o)
	require.NoError(t, err)
	l.url = "http://" + l.Addresses[0].String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Serve(ctx) }()
	l.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() { require.NoError(t, l.stop()) })
	require.Eventually(t, func() bool { return l.state(t).Leads }, patience, 10*time.Millisecond)
	return l
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (l *lab) do(t testing.TB, method, path, body string, change ...func(*http.Request)) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, l.url+path, strings.NewReader(body))
	require.NoError(t, err)
	for _, c := range change {
		c(r)
	}
	a, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	require.NoError(t, err)
	return answer{a.StatusCode, a.Header, string(text)}
}

func (l *lab) state(t testing.TB) (s serve.State) {
	t.Helper()
	a := l.do(t, "GET", "/v1/state", "")
	require.Equal(t, 200, a.status, a.body)
	require.NoError(t, json.Unmarshal([]byte(a.body), &s))
	return s
}

func (l *lab) await(t testing.TB, what string, is func(serve.State) bool) (s serve.State) {
	t.Helper()
	require.Eventually(t, func() bool { s = l.state(t); return is(s) }, patience, 10*time.Millisecond, what)
	return s
}

func TestRunAndCancel(t *testing.T) {
	l := start(t, nil)
	s := l.state(t)
	require.Len(t, s.Jobs, 4)
	require.Equal(t, "Europe/Berlin", s.Jobs[0].Zone)
	require.Len(t, s.Jobs[0].Upcoming, 5)
	require.NotNil(t, s.Jobs[0].Next)
	require.Nil(t, s.Jobs[0].Last)

	require.Equal(t, 202, l.do(t, "POST", "/v1/jobs/dhcp-renewal/run", "").status)
	s = l.await(t, "it runs", func(s serve.State) bool { return len(s.Running) == 1 && s.Running[0].Activity != "" })
	require.Equal(t, "dhcp-renewal", s.Running[0].Job)
	require.Equal(t, "manual", s.Running[0].Trigger)
	require.Equal(t, "start 200 desktops", s.Running[0].Activity)
	require.Len(t, s.Running[0].Steps, 2)
	a := l.do(t, "POST", "/v1/jobs/dhcp-renewal/run", "{}")
	require.Equal(t, 409, a.status)
	require.Contains(t, a.body, "urn:deskstorm:serve:busy")

	require.Equal(t, 202, l.do(t, "POST", "/v1/jobs/dhcp-renewal/cancel", "").status)
	s = l.await(t, "it ended", func(s serve.State) bool { return len(s.Running) == 0 && len(s.Runs) == 1 })
	require.Equal(t, serve.Interrupted, s.Runs[0].Outcome)
	require.Equal(t, "cancelled by a person", s.Runs[0].Reason)
	require.Equal(t, serve.Interrupted, s.Jobs[1].Last.Outcome)
	require.Contains(t, l.do(t, "POST", "/v1/jobs/dhcp-renewal/cancel", "").body, "not-running")

	id := s.Runs[0].ID
	require.Contains(t, l.do(t, "GET", "/v1/runs?job=dhcp-renewal&limit=1", "").body, id)
	require.Contains(t, l.do(t, "GET", "/v1/runs/"+id, "").body, id)
	require.Equal(t, 404, l.do(t, "GET", "/v1/runs/x", "").status)
	require.Equal(t, 400, l.do(t, "GET", "/v1/runs?limit=x", "").status)
	report := l.do(t, "GET", "/runs/"+id+"/report", "")
	require.Contains(t, report.body, "Report of "+id)
	require.Contains(t, report.header.Get("Content-Security-Policy"), "sandbox allow-scripts")
	require.Equal(t, 404, l.do(t, "GET", "/runs/x/report", "").status)
	require.Equal(t, 404, l.do(t, "GET", "/v1/x", "").status)
	require.Equal(t, 404, l.do(t, "POST", "/v1/jobs/x/run", "").status)
	require.Equal(t, 400, l.do(t, "POST", "/v1/jobs/smoke/run", `{"fource": true}`).status)
	require.Equal(t, 400, l.do(t, "POST", "/v1/jobs/smoke/run", `{"force": "`+strings.Repeat("x", 1<<20)+`"}`).status)
}

func TestPause(t *testing.T) {
	l := start(t, nil)
	require.Equal(t, 202, l.do(t, "POST", "/v1/jobs/smoke/pause", "").status)
	s := l.state(t)
	require.NotNil(t, s.Jobs[2].Paused)
	require.Nil(t, s.Jobs[2].Next)
	require.Equal(t, "paused", s.Jobs[2].Upcoming[0].Reason)
	require.Equal(t, 202, l.do(t, "POST", "/v1/jobs/smoke/resume", "").status)
	require.Nil(t, l.state(t).Jobs[2].Paused)
}

// TestBlackout: by hand too nothing is started in a blackout, unless it is insisted on.
func TestBlackout(t *testing.T) {
	l := start(t, func(o *serve.Options, _ *lab) {
		o.Jobs = jobs(t, "a:\n  experiment: smoke\n  cron: '0 2 * * *'\n  blackout: ['03:00-01:00']\n")
		o.Clock = fixed(time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC))
	})
	a := l.do(t, "POST", "/v1/jobs/a/run", "")
	require.Equal(t, 409, a.status)
	require.Contains(t, a.body, `urn:deskstorm:serve:closed`)
	require.Contains(t, a.body, "in the blackout 03:00-01:00")
	require.Equal(t, 202, l.do(t, "POST", "/v1/jobs/a/run", `{"force": true}`).status)
}

// fixed is a clock whose hands stand.
type fixed time.Time

func (f fixed) Now() time.Time        { return time.Time(f) }
func (f fixed) Steady() time.Duration { return 0 }
func (f fixed) Timer(time.Duration) (<-chan time.Time, func()) {
	return nil, func() {}
}

// TestPanic: a run that panics could not be run; the next ones are.
func TestPanic(t *testing.T) {
	var log strings.Builder
	var mutex sync.Mutex
	l := start(t, func(o *serve.Options, _ *lab) { o.Log = slog.New(slog.NewTextHandler(writer{&log, &mutex}, nil)) })
	require.Equal(t, 202, l.do(t, "POST", "/v1/jobs/panics/run", "").status)
	s := l.await(t, "it ended", func(s serve.State) bool { return len(s.Runs) == 1 })
	require.Equal(t, serve.Failed, s.Runs[0].Outcome)
	require.Contains(t, s.Runs[0].Reason, "could not be run, by a mistake in deskstorm: a bug")
	mutex.Lock()
	require.Contains(t, log.String(), "serve_test.go")
	mutex.Unlock()
	require.Equal(t, 202, l.do(t, "POST", "/v1/jobs/smoke/run", "").status)
	l.end <- serve.Result{Outcome: serve.Passed}
	l.await(t, "the next one passed", func(s serve.State) bool { return len(s.Runs) == 2 && s.Runs[0].Outcome == serve.Passed })
}

type writer struct {
	to    io.Writer
	mutex *sync.Mutex
}

func (w writer) Write(p []byte) (int, error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.to.Write(p)
}

// TestStop: what runs is cancelled, and shown until it has undone what it did.
func TestStop(t *testing.T) {
	l := start(t, nil)
	require.Equal(t, 202, l.do(t, "POST", "/v1/jobs/smoke/run", "").status)
	l.await(t, "it runs", func(s serve.State) bool { return len(s.Running) == 1 && s.Running[0].Activity != "" })
	require.Equal(t, 200, l.do(t, "GET", "/-/ready", "").status)
	require.NoError(t, l.stop())
	require.Equal(t, serve.Interrupted, l.history[0].Outcome)
	require.Equal(t, "the runner was stopped", l.history[0].Reason)
}

// TestHistoryFails: the page says so, and shows what this process knows.
func TestHistoryFails(t *testing.T) {
	l := start(t, func(_ *serve.Options, l *lab) { l.broken = errors.New("database disk image is malformed") })
	require.Contains(t, l.state(t).Trouble, "the history: database disk image is malformed")
	require.Equal(t, 202, l.do(t, "POST", "/v1/jobs/smoke/run", "").status)
	l.end <- serve.Result{Outcome: serve.Deviated, Reason: "p95 of first picture is 31 s"}
	s := l.await(t, "it ended", func(s serve.State) bool { return len(s.Runs) == 1 })
	require.Equal(t, serve.Deviated, s.Runs[0].Outcome)
	require.Equal(t, 500, l.do(t, "GET", "/v1/runs", "").status)
	require.Regexp(t, `deskstorm_runner_history_errors_total [1-9]`, l.do(t, "GET", "/metrics", "").body)
}

func TestMetrics(t *testing.T) {
	l := start(t, func(o *serve.Options, l *lab) {
		o.Counts = func() serve.Counts {
			return serve.Counts{FaultsInjected: 7, FaultsUndone: 6, FaultsStuck: 1, InfluxOffered: 9}
		}
		l.history = []serve.Entry{
			{ID: "2", Job: "smoke", Began: time.Unix(1772000100, 0), Ended: time.Unix(1772000200, 0), Outcome: serve.Deviated},
			{ID: "1", Job: "smoke", Began: time.Unix(1771000100, 0), Ended: time.Unix(1771000200, 0), Outcome: serve.Passed},
		}
	})
	require.Equal(t, 202, l.do(t, "POST", "/v1/jobs/dhcp-renewal/run", "").status)
	l.await(t, "it runs", func(s serve.State) bool { return len(s.Running) == 1 })
	require.Equal(t, 202, l.do(t, "POST", "/v1/jobs/boot-storm/pause", "").status)
	text := l.do(t, "GET", "/metrics", "").body
	for _, line := range []string{
		`deskstorm_runner_running{experiment="dhcp-renewal"} 1`, `deskstorm_runner_running{experiment="smoke"} 0`,
		`deskstorm_runner_paused{experiment="boot-storm"} 1`, `deskstorm_runner_leader 1`,
		`deskstorm_runner_last_outcome{experiment="smoke",outcome="deviated"} 1`,
		`deskstorm_runner_last_outcome{experiment="smoke",outcome="passed"} 0`,
		`deskstorm_runner_last_success_timestamp_seconds{experiment="smoke"} 1.7710002e+09`,
		`deskstorm_runner_last_end_timestamp_seconds{experiment="smoke"} 1.7720002e+09`,
		`deskstorm_runner_faults_injected_total 7`, `deskstorm_runner_faults_undone_total 6`, `deskstorm_runner_faults_stuck 1`,
		`deskstorm_runner_influx_points_offered_total 9`, `deskstorm_runner_runs_total{experiment="smoke",outcome="no-verdict"} 0`,
		`deskstorm_runner_skipped_total{experiment="smoke",reason="blackout"} 0`,
		`deskstorm_runner_run_duration_seconds_count{experiment="smoke"} 0`,
	} {
		require.Contains(t, text, line+"\n")
	}
	require.Contains(t, text, `deskstorm_runner_next_run_timestamp_seconds{experiment="dhcp-renewal"}`)
	require.NotContains(t, text, `deskstorm_runner_next_run_timestamp_seconds{experiment="boot-storm"}`)
	l.end <- serve.Result{Outcome: serve.Passed}
	l.await(t, "it ended", func(s serve.State) bool { return len(s.Running) == 0 })
	text = l.do(t, "GET", "/metrics", "").body
	require.Contains(t, text, `deskstorm_runner_runs_total{experiment="dhcp-renewal",outcome="passed"} 1`)
	require.Contains(t, text, `deskstorm_runner_run_duration_seconds_count{experiment="dhcp-renewal"} 1`)

	problems, err := promlint.New(strings.NewReader(text)).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)
}

// terse is a history whose lists say nothing of verdicts.
type terse struct{ *lab }

func (h terse) List(ctx context.Context, job string, limit int) ([]serve.Entry, error) {
	all, err := h.lab.List(ctx, job, limit)
	for i := range all {
		all[i].Reason = ""
	}
	return all, err
}

// TestReasons: why a run deviated stays on the page when the history has the run.
func TestReasons(t *testing.T) {
	l := start(t, func(o *serve.Options, l *lab) { o.History = terse{l} })
	require.Equal(t, 202, l.do(t, "POST", "/v1/jobs/smoke/run", "").status)
	l.end <- serve.Result{Outcome: serve.Deviated, Reason: "p95 is 31 s"}
	s := l.await(t, "it ended", func(s serve.State) bool { return len(s.Runs) == 1 })
	require.Equal(t, "p95 is 31 s", s.Runs[0].Reason)
	s = l.state(t)
	require.Len(t, s.Runs, 1)
	require.Equal(t, "p95 is 31 s", s.Runs[0].Reason)
}

// TestOtherRunners: a runner that stands by shows and measures what the one that leads has run, and so does one that takes the lead over.
func TestOtherRunners(t *testing.T) {
	l := start(t, func(_ *serve.Options, l *lab) {
		l.history = []serve.Entry{{ID: "1", Job: "smoke", Began: time.Unix(1771000100, 0), Ended: time.Unix(1771000200, 0), Outcome: serve.Deviated}}
	})
	require.Equal(t, serve.Deviated, l.state(t).Jobs[2].Last.Outcome)
	l.mutex.Lock()
	l.history = slices.Insert(l.history, 0,
		serve.Entry{ID: "3", Job: "by hand", Began: time.Unix(1773000100, 0), Ended: time.Unix(1773000200, 0), Outcome: serve.Failed},
		serve.Entry{ID: "2", Job: "smoke", Began: time.Unix(1772000100, 0), Ended: time.Unix(1772000200, 0), Outcome: serve.Passed})
	l.mutex.Unlock()
	s := l.await(t, "the history is asked again", func(s serve.State) bool { return s.Jobs[2].Last.ID == "2" })
	require.Equal(t, serve.Passed, s.Jobs[2].Last.Outcome)
	text := l.do(t, "GET", "/metrics", "").body
	require.Contains(t, text, `deskstorm_runner_last_outcome{experiment="smoke",outcome="deviated"} 0`+"\n")
	require.Contains(t, text, `deskstorm_runner_last_outcome{experiment="smoke",outcome="passed"} 1`+"\n")
	require.Contains(t, text, `deskstorm_runner_last_success_timestamp_seconds{experiment="smoke"} 1.7720002e+09`+"\n")
	require.NotContains(t, text, "by hand")
}

// TestOrigin: pages of other origins change nothing, nor does one whose name is made to lead here.
func TestOrigin(t *testing.T) {
	l := start(t, nil)
	with := func(name, value string) func(*http.Request) {
		return func(r *http.Request) {
			if name == "Host" {
				r.Host = value
			}
			r.Header.Set(name, value)
		}
	}
	for _, c := range []struct {
		name, value string
		status      int
	}{
		{"Origin", "https://evil.example", 403},
		{"Sec-Fetch-Site", "cross-site", 403},
		{"Sec-Fetch-Site", "same-site", 403},
		{"Origin", "null", 403},
		{"Host", "evil.example", 421},
		{"Host", "127.0.0.1.evil.example:9878", 421},
		{"Origin", l.url, 202},
		{"Sec-Fetch-Site", "same-origin", 202},
		{"Host", "localhost:9878", 202},
		{"Host", "[::1]:9878", 202},
	} {
		require.Equal(t, c.status, l.do(t, "POST", "/v1/jobs/smoke/pause", "", with(c.name, c.value)).status, "%s: %s", c.name, c.value)
	}
	require.Equal(t, 421, l.do(t, "GET", "/v1/state", "", with("Host", "evil.example")).status, "nor do they read")
	require.Equal(t, 404, l.do(t, "GET", "/v1/jobs/smoke/pause", "").status, "nor does a link")
}

func TestAddresses(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	require.NoError(t, err)
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	users, none := file("users.yml", "basic_auth_users:\n  ann: "+string(hash)+"\n"), file("none.yml",
		"http_server_config:\n  http2: false\n")
	store, err := schedule.OpenFile(filepath.Join(dir, "state.json"))
	require.NoError(t, err)
	for _, c := range []struct {
		address, web string
		anybody      bool
		want         string
	}{
		{"127.0.0.1:0", "", false, ""},
		{"localhost:0", "", false, ""},
		{"[::1]:0", "", false, ""},
		{":0", "", false, "whoever reaches that address could inject faults"},
		{"0.0.0.0:0", "", false, "--web.allow-unauthenticated"},
		{"127.0.0.1.example:0", none, false, "nobody has to say who they are"},
		{"nonsense", "", false, "missing port"},
		{":0", "", true, ""},
		{":0", users, false, ""},
		{"127.0.0.1:0", filepath.Join(dir, "gone.yml"), false, "no such file"},
		{"127.0.0.1:0", file("bad.yml", "basic_auth_user: {}\n"), false, "reading the web configuration"},
	} {
		s, err := serve.Listen(serve.Options{
			Addresses: []string{c.address}, WebConfigFile: c.web, Unauthenticated: c.anybody, Store: store, Runs: &lab{},
			Log: slog.New(slog.DiscardHandler),
		})
		if c.want != "" {
			require.ErrorContains(t, err, c.want, c.address)
			continue
		}
		require.NoError(t, err, c.address)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.NoError(t, s.Serve(ctx))
	}

	l := &lab{}
	l.Server, err = serve.Listen(serve.Options{Addresses: []string{"127.0.0.1:0"}, WebConfigFile: users, Jobs: jobs(t, sample),
		Store: store, Runs: l, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	l.url = "http://" + l.Addresses[0].String()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Serve(ctx) }()
	require.Equal(t, 401, l.do(t, "POST", "/v1/jobs/smoke/pause", "").status)
	ann := func(r *http.Request) { r.SetBasicAuth("ann", "secret") }
	require.Equal(t, 202, l.do(t, "POST", "/v1/jobs/smoke/pause", "", ann).status)
	require.Contains(t, l.do(t, "GET", "/v1/state", "", ann).body, `"paused":{"by":"ann"`)
	require.NoError(t, os.WriteFile(users, nil, 0o600))
	require.Equal(t, 503, l.do(t, "POST", "/v1/jobs/smoke/resume", "").status, "who was asked for is not forgotten")
	cancel()
	require.NoError(t, <-ended)
}
