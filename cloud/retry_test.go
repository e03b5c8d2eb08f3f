package cloud_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/cloud"
)

func readAll(r *http.Request) string {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err) // only a test's own client can cause it
	}
	return string(body)
}

// cut ends the connection after the request was read, without an answer.
func cut(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

func TestRetry(t *testing.T) {
	get := func(c *cloud.Cloud) error { _, err := c.Server(context.Background(), "s1"); return err }
	remove := func(c *cloud.Cloud) error { return c.DeleteServer(context.Background(), "s1") }
	tag := func(c *cloud.Cloud) error { _, err := c.TagServer(context.Background(), "s1", "x"); return err }
	start := func(c *cloud.Cloud) error { return c.StartServer(context.Background(), "s1") }
	create := func(c *cloud.Cloud) error {
		_, err := c.CreateServer(context.Background(), cloud.ServerSpec{Name: "desk-1", FlavorID: "f", ImageID: "i"})
		return err
	}
	conflict := answer(409, `{"conflictingRequest": {"code": 409, "message": "Cannot 'start' instance s1 while it is in vm_state active"}}`)
	busy := answer(503, "")
	limited := answer(429, `{"overLimit": {"message": "This request was rate-limited."}}`)
	tests := []struct {
		name     string
		call     func(*cloud.Cloud) error
		trouble  http.HandlerFunc
		failures int // before it is well again
		retryFor time.Duration
		requests int
		is       error
		least    time.Duration // slept
		most     time.Duration
	}{
		{name: "503, then well", call: get, trouble: busy, failures: 3, requests: 4, least: 700 * time.Millisecond, most: 1400 * time.Millisecond},
		{name: "429, then well", call: get, trouble: limited, failures: 1, requests: 2, least: 100 * time.Millisecond, most: 200 * time.Millisecond},
		{name: "503 to a POST: nothing was done", call: create, trouble: busy, failures: 2, requests: 3, least: 300 * time.Millisecond, most: 600 * time.Millisecond},
		{name: "Retry-After", call: get, trouble: answer(503, "", "Retry-After", "4"), failures: 2, requests: 3, least: 8300 * time.Millisecond, most: 8600 * time.Millisecond},
		{name: "Retry-After that is no time", call: get, trouble: answer(503, "", "Retry-After", "-4x"), failures: 1, requests: 2, least: 100 * time.Millisecond, most: 200 * time.Millisecond},
		{name: "Retry-After beyond the call's time", call: get, trouble: answer(503, "", "Retry-After", "60"), failures: 9, requests: 1, is: cloud.ErrUnavailable},
		{name: "503 for ever", call: get, trouble: busy, failures: 99, requests: 0, is: cloud.ErrUnavailable, least: 7 * time.Second, most: 15 * time.Second},
		{name: "never", call: get, trouble: busy, failures: 9, retryFor: -1, requests: 1, is: cloud.ErrUnavailable},
		{name: "409 to a DELETE, then well", call: remove, trouble: conflict, failures: 2, requests: 3, least: 300 * time.Millisecond, most: 600 * time.Millisecond},
		{name: "409 to a DELETE for ever", call: remove, trouble: conflict, failures: 99, requests: 4, is: cloud.ErrConflict, least: 700 * time.Millisecond, most: 1400 * time.Millisecond},
		{name: "409 to an action: the wrong state", call: start, trouble: conflict, failures: 1, requests: 1, is: cloud.ErrConflict},
		{name: "409 to a POST", call: create, trouble: conflict, failures: 1, requests: 1, is: cloud.ErrConflict},
		{name: "500", call: get, trouble: answer(500, ""), failures: 1, requests: 1},
		{name: "502 to a POST", call: create, trouble: answer(502, "<html>"), failures: 1, requests: 1, is: cloud.ErrUnavailable},
		{name: "GET cut", call: get, trouble: cut, failures: 2, requests: 3, least: 300 * time.Millisecond, most: 600 * time.Millisecond},
		{name: "POST cut: there may be a server", call: create, trouble: cut, failures: 9, requests: 1, is: cloud.ErrUnavailable},
		{name: "tag cut: it may be ours", call: tag, trouble: cut, failures: 9, requests: 1, is: cloud.ErrUnavailable},
		{name: "tag on a busy cloud", call: tag, trouble: busy, failures: 1, requests: 2, least: 100 * time.Millisecond, most: 200 * time.Millisecond},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := newOpenStack(t)
			var failed atomic.Int32
			o.mux.HandleFunc("/compute/v2.1/servers/", func(w http.ResponseWriter, r *http.Request) {
				if int(failed.Add(1)) <= test.failures {
					test.trouble(w, r)
					return
				}
				switch r.Method {
				case "GET":
					answer(200, aServer)(w, r)
				case "POST":
					answer(202, aServer)(w, r)
				default:
					w.WriteHeader(204)
				}
			})
			o.mux.HandleFunc("POST /compute/v2.1/servers", func(w http.ResponseWriter, r *http.Request) {
				if !strings.Contains(readAll(r), `"name":"desk-1"`) {
					t.Error("the body of a repeated request is not the first one's")
				}
				if int(failed.Add(1)) <= test.failures {
					test.trouble(w, r)
					return
				}
				answer(202, aServer)(w, r)
			})
			config := o.config(t)
			config.RetryFor = test.retryFor
			clock := cloud.WithFakeClock(config)
			c := o.connectWith(t, config)
			// A connection that served before is one that Go may replace by itself.
			config.Transport.CloseIdleConnections()
			err := test.call(c)
			if test.is != nil {
				require.ErrorIs(t, err, test.is)
			} else if test.failures < test.requests {
				require.NoError(t, err)
			} else {
				require.Error(t, err)
			}
			if test.requests > 0 {
				require.Len(t, o.asked(), test.requests)
			} else {
				require.Greater(t, len(o.asked()), 4)
			}
			require.GreaterOrEqual(t, clock.Slept(), test.least)
			require.LessOrEqual(t, clock.Slept(), test.most)
		})
	}
}

