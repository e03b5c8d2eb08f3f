package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/configfile"
	"github.com/deskstorm/deskstorm/runner/history"
	"github.com/deskstorm/deskstorm/runner/record"
	"github.com/deskstorm/deskstorm/runner/verdict"
)

// memory is a State.
type memory struct {
	mutex  sync.Mutex
	values map[string][]byte
	err    error // of all it is asked
}

func (m *memory) Get(_ context.Context, key string) ([]byte, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.err != nil {
		return nil, m.err
	}
	value, ok := m.values[key]
	if !ok {
		return nil, history.ErrNotFound
	}
	return value, nil
}

func (m *memory) Put(_ context.Context, key string, value []byte) error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.err != nil {
		return m.err
	}
	if m.values == nil {
		m.values = map[string][]byte{}
	}
	m.values[key] = value
	return nil
}

var _ State = (*history.Store)(nil)

// notifier waits for nothing and writes down how long it would have.
func notifier(c Config, s State) (*Notifier, *[]time.Duration) {
	n := New(c, s)
	var waited []time.Duration
	n.now = func() time.Time { return time.Date(2026, 11, 26, 3, 0, 0, 0, time.UTC) }
	n.wait = func(ctx context.Context, d time.Duration) error {
		waited = append(waited, d)
		return ctx.Err()
	}
	return n, &waited
}

func event(outcome verdict.Outcome) Event {
	began := time.Date(2026, 11, 26, 2, 15, 0, 0, time.UTC)
	return Event{
		Run: record.Run{ID: "20261126T021500-7f3a9c", Experiment: "boot-storm", Title: "Zwei <hundert> Schreibtische & mehr",
			Began: began, Ended: began.Add(20 * time.Minute)},
		Verdict: verdict.Verdict{
			Outcome: outcome, Reason: "the p95 is 9 s, not below 8 s",
			Findings: []verdict.Finding{
				{Result: verdict.Good, Text: "this is as it should be"},
				{Result: verdict.Bad, Text: "the p95 is 9 s, not below 8 s"},
				{Result: verdict.Bad, Text: "site harbour\r\nBcc: everyone@example.com\r\n\r\n<!channel> " + strings.Repeat("long ", 100)},
			},
			Flaky: &verdict.Flaky{Runs: 7, Passed: 4, Deviated: 3, Changes: 5},
		},
	}
}

// received is what a server got.
type received struct {
	path   string
	header http.Header
	body   []byte
}

// listen answers each request by the next status, the last one for ever.
func listen(t *testing.T, statuses ...int) (url string, got func() []received) {
	var mutex sync.Mutex
	var all []received
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mutex.Lock()
		defer mutex.Unlock()
		all = append(all, received{r.URL.Path, r.Header, body})
		status := statuses[min(len(all), len(statuses))-1]
		if status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "17")
		}
		if status == http.StatusFound {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/services/T0/TOKEN", func() []received {
		mutex.Lock()
		defer mutex.Unlock()
		return all
	}
}

func hook(url, secret string) Receiver {
	w := &Webhook{URL: configfile.Plain(url)}
	if secret != "" {
		w.Secret = configfile.Plain(secret)
	}
	return Receiver{Name: "hook", When: []verdict.Outcome{verdict.Deviated}, Of: Of{1, 1}, Recover: true, Webhook: w}
}

func TestWebhook(t *testing.T) {
	url, got := listen(t, 204)
	n, _ := notifier(Config{Page: "https://runner.example.com/", Receivers: []Receiver{hook(url, "hunter2")}}, &memory{})
	require.NoError(t, n.Tell(t.Context(), []string{"hook"}, event(verdict.Deviated)))
	require.Len(t, got(), 1)
	r := got()[0]
	require.Equal(t, "application/json", r.header.Get("Content-Type"))
	require.Equal(t, "1795662000", r.header.Get("X-Deskstorm-Timestamp"))
	require.Equal(t, sign("hunter2", "1795662000", r.body), r.header.Get("X-Deskstorm-Signature"))
	var m map[string]any
	require.NoError(t, json.Unmarshal(r.body, &m))
	require.Equal(t, "deviated", m["event"])
	require.Equal(t, "boot-storm", m["experiment"])
	require.Equal(t, "https://runner.example.com/runs/20261126T021500-7f3a9c", m["url"])
	require.Len(t, m["findings"], 2)
	require.Equal(t, true, m["unhealthy"])

	require.NoError(t, n.Tell(t.Context(), []string{"hook"}, event(verdict.Deviated)))
	require.Len(t, got(), 1, "the same run again")
	well := event(verdict.Passed)
	well.Run.ID = "20261127T021500-000000"
	require.NoError(t, n.Tell(t.Context(), []string{"hook"}, well))
	require.Len(t, got(), 2)
	require.Contains(t, string(got()[1].body), `"event":"recovered"`)

	require.NoError(t, n.Test(t.Context(), []string{"hook"}))
	require.Contains(t, string(got()[2].body), `"event":"test"`)
}

// TestSignature holds the signature against one that was made by another program:
// printf '1795662000.{}' | openssl dgst -sha256 -hmac hunter2
func TestSignature(t *testing.T) {
	require.Equal(t, "sha256=c5d034e32d4a0b4e396cc4cc88a63b093c15a9adabe4e9ed61fe93c6a2fe13f2", sign("hunter2", "1795662000", []byte("{}")))
}

