package engine_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/runner/engine"
	"github.com/deskstorm/deskstorm/runner/record"
)

// one runs an experiment whose method is one activity with the provider.
func one(t *testing.T, ctx context.Context, provider string) *engine.Execution {
	t.Helper()
	e := parse(t, head+"method: [{type: action, name: a, provider: {"+provider+"}}]")
	journal, err := engine.Run(ctx, e, engine.Options{})
	require.NoError(t, err)
	require.Len(t, journal.Run, 1)
	return journal.Run[0]
}

func TestHTTP(t *testing.T) {
	var visits atomic.Int32
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "fine") })
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/big", func(w http.ResponseWriter, _ *http.Request) {
		for range 5 << 10 {
			if _, err := w.Write(make([]byte, 1<<10)); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/drops", func(http.ResponseWriter, *http.Request) {
		visits.Add(1)
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("/parts", func(w http.ResponseWriter, _ *http.Request) {
		for range 8 {
			fmt.Fprint(w, "part")
			w.(http.Flusher).Flush()
			time.Sleep(150 * time.Millisecond)
		}
	})
	mux.HandleFunc("/stalls", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "part")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("/torn", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, "{")
	})
	mux.HandleFunc("/latin", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=ISO-8859-1")
		_, _ = w.Write([]byte{0xfc})
	})
	plain, secure := httptest.NewServer(mux), httptest.NewTLSServer(mux)
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	for _, test := range []struct {
		name, provider string
		status         string
		body, err      string
		visits         int32
	}{
		{name: "certificate of nobody", provider: "url: TLS/ok", status: "failed", err: "certificate"},
		{name: "certificate not looked at", provider: "url: TLS/ok, verify_tls: false", status: "succeeded", body: "fine"},
		{name: "expected status", provider: "url: URL/ok, expected_status: 200", status: "succeeded", body: "fine"},
		{name: "another status", provider: "url: URL/none, expected_status: 200", status: "failed", err: "expected status 200, found 404"},
		{name: "redirects without end", provider: "url: URL/loop", status: "failed", err: "more than 30 redirects"},
		{name: "too much", provider: "url: URL/big", status: "failed", err: "has more than 4194304 bytes"},
		{name: "slow parts", provider: "url: URL/parts, timeout: 0.6", status: "succeeded", body: strings.Repeat("part", 8)},
		{name: "stalls", provider: "url: URL/stalls, timeout: [5, 0.2]", status: "failed", err: "took too long"},
		{name: "is no JSON", provider: "url: URL/torn", status: "failed", err: "says that it is JSON, and is not"},
		{name: "Latin-1", provider: "url: URL/latin", status: "succeeded", body: "ü"},
		{name: "again", provider: "url: URL/drops, max_retries: 3", status: "failed", err: "failed to connect", visits: 4},
		{name: "not twice", provider: "url: URL/drops, method: POST, max_retries: 3", status: "failed", err: "failed to connect", visits: 1},
		{name: "arguments", provider: "url: URL/ok, arguments: [1]", status: "aborted", err: "expected arguments that are a mapping"},
	} {
		t.Run(test.name, func(t *testing.T) {
			visits.Store(0)
			provider := strings.NewReplacer("URL", plain.URL, "TLS", secure.URL).Replace("type: http, " + test.provider)
			got := one(t, t.Context(), provider)
			require.Equal(t, test.status, got.Status, "%v", got.Exception)
			require.Contains(t, strings.Join(got.Exception, ""), test.err)
			if test.body != "" {
				require.Equal(t, test.body, got.Output.(map[string]any)["body"])
			}
			if test.visits > 0 { // net/http sends a GET again itself, if its connection was used before; ours are not
				require.Equal(t, test.visits, visits.Load())
			}
		})
	}
}

// gone says whether a process is not there, or is dead and not yet waited for by whoever inherited it.
func gone(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func TestProcessIsKilledWithItsChildren(t *testing.T) {
	for _, test := range []struct {
		name, timeout, status, err string
		stop                       bool
	}{
		{name: "timeout", timeout: ", timeout: 0.5", status: "failed", err: "process activity took too long to complete"},
		{name: "interrupted", stop: true, status: "aborted", err: "was ended: enough"},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "pid")
			ctx, stop := context.WithCancelCause(t.Context())
			defer stop(nil)
			if test.stop {
				time.AfterFunc(500*time.Millisecond, func() { stop(errors.New("enough")) })
			}
			got := one(t, ctx, fmt.Sprintf("type: process, path: sh, arguments: [-c, 'sleep 600 & echo $! > %s; wait']%s", file, test.timeout))
			require.Equal(t, test.status, got.Status)
			require.Contains(t, got.Exception[0], test.err)
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
			require.NoError(t, err)
			require.Eventually(t, func() bool { return gone(pid) }, 10*time.Second, 10*time.Millisecond)
		})
	}
}

// A process that has left the group keeps the output open.
func TestProcessThatEscapedIsNotWaitedFor(t *testing.T) {
	began := time.Now()
	got := one(t, t.Context(), "type: process, path: sh, arguments: [-c, 'setsid sleep 15 & wait'], timeout: 0.3")
	require.Equal(t, "failed", got.Status)
	require.Less(t, time.Since(began), 10*time.Second)
}

func TestProcessOutput(t *testing.T) {
	got := one(t, t.Context(), "type: process, path: head, arguments: [-c, 5000000, /dev/zero]")
	require.Equal(t, "failed", got.Status)
	require.Contains(t, got.Exception[0], "head wrote more than 4194304 bytes")

	got = one(t, t.Context(), `type: process, path: printf, arguments: ['\374']`)
	require.Equal(t, "ü", got.Output.(map[string]any)["stdout"])

	got = one(t, t.Context(), "type: process, path: cat")
	require.Equal(t, map[string]any{"status": int64(0), "stdout": "", "stderr": ""}, got.Output)
}

func TestInterruptedRequest(t *testing.T) {
	ctx, stop := context.WithCancelCause(t.Context())
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		stop(errors.New("enough"))
		<-r.Context().Done()
	}))
	t.Cleanup(s.Close)
	recorder := record.NewRecorder(record.Run{})
	e := parse(t, head+`
runtime: {rollbacks: {strategy: always}}
steady-state-hypothesis: {title: a, probes: [{type: probe, name: a, tolerance: 200, provider: {type: http, url: "`+s.URL+`"}}]}
method: [{type: action, name: never, provider: {type: http, url: "`+s.URL+`"}}]
rollbacks: [{type: action, name: back, provider: {type: process, path: echo}}]
`)
	journal, err := engine.Run(ctx, e, engine.Options{Recorder: recorder})
	require.NoError(t, err)
	require.Equal(t, record.Interrupted, journal.Status)
	require.Empty(t, journal.Run)
	require.Len(t, journal.Rollbacks, 1)
	require.Equal(t, "succeeded", journal.Rollbacks[0].Status)
	require.Nil(t, journal.SteadyStates.Before.Met)
	require.Equal(t, "enough", recorder.Run().Error)
}