func TestRetryAfterDate(t *testing.T) {
	o := newOpenStack(t)
	config := o.config(t)
	clock := cloud.WithFakeClock(config)
	c := o.connectWith(t, config)
	var failed atomic.Bool
	o.mux.HandleFunc("GET /compute/v2.1/servers/{id}", func(w http.ResponseWriter, r *http.Request) {
		if failed.CompareAndSwap(false, true) {
			answer(503, "", "Retry-After", clock.Now().Add(6*time.Second).UTC().Format(http.TimeFormat))(w, r)
			return
		}
		answer(200, aServer)(w, r)
	})
	_, err := c.Server(t.Context(), "s1")
	require.NoError(t, err)
	require.Greater(t, clock.Slept(), 5*time.Second) // dates have no fractions
	require.Less(t, clock.Slept(), 6300*time.Millisecond)
}

// The time for retries is that of a call, not of each of its requests.
func TestRetryTimeIsTheCalls(t *testing.T) {
	o := newOpenStack(t)
	config := o.config(t)
	config.RetryFor = 10 * time.Second
	clock := cloud.WithFakeClock(config)
	c := o.connectWith(t, config)
	var n atomic.Int32
	o.mux.HandleFunc("GET /compute/v2.1/servers/detail", func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1)%2 == 1 { // each page at its second request
			answer(503, "", "Retry-After", "4")(w, r)
			return
		}
		answer(200, `{"servers": [], "servers_links": [{"rel": "next", "href": "/?marker=`+r.URL.Query().Get("marker")+`x"}]}`)(w, r)
	})
	_, err := c.Servers(t.Context(), cloud.Filter{})
	require.ErrorIs(t, err, cloud.ErrUnavailable)
	require.LessOrEqual(t, clock.Slept(), 10*time.Second)
	require.Len(t, o.asked(), 5)
}

