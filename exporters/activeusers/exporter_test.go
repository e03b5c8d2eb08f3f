package activeusers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/exporters/activeusers/roster"
	"github.com/deskstorm/deskstorm/exporters/collector"
	"github.com/deskstorm/deskstorm/internal/activity"
	"github.com/deskstorm/deskstorm/internal/wallclock"
)

const secret = "a secret of the test's own"

// fixture is an exporter whose clock the test sets, behind a real listener.
type fixture struct {
	*exporter
	now      time.Time
	url      string
	registry *prometheus.Registry
	log      *bytes.Buffer
}

func berlin(t testing.TB) *time.Location {
	t.Helper()
	zone, err := wallclock.LoadZone("Europe/Berlin")
	require.NoError(t, err)
	return zone
}

func testConfig(t testing.TB) Config {
	c := Default()
	c.Sites = []Site{{"N1", berlin(t)}, {"N2", time.UTC}}
	c.Departments = []string{"sales", "care"}
	return c
}

func start(t testing.TB, c Config, now time.Time) *fixture {
	t.Helper()
	f := &fixture{now: now, log: &bytes.Buffer{}, registry: prometheus.NewPedanticRegistry()}
	e, err := newExporter(c, slog.New(slog.NewTextHandler(f.log, nil)), func() time.Time { return f.now })
	require.NoError(t, err)
	f.exporter = e
	served := e.exporter([]string{secret, "the secret before"})
	require.NoError(t, f.registry.Register(collector.NewSet([]collector.Exporter{served}, slog.New(slog.DiscardHandler))))
	mux := http.NewServeMux()
	for pattern, h := range served.Handlers {
		mux.Handle(pattern, h)
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

// pass lets time pass.
func (f *fixture) pass(d time.Duration) {
	f.now = f.now.Add(d)
	f.step()
}

// client sends with a client's own token.
func (f *fixture) client(t testing.TB, name string) *activity.Client {
	t.Helper()
	c, err := activity.NewClient(f.url, activity.ClientToken(secret, name), nil)
	require.NoError(t, err)
	return c
}

// of is a report of the last 10 seconds.
func (f *fixture) of(client string, sequence, events uint64) activity.Report {
	return activity.Report{
		Client: client, Run: "run", Sequence: sequence, From: f.now.Add(-10 * time.Second), To: f.now, Events: events,
		Site: "N1", Department: "sales",
	}
}

func (f *fixture) send(t testing.TB, reports ...activity.Report) []activity.Result {
	t.Helper()
	results, err := f.client(t, reports[0].Client).Send(t.Context(), reports)
	require.NoError(t, err)
	return results
}

// value is a metric's, by its labels' values in the order of their names; ok says whether it is there.
func (f *fixture) value(t testing.TB, name string, labels ...string) (value float64, ok bool) {
	t.Helper()
	families, err := f.registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		if family.GetName() != "deskstorm_activeusers_"+name {
			continue
		}
		for _, m := range family.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			if fmt.Sprint(values) == fmt.Sprint(labels) {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue(), true
			}
		}
	}
	return 0, false
}