func TestSlack(t *testing.T) {
	url, got := listen(t, 200)
	r := hook(url, "")
	r.Webhook, r.Slack = nil, &Slack{URL: r.Webhook.URL}
	n, _ := notifier(Config{Receivers: []Receiver{r}}, &memory{})
	require.NoError(t, n.Tell(t.Context(), []string{"hook"}, event(verdict.Deviated)))
	body := got()[0].body
	var m slackMessage
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&m))
	require.Equal(t, "boot-storm: deviated", m.Blocks[0].Text.Text)
	require.Contains(t, m.Text, "Zwei &lt;hundert&gt; Schreibtische &amp; mehr")
	require.NotContains(t, m.Text, "<!channel>", "nobody is called by what an error says")
	require.Contains(t, m.Text, "3 of the last 7 runs deviated")
	require.LessOrEqual(t, len([]rune(m.Blocks[1].Text.Text)), slackSection)
}

func TestRetries(t *testing.T) {
	s := time.Second
	for _, test := range []struct {
		name     string
		statuses []int
		waited   []time.Duration
		says     string // of the error; empty: none
	}{
		{"at once", []int{200}, nil, ""},
		{"at the third attempt", []int{500, 503, 200}, []time.Duration{2 * s, 4 * s}, ""},
		{"never", []int{500}, []time.Duration{2 * s, 4 * s, 8 * s}, "answered 500 Internal Server Error; tried 4 times"},
		{"as asked", []int{429, 200}, []time.Duration{17 * s}, ""},
		{"refused", []int{404}, nil, "answered 404 Not Found"},
		{"elsewhere", []int{302}, nil, "answered 302 Found"},
	} {
		t.Run(test.name, func(t *testing.T) {
			url, got := listen(t, test.statuses...)
			n, waited := notifier(Config{Receivers: []Receiver{hook(url, "hunter2")}}, &memory{})
			err := n.Tell(t.Context(), []string{"hook"}, event(verdict.Deviated))
			require.Equal(t, test.waited, *waited)
			require.Len(t, got(), len(test.waited)+1)
			if test.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.says)
			require.ErrorContains(t, err, "telling hook: ")
			requireNoSecret(t, err, url)
			ids := map[string]bool{}
			for _, r := range got() {
				require.Equal(t, "/services/T0/TOKEN", r.path)
				ids[string(r.body)] = true
			}
			require.Len(t, ids, 1, "every attempt says the same")
		})
	}
}

func requireNoSecret(t *testing.T, err error, url string) {
	t.Helper()
	for _, secret := range []string{url, "TOKEN", "hunter2"} {
		require.NotContains(t, err.Error(), secret)
	}
}

// TestErrorsHoldNoURL: whoever has the URL may post.
func TestErrorsHoldNoURL(t *testing.T) {
	gone := httptest.NewServer(nil)
	url := gone.URL + "/services/T0/TOKEN"
	gone.Close()
	for _, bad := range []string{
		url, "http://127.0.0.1:1/TOKEN\x7f", "ftp://127.0.0.1/TOKEN", "http://%zz/TOKEN", "TOKEN", "https://" + strings.TrimPrefix(gone.URL, "http://") + "/TOKEN",
	} {
		n, _ := notifier(Config{Receivers: []Receiver{hook(bad, "hunter2")}}, &memory{})
		err := n.Tell(t.Context(), []string{"hook"}, event(verdict.Deviated))
		require.Error(t, err)
		requireNoSecret(t, err, bad)
	}
}

// TestHangs: a receiver that never answers is given up, and does not keep others from being told.
func TestHangs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	url, got := listen(t, 200)
	hung, well := hook("http://"+l.Addr().String()+"/TOKEN", ""), hook(url, "")
	hung.Name = "hung"
	n, _ := notifier(Config{Receivers: []Receiver{hung, well}}, &memory{})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	t.Cleanup(cancel)
	err = n.Tell(ctx, []string{"hung", "hook", "nobody"}, event(verdict.Deviated))
	require.ErrorContains(t, err, "telling hung")
	require.ErrorContains(t, err, `telling "nobody": notify in deskstorm.yaml has no such receiver`)
	require.NotContains(t, err.Error(), "telling hook")
	require.Len(t, got(), 1)
}

// TestNoState: who does not know what was sent sends.
func TestNoState(t *testing.T) {
	url, got := listen(t, 200)
	broken := errors.New("disk full")
	n, _ := notifier(Config{Receivers: []Receiver{hook(url, "")}}, &memory{err: broken})
	require.ErrorIs(t, n.Tell(t.Context(), []string{"hook"}, event(verdict.Deviated)), broken)
	require.Len(t, got(), 1)
	n, _ = notifier(Config{Receivers: []Receiver{hook(url, "")}}, &memory{values: map[string][]byte{"notify/hook/boot-storm": []byte("{")}})
	require.ErrorContains(t, n.Tell(t.Context(), []string{"hook"}, event(verdict.Deviated)), "reading what was sent")
	require.Len(t, got(), 2)
	require.NoError(t, n.Tell(t.Context(), []string{"hook"}, event(verdict.Deviated)), "what could not be read is written anew")
	require.Len(t, got(), 2)
}

// TestHistoryKeepsIt: a runner that was started again knows what was sent.
func TestHistoryKeepsIt(t *testing.T) {
	url, got := listen(t, 200)
	r := hook(url, "")
	r.Cooldown = 24 * time.Hour
	path := filepath.Join(t.TempDir(), "history.db")
	for _, run := range []string{"1", "2"} {
		store, err := history.Open(t.Context(), history.Default(path))
		require.NoError(t, err)
		n, _ := notifier(Config{Receivers: []Receiver{r}}, store)
		e := event(verdict.Deviated)
		e.Run.ID = run
		require.NoError(t, n.Tell(t.Context(), []string{"hook"}, e))
		require.NoError(t, store.Close())
	}
	require.Len(t, got(), 1)
}
