package client_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/broker/client"
)

const (
	secretSession  = "session-that-nobody-may-see"
	secretPassword = "password-that-nobody-may-see"
	secretTicket   = "ticket-that-nobody-may-see"
)

const goodAnswer = `{"id": "` + secretSession + `", "desktop": {"id": "d1", "name": "n1", "pool": "p1", "allocator": "a1"},
	"console": {"host": "node17", "tls_port": 5901, "ticket": "` + secretTicket + `", "expires_at": "2026-11-02T07:00:00Z",
	"ca": "PEM", "subject": "CN=node17"}, "steps": [{"step": "auth", "seconds": 0.25}, {"step": "console", "seconds": 0.5}],
	"elapsed_seconds": 1, "lease_seconds": 60, "request_id": "r1"}`

// broker serves every request with the handler.
func broker(t *testing.T, handle http.HandlerFunc) *client.Broker {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	return driver(t, client.BrokerConfig{URL: server.URL})
}

func driver(t *testing.T, cfg client.BrokerConfig) *client.Broker {
	t.Helper()
	b := client.NewBroker(cfg)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

func answer(status int, media, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", media)
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func login(b *client.Broker) (*client.Session, error) {
	return b.Login(context.Background(), client.Login{User: "anna", Password: secretPassword})
}

// failure wants an *Error without secrets.
func failure(t *testing.T, err error) *client.Error {
	t.Helper()
	e, ok := errors.AsType[*client.Error](err)
	require.True(t, ok, "%v", err)
	for _, text := range []string{err.Error(), fmt.Sprintf("%+v", *e), fmt.Sprint(e.Err)} {
		for _, secret := range []string{secretSession, secretPassword, secretTicket} {
			require.NotContains(t, text, secret)
		}
	}
	return e
}

func TestLogin(t *testing.T) {
	var seen http.Header
	b := broker(t, func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header.Clone()
		answer(201, "application/json; charset=utf-8", goodAnswer)(w, r)
	})
	s, err := login(b)
	require.NoError(t, err)
	require.Equal(t, &client.Session{
		ID:      secretSession,
		Desktop: client.Desktop{ID: "d1", Name: "n1", Pool: "p1", Allocator: "a1"},
		Console: client.Console{Host: "node17", TLSPort: 5901, Ticket: secretTicket, CA: "PEM", Subject: "CN=node17",
			Expires: time.Date(2026, 11, 2, 7, 0, 0, 0, time.UTC)},
		Steps:   []client.Timing{{Step: client.StepAuth, Took: 250 * time.Millisecond}, {Step: client.StepConsole, Took: 500 * time.Millisecond}},
		Elapsed: time.Second,
		Lease:   time.Minute,
	}, s)
	require.Equal(t, "application/json", seen.Get("Content-Type"))
	require.NotEmpty(t, seen.Get("X-Request-Id"))
}

func TestAnswersThatMakeNoSense(t *testing.T) {
	html := "<html>" + secretSession
	for name, test := range map[string]struct {
		handle  http.HandlerFunc
		class   client.Class
		message string
	}{
		"a web server":      {answer(200, "text/html", html), client.BrokerFailed, `answered with "text/html" instead of JSON`},
		"a proxy's failure": {answer(502, "text/html", html), client.BrokerFailed, `status 502 and "text/html"`},
		"untyped":           {answer(404, "", ""), client.BrokerFailed, "status 404"},
		"half of JSON":      {answer(201, "application/json", goodAnswer[:80]), client.BrokerFailed, "JSON that makes no sense"},
		"wrong types": {answer(201, "application/json", `{"id": 1, "console": {"ticket": "`+secretTicket+`"}}`),
			client.BrokerFailed, "JSON that makes no sense"},
		"endless": {answer(201, "application/json", strings.Repeat(" ", 1<<20)+goodAnswer), client.BrokerFailed, "more than 1048576 bytes"},
		"no id":   {answer(201, "application/json", `{"console": {"host": "h", "port": 1}}`), client.BrokerFailed, "without a session's id"},
		"long id": {answer(201, "application/json", `{"id": "`+strings.Repeat("x", 129)+`", "console": {"host": "h", "port": 1}}`),
			client.BrokerFailed, "without a session's id"},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere?"+secretSession, http.StatusTemporaryRedirect)
		},
			client.BrokerFailed, "status 307"},
		"a class of operators": {answer(404, "application/problem+json", `{"class": "not-found", "detail": "no\u001b[31m path"}`),
			client.BrokerFailed, "answered with status 404: no [31m path"},
		"half a problem": {answer(500, "application/problem+json", `{"class":`), client.BrokerFailed, "status 500"},
		"long detail": {answer(500, "application/problem+json", `{"class": "pool-empty", "detail": "`+strings.Repeat("é", 600)+`"}`),
			client.PoolEmpty, strings.Repeat("é", 500) + "..."},
		"no detail":     {answer(500, "application/problem+json", `{"class": "pool-empty", "title": "empty"}`), client.PoolEmpty, "empty"},
		"cut off":       {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, client.BrokerDown, "broke: EOF"},
		"a broken body": {short, client.BrokerDown, "broke: unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := login(broker(t, test.handle))
			e := failure(t, err)
			require.Equal(t, test.class, e.Class, "%v", e)
			require.Contains(t, e.Message, test.message)
			require.NotEmpty(t, e.RequestID)
		})
	}
}