func (f *fixture) require(t testing.TB, want float64, name string, labels ...string) {
	t.Helper()
	value, ok := f.value(t, name, labels...)
	require.True(t, ok, "%s%v is not there", name, labels)
	require.Equal(t, want, value, "%s%v", name, labels)
}

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func TestActiveIdleSilent(t *testing.T) {
	f := start(t, testConfig(t), noon)
	away, off := f.of("tc-2", 1, 0), f.of("tc-3", 1, 0)
	no := false
	off.Connected = &no
	f.send(t, f.of("tc-1", 1, 25))
	f.send(t, away)
	f.send(t, off)
	elsewhere := f.of("tc-4", 1, 5)
	elsewhere.Site, elsewhere.Department = "N7", "gone" // not configured
	f.send(t, elsewhere)
	f.require(t, 3, "clients", "sales", "N1")
	f.require(t, 2, "connected", "sales", "N1")
	f.require(t, 1, "active", "sales", "N1")
	f.require(t, 1, "idle", "sales", "N1")
	f.require(t, 25, "input_events_total", "sales", "N1")
	f.require(t, 1, "active", "other", "other")
	f.require(t, 4, "reports_total", "accepted")

	// Four minutes without input are not idle yet, five are.
	for i, want := range []float64{1, 0} {
		f.pass([]time.Duration{4 * time.Minute, 61 * time.Second}[i])
		f.send(t, f.of("tc-1", uint64(i+2), 0))
		f.require(t, want, "active", "sales", "N1")
		f.require(t, 1, "connected", "sales", "N1") // tc-2 is silent
	}
	f.require(t, 2, "clients_silent", "sales", "1m", "N1")
	f.require(t, 2, "clients_silent", "sales", "5m", "N1")
	f.require(t, 0, "clients_silent", "sales", "1h", "N1")

	// Who is switched off is silent, and that is no fault.
	bye := f.of("tc-1", 4, 0)
	bye.Leaving = true
	f.send(t, bye)
	f.pass(time.Hour)
	f.require(t, 2, "clients_silent", "sales", "5m", "N1")
	f.require(t, 0, "connected", "sales", "N1")
	f.send(t, f.of("tc-1", 5, 1))
	f.require(t, 1, "active", "sales", "N1")

	f.pass(8 * 24 * time.Hour)
	f.require(t, 0, "clients", "sales", "N1")
	f.require(t, 26, "input_events_total", "sales", "N1")
}

// The exporter was restarted: a report without events says when the last input was.
func TestLastInput(t *testing.T) {
	f := start(t, testConfig(t), noon)
	for i, c := range []struct {
		ago    time.Duration
		active float64
	}{{4 * time.Minute, 1}, {6 * time.Minute, 0}, {-30 * time.Second, 1}} {
		r := f.of("tc-1", uint64(i+1), 0)
		r.Client = fmt.Sprintf("tc-%d", i)
		r.Department = []string{"sales", "care", "sales"}[i]
		r.Site = []string{"N1", "N1", "N2"}[i]
		r.LastInput = f.now.Add(-c.ago)
		f.send(t, r)
		f.require(t, c.active, "active", r.Department, r.Site)
	}
}

func TestState(t *testing.T) {
	f := start(t, testConfig(t), noon)
	celsius := []float64{41.5, 70.25}
	free := []float64{0.5, 0.125}
	for i := range 2 {
		r := f.of(fmt.Sprintf("tc-%d", i), 1, 0)
		r.State = &activity.State{
			Version: "1.2", Boot: f.now.Add(-time.Duration(i*11+1) * time.Minute), Temperature: &celsius[i], DiskFree: &free[i],
			DisplayErrors: 3, Dropped: 2,
		}
		f.send(t, r)
		f.send(t, r) // a duplicate
	}
	f.send(t, f.of("tc-2", 1, 0))
	ahead := f.of("ahead", 1, 0)
	ahead.State = &activity.State{Version: "1.2", Boot: f.now.AddDate(1, 0, 0)} // by a clock that was wrong then
	f.send(t, ahead)
	f.require(t, 3, "agents", "1.2")
	f.require(t, 1, "agents", "unknown")
	f.require(t, 6, "display_client_errors_total", "N1")
	f.require(t, 4, "dropped_reports_total", "N1")
	f.require(t, 1, "recently_booted", "N1")
	f.require(t, 70.25, "hottest_client_celsius", "N1")
	f.require(t, 0.125, "least_disk_free_ratio", "N1")
	_, ok := f.value(t, "hottest_client_celsius", "N2")
	require.False(t, ok)
	for i := range 20 {
		r := f.of(fmt.Sprintf("old-%d", i), 1, 0)
		r.State = &activity.State{Version: fmt.Sprintf("0.%d", i)}
		f.send(t, r)
	}
	f.require(t, 12, "agents", "other")
}

func write(t testing.TB, path, content string) string {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// post sends a body as anybody may.
func post(t *testing.T, url, token string, body []byte) (status int, p problem, header http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+activity.Path, bytes.NewReader(body))
	require.NoError(t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &p), string(text))
	return resp.StatusCode, p, resp.Header
}

