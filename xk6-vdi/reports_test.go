package vdi

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/activity"
)

// intake takes reports as an exporter does, each once.
type intake struct {
	*httptest.Server

	mu      sync.Mutex
	away    bool // it takes them and its answers are lost
	tokens  []string
	seen    map[string]bool
	reports []activity.Report
}

func newIntake(t *testing.T) *intake {
	in := &intake{seen: map[string]bool{}}
	in.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in.mu.Lock()
		defer in.mu.Unlock()
		var body activity.Request
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		in.tokens = append(in.tokens, r.Header.Get("Authorization"))
		answer := activity.Answer{}
		for _, one := range body.Reports {
			if err := one.Validate(); err != nil {
				t.Error(err)
			}
			key, _ := json.Marshal([]any{one.Client, one.Run, one.Sequence})
			if in.seen[string(key)] {
				answer.Results = append(answer.Results, activity.Duplicate)
				continue
			}
			in.seen[string(key)] = true
			in.reports = append(in.reports, one)
			answer.Results = append(answer.Results, activity.Accepted)
		}
		if in.away {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(in.Close)
	return in
}

func TestReports(t *testing.T) {
	t.Parallel()
	b, o := newLoginBench(t, nil)
	in := newIntake(t)
	require.NoError(t, b.VU.Runtime().Set("exporter", in.URL))
	require.Empty(t, b.run(t, `
		globalThis.c = tc({id: 'tc-17', report: {url: exporter, token: 'hunter2'}});
		await c.login();
		globalThis.desk = await c.connect();
		await desk.type('hello', {wpm: 1000});
	`))
	require.Len(t, b.root.reporters.by, 1)
	for _, r := range b.root.reporters.by {
		in.away = true
		r.tell(t.Context())
		require.Len(t, r.unsent, 2, "the first one, of the connect, and what was typed")
		in.away = false
	}
	require.Empty(t, b.run(t, `
		await desk.type('you', {wpm: 1000});
		desk = await desk.reconnect();
		await desk.type('there', {wpm: 1000});
		await c.logout();
	`))
	b.root.close()
	o.requireEmpty(t, 1)

	require.Len(t, in.seen, len(in.reports))
	var events uint64
	for i, r := range in.reports {
		require.Equal(t, "tc-17", r.Client)
		require.Equal(t, "north", r.Site)
		require.EqualValues(t, i+1, r.Sequence)
		require.Equal(t, in.reports[0].Run, r.Run)
		events += r.Events
	}
	require.EqualValues(t, len("hello")+len("you")+len("there"), events, "no key is lost and none counted twice")
	require.True(t, in.reports[len(in.reports)-1].Leaving)
	require.Contains(t, in.tokens, "Bearer hunter2")
	sums := b.sums()
	require.EqualValues(t, 2, sums["vdi_reports class=failed"])
	require.EqualValues(t, 2, sums["vdi_reports class=duplicate"])
	require.EqualValues(t, len(in.reports)-2, sums["vdi_reports class=accepted"])
}

func TestReportRefuses(t *testing.T) {
	t.Parallel()
	b, _ := newLoginBench(t, nil)
	for js, want := range map[string]string{
		`tc({report: 'x'})`: "report must be {url, token, ca}",
		`tc({id: 'a', report: {url: 'http://exporter.example', token: 'hunter2'}})`:                                                                     "report cannot be used: the exporter's URL must begin with https",
		`tc({id: 'a', report: {url: 'https://exporter.example'}})`:                                                                                      "report cannot be used: the exporter's token is empty",
		`tc({id: 'a', report: {url: 'https://exporter.example', token: 'hunter2', site: 'x'}})`:                                                         "unknown option site",
		`tc({report: {url: 'https://exporter.example', token: 'hunter2'}})`:                                                                             "report needs an id",
		`tc({id: 'ü', report: {url: 'https://exporter.example', token: 'hunter2'}})`:                                                                    "report needs an id",
		`tc({id: 'a', site: undefined, report: {url: 'https://exporter.example', token: 'hunter2'}})`:                                                   "and a site",
		`const c = tc({id: 'a', report: {url: 'https://exporter.example', token: 'hunter2', ca: '/no/such/file'}}); await c.login(); await c.connect()`: "report.ca",
	} {
		got := b.run(t, js)
		require.Contains(t, got, want, js)
		require.NotContains(t, got, "hunter2", js)
	}
	b.root.close()
}