// short answers with less than it promises.
func short(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", "1000")
	w.WriteHeader(201)
	fmt.Fprint(w, goodAnswer[:50])
}

// TestSessionsOfBadAnswersEnd: nobody would log them out.
func TestSessionsOfBadAnswersEnd(t *testing.T) {
	for name, body := range map[string]string{
		"no host":         strings.Replace(goodAnswer, `"host": "node17", `, "", 1),
		"no port":         strings.Replace(goodAnswer, `"tls_port": 5901, `, "", 1),
		"impossible port": strings.Replace(goodAnswer, "5901", "70000", 1),
		"negative time":   strings.Replace(goodAnswer, "0.25", "-1", 1),
		"endless time":    strings.Replace(goodAnswer, `"elapsed_seconds": 1`, `"elapsed_seconds": 1e300`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			require.NotEqual(t, goodAnswer, body)
			var ended atomic.Int32
			_, err := login(broker(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodDelete && r.URL.Path == "/v1/sessions/"+secretSession {
					ended.Add(1)
					w.WriteHeader(204)
					return
				}
				answer(201, "application/json", body)(w, r)
			}))
			require.Equal(t, client.BrokerFailed, failure(t, err).Class)
			require.EqualValues(t, 1, ended.Load())
		})
	}
}

func TestUnknownAndRepeatedStepsAreLeftOut(t *testing.T) {
	body := strings.Replace(goodAnswer, `"steps": [`, `"steps": [{"step": "auth", "seconds": 2}, {"step": "coffee", "seconds": 1}, `, 1)
	s, err := login(broker(t, answer(201, "application/json", body)))
	require.NoError(t, err)
	require.Equal(t, []client.Timing{{Step: client.StepAuth, Took: 2 * time.Second}, {Step: client.StepConsole, Took: 500 * time.Millisecond}}, s.Steps)
}

func TestNetworkFailures(t *testing.T) {
	session := &client.Session{ID: secretSession}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	refusing := "http://" + listener.Addr().String()
	require.NoError(t, listener.Close())
	silent := httptest.NewServer(http.HandlerFunc(wait))
	t.Cleanup(silent.Close)
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)

	for name, test := range map[string]struct {
		cfg     client.BrokerConfig
		message string
		is      error
		arrived bool
	}{
		"refused": {client.BrokerConfig{URL: refusing}, "no connection to the broker at 127.0.0.1:", syscall.ECONNREFUSED, false},
		"no answer in time": {client.BrokerConfig{URL: silent.URL, Timeout: 50 * time.Millisecond}, "no answer from the broker at 127.0.0.1:",
			context.DeadlineExceeded, true},
		"no connection in time": {client.BrokerConfig{URL: silent.URL, Timeout: 50 * time.Millisecond, DialContext: never},
			"in time", context.DeadlineExceeded, false},
		"no such name": {client.BrokerConfig{URL: "http://broker.invalid", DialContext: nameless},
			"the broker's name in broker.invalid cannot be resolved: no such host", nil, false},
		"a stranger's certificate": {client.BrokerConfig{URL: secure.URL}, "does not prove who it is", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := driver(t, test.cfg)
			_, loginErr := login(b)
			_, consoleErr := b.Console(context.Background(), session)
			for _, err := range []error{loginErr, consoleErr, b.Logout(context.Background(), session), b.ReportBroken(context.Background(), session, "it is")} {
				e := failure(t, err)
				require.Equal(t, client.BrokerDown, e.Class)
				require.Contains(t, e.Message, test.message)
				require.Empty(t, e.Step)
				require.Equal(t, test.arrived, e.RequestID != "")
				if test.is != nil {
					require.ErrorIs(t, err, test.is)
				}
			}
		})
	}
}