// Whatever must not be counted is refused, and says why.
func TestRefusals(t *testing.T) {
	c := testConfig(t)
	c.MaxClients = 2
	c.Inventory = write(t, filepath.Join(t.TempDir(), "clients.csv"),
		"client,site,department\ntc-1,N1,sales\ntc-2,N1,sales\ntc-3,N2,care\nk6-*,N2,care\n")
	f := start(t, c, noon)
	f.require(t, 2, "clients_unseen", "sales", "N1")
	one := activity.ClientToken(secret, "tc-1")
	body := func(change func(*activity.Report)) []byte {
		r := f.of("tc-1", 7, 1)
		change(&r)
		text, err := json.Marshal(activity.Request{Reports: []activity.Report{r}})
		require.NoError(t, err)
		return text
	}
	as := func(client string) func(*activity.Report) { return func(r *activity.Report) { r.Client = client } }
	many, err := json.Marshal(activity.Request{Reports: make([]activity.Report, activity.MaxReports+1)})
	require.NoError(t, err)
	for _, c := range []struct {
		name   string
		token  string
		body   []byte
		status int
		result activity.Result
	}{
		{"good", one, body(func(*activity.Report) {}), 200, ""},
		{"again", one, body(func(*activity.Report) {}), 200, ""},
		{"another event under the same number", one, body(func(r *activity.Report) { r.Events = 9 }), 200, ""},
		{"late", one, body(func(r *activity.Report) {
			r.Sequence, r.From, r.To = 8, f.now.Add(-122*time.Minute), f.now.Add(-121*time.Minute)
		}), 410, activity.Late},
		{"future", one, body(func(r *activity.Report) { r.Sequence = 8; r.To = f.now.Add(61 * time.Second) }), 409, activity.Future},
		{"unknown", activity.ClientToken(secret, "tc-9"), body(as("tc-9")), 403, activity.Unknown},
		{"no token", "", body(as("tc-1")), 401, activity.Forged},
		{"nonsense for a token", "x", body(as("tc-1")), 401, activity.Forged},
		{"another's token", one, body(as("tc-2")), 401, activity.Forged},
		{"another secret's token", activity.ClientToken("guessed", "tc-1"), body(as("tc-1")), 401, activity.Forged},
		{"the secret before", activity.ClientToken("the secret before", "tc-1"), body(func(r *activity.Report) { r.Sequence = 9 }),
			200, ""},
		{"its site's token", activity.SiteToken(secret, "N1"), body(func(r *activity.Report) { r.Sequence = 10 }), 200, ""},
		{"another site's token", activity.SiteToken(secret, "N2"), body(as("tc-1")), 401, activity.Forged},
		{"a site's token for nobody", activity.SiteToken(secret, "N2"), body(as("tc-9")), 403, activity.Unknown},
		{"a load test's", activity.SiteToken(secret, "N2"), body(as("k6-17")), 200, ""},
		{"full", activity.SiteToken(secret, "N2"), body(as("k6-18")), 503, activity.Full},
		{"too many events", one, body(func(r *activity.Report) { r.Events = 1e9 }), 400, activity.Malformed},
		{"a name that is none", one, body(as("tc 1")), 400, activity.Malformed},
		{"no number", one, body(func(r *activity.Report) { r.Sequence = 0 }), 400, activity.Malformed},
		{"a span that goes back", one, body(func(r *activity.Report) { r.From = r.To.Add(time.Second) }), 400, activity.Malformed},
		{"no JSON", one, []byte("events=5"), 400, activity.Malformed},
		{"half", one, []byte(`{"reports": [{"client": "tc-1"}`), 400, activity.Malformed},
		{"a list", one, []byte(`[]`), 400, activity.Malformed},
		{"no reports", one, []byte(`{}`), 400, activity.Malformed},
		{"too many reports", one, many, 413, activity.Malformed},
		{"a long body", one, bytes.Repeat([]byte(" "), activity.MaxBody+1), 413, activity.Malformed},
	} {
		status, p, header := post(t, f.url, c.token, c.body)
		require.Equal(t, c.status, status, "%s: %+v", c.name, p)
		if c.status == 200 {
			require.Len(t, p.Results, 1)
			continue
		}
		require.Equal(t, "application/problem+json", header.Get("Content-Type"))
		require.Equal(t, "urn:deskstorm:problem:"+string(c.result), p.Type, c.name)
		require.Equal(t, c.status, p.Status)
		require.NotEmpty(t, p.Detail)
		require.Equal(t, c.status == 401, header.Get("WWW-Authenticate") != "", c.name)
	}
	for result, n := range map[activity.Result]float64{
		activity.Accepted: 4, activity.Duplicate: 2, activity.Late: 1, activity.Future: 1, activity.Unknown: 2, activity.Forged: 5,
		activity.Full: 1, activity.Malformed: 10,
	} {
		f.require(t, n, "reports_total", string(result))
	}
	f.require(t, 3, "input_events_total", "sales", "N1")
	f.require(t, 1, "clients_unseen", "sales", "N1")

	// One request with good and bad: each is told by itself.
	mixed := []activity.Report{f.of("tc-1", 20, 1), f.of("tc-2", 1, 1), f.of("tc-1", 20, 1)}
	results, err := f.client(t, "tc-1").Send(t.Context(), mixed)
	require.NoError(t, err)
	require.Equal(t, []activity.Result{activity.Accepted, activity.Forged, activity.Duplicate}, results)
	_, err = f.client(t, "tc-1").Send(t.Context(), make([]activity.Report, activity.MaxReports+1))
	refused, ok := errors.AsType[*activity.RefusedError](err)
	require.True(t, ok)
	require.Equal(t, 413, refused.Status)
}

