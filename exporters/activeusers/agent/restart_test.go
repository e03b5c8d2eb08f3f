package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/exporters/activeusers"
	"github.com/deskstorm/deskstorm/exporters/collector"
	"github.com/deskstorm/deskstorm/internal/activity"
	"github.com/deskstorm/deskstorm/internal/configfile"
)

const (
	secretVariable = "DESKSTORM_TEST_AGENT_SECRET"
	secret         = "a secret of the test's own"
)

// exporterNow is an exporter as an http.RoundTripper, so that time can be the test's. It may be away, and may lose its answers.
type exporterNow struct {
	handler  atomic.Pointer[http.Handler] // nil: it is away
	requests atomic.Int64
	loses    int64 // of so many answers one; 0: none
}

func (e *exporterNow) RoundTrip(r *http.Request) (*http.Response, error) {
	h := e.handler.Load()
	if h == nil {
		return nil, errors.New("connection refused")
	}
	w := httptest.NewRecorder()
	(*h).ServeHTTP(w, r)
	if n := e.requests.Add(1); e.loses > 0 && n%e.loses == 0 {
		return nil, errors.New("connection reset")
	}
	return w.Result(), nil
}

// start makes a new exporter, which knows nothing of the one before, and returns its metrics.
func (e *exporterNow) start(t *testing.T) *prometheus.Registry {
	t.Helper()
	c := activeusers.Default()
	c.Secret = configfile.Secret{Env: secretVariable}
	c.Sites, c.Departments = []activeusers.Site{{Name: "N1", Zone: time.UTC}}, []string{"sales"}
	exporter, err := activeusers.New(c, nil)
	require.NoError(t, err)
	registry := prometheus.NewRegistry()
	require.NoError(t, registry.Register(collector.NewSet([]collector.Exporter{exporter}, slog.New(slog.DiscardHandler))))
	h := exporter.Handlers["POST "+activity.Path]
	e.handler.Store(&h)
	return registry
}

func sum(t *testing.T, from *prometheus.Registry, name string) (total float64) {
	t.Helper()
	families, err := from.Gather()
	require.NoError(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				total += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return total
}

const (
	events = "deskstorm_activeusers_input_events_total"
	active = "deskstorm_activeusers_active"
)

// fleet is agents without devices: each reports as many events as the test says.
func fleet(ctx context.Context, t *testing.T, n int, through http.RoundTripper) (report func(events uint64), wait func()) {
	t.Helper()
	var wg sync.WaitGroup
	var senders []*sender
	var agents []*agent
	for i := range n {
		c := Default()
		c.Client, c.Site, c.Department, c.Queue = fmt.Sprintf("tc-%d", i), "N1", "sales", 60
		c.InputDir, c.Proc, c.Sys = t.TempDir(), t.TempDir(), t.TempDir()
		to, err := newClient(c.Client, through)
		require.NoError(t, err)
		q := &queue{limit: c.Queue}
		s := &sender{queue: q, to: to, log: slog.New(slog.DiscardHandler), wake: make(chan struct{}, 1)}
		senders = append(senders, s)
		agents = append(agents, &agent{
			config: c, run: fmt.Sprint("run-", i), from: time.Now(), inputs: newInputs(c.InputDir, nil), display: &display{}, queue: q,
		})
		wg.Go(func() { s.run(ctx) })
	}
	return func(events uint64) {
		for i, a := range agents {
			a.inputs.events.Add(events)
			now := time.Now()
			a.inputs.last.Store(&now)
			a.report(false)
			senders[i].poke()
		}
	}, wg.Wait
}

func newClient(name string, through http.RoundTripper) (*activity.Client, error) {
	return activity.NewClient("https://exporter.test", activity.ClientToken(secret, name), &http.Client{Transport: through})
}

// The exporter is away for five minutes and comes back as another process. Nothing that was queued is lost or counted twice, and
// its gauges are right with the first reports.
func TestRestartedExporter(t *testing.T) {
	t.Setenv(secretVariable, secret)
	synctest.Test(t, func(t *testing.T) {
		const agents, each = 10, 7
		exporter := &exporterNow{}
		before := exporter.start(t)
		ctx, cancel := context.WithCancel(t.Context())
		report, wait := fleet(ctx, t, agents, exporter)
		sent := 0
		work := func(d time.Duration) {
			for end := time.Now().Add(d); time.Now().Before(end); {
				time.Sleep(10 * time.Second)
				report(each)
				sent += agents * each
			}
		}
		work(3 * time.Minute)
		synctest.Wait()
		require.Equal(t, float64(sent), sum(t, before, events))
		exporter.handler.Store(nil)
		work(5 * time.Minute)
		after := exporter.start(t)
		require.Zero(t, sum(t, after, active))
		work(2 * time.Minute)
		synctest.Wait()
		require.Equal(t, float64(agents), sum(t, after, active))
		require.Equal(t, float64(sent), sum(t, before, events)+sum(t, after, events))
		require.Zero(t, sum(t, after, "deskstorm_activeusers_dropped_reports_total"))

		// Away for longer than the queue lasts: the loss is told.
		exporter.handler.Store(nil)
		work(15 * time.Minute)
		last := exporter.start(t)
		work(3 * time.Minute)
		synctest.Wait()
		lost := sum(t, last, "deskstorm_activeusers_dropped_reports_total")
		require.Positive(t, lost)
		require.Equal(t, float64(sent), sum(t, before, events)+sum(t, after, events)+sum(t, last, events)+lost*each)
		cancel()
		wait()
	})
}

// Every third answer is lost on its way, so that reports are sent again.
func TestLostAnswers(t *testing.T) {
	t.Setenv(secretVariable, secret)
	synctest.Test(t, func(t *testing.T) {
		exporter := &exporterNow{loses: 3}
		metrics := exporter.start(t)
		ctx, cancel := context.WithCancel(t.Context())
		report, wait := fleet(ctx, t, 20, exporter)
		for range 100 {
			time.Sleep(10 * time.Second)
			report(5)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, 20*100*5.0, sum(t, metrics, events))
		require.Greater(t, sum(t, metrics, "deskstorm_activeusers_reports_total"), 20*100.0) // with duplicates
		cancel()
		wait()
	})
}