// wait waits until the client has gone, which a server notices when it has read the body.
func wait(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

func never(ctx context.Context, _, _ string) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func nameless(_ context.Context, network, _ string) (net.Conn, error) {
	return nil, &net.OpError{Op: "dial", Net: network, Err: &net.DNSError{Err: "no such host", Name: "broker.invalid", IsNotFound: true}}
}

func TestCancelledCallsAreNobodysFailure(t *testing.T) {
	arrived := make(chan struct{})
	b := broker(t, func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		wait(w, r)
	})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-arrived
		cancel()
	}()
	_, err := b.Console(ctx, &client.Session{ID: secretSession})
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorAs(t, err, new(*client.Error))
	require.NotContains(t, err.Error(), secretSession)
}

func TestURLs(t *testing.T) {
	for url, message := range map[string]string{
		"":                                  "not like https://broker.example:8443",
		"broker.example:8443":               "not like https://broker.example:8443",
		"ftp://broker.example":              "not like https://broker.example:8443",
		"http://broker.example/?a=b":        "a query or a fragment",
		"http://a:" + secretTicket + "@b":   "a user in it",
		"http://a:" + secretTicket + "@b:c": "cannot be parsed",
	} {
		_, err := login(driver(t, client.BrokerConfig{URL: url}))
		e := failure(t, err)
		require.Equal(t, client.BadRequest, e.Class, url)
		require.Contains(t, e.Message, message, url)
	}
}

func TestAPathIsAPrefix(t *testing.T) {
	var path string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path = r.URL.EscapedPath()
		w.WriteHeader(204)
	}))
	t.Cleanup(server.Close)
	b := driver(t, client.BrokerConfig{URL: server.URL + "/desk/"})
	require.NoError(t, b.Logout(context.Background(), &client.Session{ID: "a/b ü"}))
	require.Equal(t, "/desk/v1/sessions/a%2Fb%20%C3%BC", path)
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	var connections atomic.Int32
	answers := []http.HandlerFunc{
		answer(201, "application/json", goodAnswer),
		answer(503, "application/problem+json", `{"class": "pool-empty", "detail": "`+strings.Repeat("x", 100<<10)+`"}`),
		answer(502, "text/html", strings.Repeat("x", 100<<10)),
	}
	var calls atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answers[int(calls.Add(1))%len(answers)](w, r)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	b := driver(t, client.BrokerConfig{URL: server.URL})
	for range 12 {
		_, _ = login(b)
	}
	require.EqualValues(t, 12, calls.Load())
	require.EqualValues(t, 1, connections.Load())
}

func TestTLS(t *testing.T) {
	server := httptest.NewTLSServer(answer(201, "application/json", goodAnswer))
	t.Cleanup(server.Close)
	roots := server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	_, err := login(driver(t, client.BrokerConfig{URL: server.URL, TLS: &tls.Config{RootCAs: roots}}))
	require.NoError(t, err)
}

// TestLinksNothingOfTheBroker: a thin client has no room for a database.
func TestLinksNothingOfTheBroker(t *testing.T) {
	const module = "github.com/deskstorm/deskstorm/"
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	require.NoError(t, err)
	packages := strings.Fields(string(out))
	require.Contains(t, packages, module+"broker/client")
	for _, p := range packages {
		require.NotEqual(t, "database/sql", p)
		require.NotContains(t, p, "go-ldap")
		require.NotContains(t, p, "sqlite")
		if strings.HasPrefix(p, module+"broker") {
			require.Equal(t, module+"broker/client", p)
		}
	}
}