func TestWindow(t *testing.T) {
	var c client
	for _, step := range []struct {
		run  string
		n    uint64
		want bool
	}{
		{"a", 5, true}, {"a", 5, false}, {"a", 3, true}, {"a", 3, false}, {"a", 6, true}, {"a", 4, true},
		{"a", 100, true}, {"a", 6, false}, {"a", 37, true}, {"a", 36, false}, {"a", 99, true}, {"a", 1 << 40, true}, {"a", 100, false},
		{"b", 1, true}, {"a", 1 << 40, false}, {"a", 1<<40 + 1, true}, {"b", 1, false}, {"b", 2, true},
		{"c", 1, true}, {"b", 2, false},
	} {
		require.Equal(t, step.want, c.take(step.run, step.n), "%s %d", step.run, step.n)
	}
}

// A roster that breaks leaves the last good one in use, and says so.
func TestFilesChange(t *testing.T) {
	c := testConfig(t)
	dir := t.TempDir()
	const header = "site,department,start,end,count\n"
	path := write(t, filepath.Join(dir, "roster.csv"), header+"N1,sales,2026-06-01 08:00,16:00,40\n")
	missing := filepath.Join(dir, "missing.ics")
	c.Inventory = write(t, filepath.Join(dir, "clients.csv"), "client,site,department\ntc-1,N1,sales\n")
	c.Rosters = []roster.File{{Path: path, Zone: berlin(t)}, {Path: missing, Site: "N1", Department: "care"}}
	f := start(t, c, noon)
	f.step()
	f.require(t, 40, "expected", "sales", "N1")
	f.require(t, 40, "gap", "sales", "N1")
	f.require(t, 0, "roster_error", path)
	f.require(t, 1, "roster_error", missing)
	f.require(t, 0, "roster_last_load_timestamp_seconds", missing)
	f.require(t, float64(noon.Unix()), "roster_last_load_timestamp_seconds", path)
	f.send(t, f.of("tc-1", 1, 1))
	f.require(t, 39, "gap", "sales", "N1")

	write(t, path, header+"N1,sales,2026-06-01 08:00,16:00,50\nN1,slaes,2026-06-01 08:00,16:00,50\n")
	f.pass(10 * time.Second)
	f.require(t, 0, "roster_error", path) // it might be half written
	f.pass(10 * time.Second)
	f.require(t, 1, "roster_error", path)
	f.require(t, 40, "expected", "sales", "N1")
	require.Contains(t, f.log.String(), `roster.csv:3: the department \"slaes\" is not in the configuration`)
	logged := f.log.Len()
	f.pass(10 * time.Second)
	require.Equal(t, logged, f.log.Len())

	require.NoError(t, os.Remove(path))
	f.pass(10 * time.Second)
	f.pass(10 * time.Second)
	f.require(t, 1, "roster_error", path)
	f.require(t, 40, "expected", "sales", "N1")

	write(t, path, header+"N1,sales,2026-06-01 08:00,16:00,60\n")
	write(t, c.Inventory, "client,site,department\ntc-1,N1,care\n")
	write(t, missing, "BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:1\nDTSTART:20260601T080000Z\nDTEND:20260601T160000Z\n"+
		"END:VEVENT\nEND:VCALENDAR\n")
	f.pass(10 * time.Second)
	f.pass(10 * time.Second)
	f.require(t, 0, "roster_error", path)
	f.require(t, 60, "expected", "sales", "N1")
	f.require(t, 60, "gap", "sales", "N1")
	f.require(t, 1, "gap", "care", "N1")
	f.require(t, 1, "clients", "care", "N1") // it was moved
	f.require(t, 1, "roster_entries", missing)

	write(t, c.Inventory, "client,site,department\n")
	f.pass(10 * time.Second)
	f.pass(10 * time.Second)
	require.Equal(t, []activity.Result{activity.Unknown}, f.send(t, f.of("tc-1", 2, 1)))
}