// However many callers a sick cloud has, they ask it not much more often than if they never retried.
func TestRetryBudgetIsShared(t *testing.T) {
	o := newOpenStack(t)
	o.mux.HandleFunc("GET /compute/v2.1/servers/{id}", answer(503, ""))
	config := o.config(t)
	config.RetryFor = 2 * time.Second // of the fake clock, and with it of the budget's one retry a second
	clock := cloud.WithFakeClock(config)
	c := o.connectWith(t, config)
	other := o.connectWith(t, config.As("u117", password, ""))
	const calls = 500
	start := clock.Now()
	for i := range calls {
		var err error
		if i%2 == 0 {
			_, err = c.Server(t.Context(), "s1")
		} else {
			_, err = other.Server(t.Context(), "s1")
		}
		require.ErrorIs(t, err, cloud.ErrUnavailable)
	}
	retries := len(o.asked()) - calls
	most := 20 + calls*2/10 + int(clock.Now().Sub(start).Seconds()) + 1
	require.LessOrEqual(t, retries, most)
	require.Greater(t, retries, 100)
	t.Logf("%d calls, %d retries in %v", calls, retries, clock.Now().Sub(start))
}

// A deadline that cannot be kept is no reason to wait for it: the cloud's refusal says more.
func TestRetryKnowsTheDeadline(t *testing.T) {
	o := newOpenStack(t)
	o.mux.HandleFunc("GET /compute/v2.1/servers/{id}", answer(503, "", "Retry-After", "9"))
	c := o.connect(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := c.Server(ctx, "s1")
	require.ErrorIs(t, err, cloud.ErrUnavailable)
	require.NoError(t, ctx.Err())
}

func TestCancelledCalls(t *testing.T) {
	tests := map[string]http.HandlerFunc{
		"while the cloud thinks": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"while it waits to ask again": func(w http.ResponseWriter, r *http.Request) {
			answer(503, "", "Retry-After", "10")(w, r)
		},
		"in the middle of an answer": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(`{"server": {`))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
	}
	for name, handler := range tests {
		t.Run(name, func(t *testing.T) {
			o := newOpenStack(t)
			asked := make(chan struct{}, 1)
			o.mux.HandleFunc("GET /compute/v2.1/servers/{id}", func(w http.ResponseWriter, r *http.Request) {
				asked <- struct{}{}
				handler(w, r)
			})
			c := o.connect(t)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { _, err := c.Server(ctx, "s1"); done <- err }()
			<-asked
			cancel()
			select {
			case err := <-done:
				require.ErrorIs(t, err, context.Canceled)
				require.NotErrorIs(t, err, cloud.ErrUnavailable)
			case <-time.After(5 * time.Second):
				t.Fatal("it hangs")
			}
		})
	}
}

// An answer that never ends is an error before it fills the memory.
func TestEndlessAnswers(t *testing.T) {
	endless := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(`{"server": {"name": "`))
			page := []byte(strings.Repeat("x", 1<<20))
			for {
				if _, err := w.Write(page); err != nil {
					return
				}
			}
		}
	}
	o := newOpenStack(t)
	o.mux.HandleFunc("GET /compute/v2.1/servers/refused", endless(404))
	o.mux.HandleFunc("GET /compute/v2.1/servers/long", endless(200))
	c := o.connect(t)
	_, err := c.Server(t.Context(), "refused")
	require.ErrorIs(t, err, cloud.ErrNotFound)
	if testing.Short() {
		t.Skip("reads 32 MiB")
	}
	_, err = c.Server(t.Context(), "long")
	require.ErrorContains(t, err, "too long")
}

// The Transport's dialer makes all connections, those of the login as well.
func TestOwnDialer(t *testing.T) {
	o := newOpenStack(t)
	o.serveServer()
	config := o.config(t)
	var dials atomic.Int32
	config.Transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.Add(1)
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	c := o.connectWith(t, config)
	_, err := c.Server(t.Context(), "s1")
	require.NoError(t, err)
	require.EqualValues(t, 1, dials.Load(), "connections are kept")
}