func TestNew(t *testing.T) {
	t.Setenv("DESKSTORM_TEST_SECRET", secret)
	t.Setenv("DESKSTORM_TEST_SHORT", "short")
	good := testConfig(t)
	good.Secret.Env = "DESKSTORM_TEST_SECRET"
	e, err := New(good, nil)
	require.NoError(t, err)
	require.Contains(t, e.Handlers, "POST /v1/reports")
	for _, c := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.Secret.Env = "DESKSTORM_TEST_SHORT" }, "shorter than 16 bytes"},
		{func(c *Config) { c.Secret.Env = "DESKSTORM_TEST_NONE" }, "is not set"},
		{func(c *Config) { c.Sites = nil }, "at least one site"},
		{func(c *Config) { c.Sites = []Site{{"N1", time.UTC}, {"N1", time.UTC}} }, "there twice"},
		{func(c *Config) { c.Sites = []Site{{Name: "N1"}} }, "no zone"},
		{func(c *Config) { c.Departments = []string{"other"} }, "other"},
		{func(c *Config) { c.Departments = make([]string, 501) }, "more than 1000"},
		{func(c *Config) { c.Inventory = "/there/is/none" }, "reading the inventory"},
		{func(c *Config) {
			c.Inventory = write(t, filepath.Join(t.TempDir(), "i.csv"),
				"client,site,department\ntc-1,N1,sales\ntc-1,N1,sales\ntc-2,N9,sales\n*,N1,sales\n")
		}, `i.csv:3: the client "tc-1" is there twice`},
		{func(c *Config) { c.Rosters = []roster.File{{Path: "a.csv"}, {Path: "a.csv"}} }, "a.csv is there twice"},
	} {
		bad := good
		c.change(&bad)
		_, err := New(bad, nil)
		require.ErrorContains(t, err, c.want)
		require.NotContains(t, err.Error(), secret)
	}
}

func TestMetricsAreClean(t *testing.T) {
	f := start(t, testConfig(t), noon)
	f.send(t, f.of("tc-1", 1, 1))
	f.step()
	problems, err := testutil.GatherAndLint(f.registry)
	require.NoError(t, err)
	require.Empty(t, problems)
	// Also of those that are not there now.
	var text strings.Builder
	for _, family := range Families() {
		fmt.Fprintf(&text, "# HELP %s %s\n# TYPE %s %s\n", family.Name, family.Help, family.Name, family.Kind)
	}
	problems, err = promlint.New(strings.NewReader(text.String())).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)
}
