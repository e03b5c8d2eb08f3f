package activity

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
)

func good() Report {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	return Report{Client: "tc-1", Run: "a", Sequence: 1, From: now.Add(-10 * time.Second), To: now}
}

func TestValidate(t *testing.T) {
	r := good()
	require.NoError(t, r.Validate())
	hot, half := 300.0, 1.5
	for want, change := range map[string]func(*Report){
		"client:":                    func(r *Report) { r.Client = strings.Repeat("a", 65) },
		"run:":                       func(r *Report) { r.Run = "a/b" },
		"sequence:":                  func(r *Report) { r.Sequence = 0 },
		"from, to:":                  func(r *Report) { r.From = time.Time{} },
		"at most 1h":                 func(r *Report) { r.To = r.To.Add(2 * time.Hour) },
		"events:":                    func(r *Report) { r.Events = 1e6 + 1 },
		"site, department:":          func(r *Report) { r.Site = strings.Repeat("a", 65) },
		"state.version:":             func(r *Report) { r.State = &State{Version: strings.Repeat("a", 65)} },
		"state: expected counts":     func(r *Report) { r.State = &State{DisplayErrors: 1e7} },
		"state.temperature_celsius:": func(r *Report) { r.State = &State{Temperature: &hot} },
		"state.disk_free_ratio:":     func(r *Report) { r.State = &State{DiskFree: &half} },
	} {
		r := good()
		change(&r)
		require.ErrorContains(t, r.Validate(), want)
	}
}

// What the client does not know is not sent, so that the exporter need not tell a zero from nothing.
func TestJSON(t *testing.T) {
	text, err := json.Marshal(good())
	require.NoError(t, err)
	require.JSONEq(t, `{"client": "tc-1", "run": "a", "sequence": 1, "from": "2026-06-01T11:59:50Z", "to": "2026-06-01T12:00:00Z",
		"events": 0}`, string(text))
}

// The documentation makes tokens with openssl.
func TestTokenIsOpenSSLs(t *testing.T) {
	qemutest.RequireProgram(t, "openssl", "openssl")
	for of, token := range map[string]string{
		"client\ntc-0001": ClientToken("s3cret", "tc-0001"), "site\nN1": SiteToken("s3cret", "N1"),
	} {
		cmd := exec.Command("sh", "-c", `printf "$1" | "$0" dgst -sha256 -hmac s3cret -binary | basenc --base64url | tr -d =`,
			"openssl", strings.ReplaceAll(of, "\n", `\n`))
		out, err := cmd.Output()
		require.NoError(t, err)
		require.Equal(t, token, strings.TrimSpace(string(out)))
	}
	require.NotEqual(t, ClientToken("s", "a"), SiteToken("s", "a"))
}

func TestNewClient(t *testing.T) {
	for _, bad := range []string{
		"", "exporter.example", "http://exporter.example", "ftp://exporter.example", "https://", "https://a:b@exporter.example",
		"https://exporter.example?token=x", "http://127.0.0.1.example", "https://exporter.example:port",
	} {
		_, err := NewClient(bad, "token", nil)
		require.Error(t, err, bad)
	}
	_, err := NewClient("https://exporter.example", "", nil)
	require.ErrorContains(t, err, "token is empty")
	for _, fine := range []string{"https://exporter.example:9877/", "http://localhost:1", "http://[::1]:1", "https://proxy.example/tc"} {
		_, err := NewClient(fine, "token", nil)
		require.NoError(t, err, fine)
	}
}

func TestSend(t *testing.T) {
	var answer func(w http.ResponseWriter, r *http.Request)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(w, r) }))
	defer server.Close()
	c, err := NewClient(server.URL+"/below", "the token", nil)
	require.NoError(t, err)
	reports := []Report{good(), good()}

	answer = func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/below/v1/reports" || r.Header.Get("Authorization") != "Bearer the token" {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		var request Request
		if json.Unmarshal(body, &request) != nil || len(request.Reports) != 2 {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		w.Header().Set("Content-Type", "application/problem+json; charset=utf-8")
		w.WriteHeader(http.StatusGone)
		fmt.Fprint(w, `{"title": "late", "results": ["accepted", "late"]}`)
	}
	results, err := c.Send(t.Context(), reports)
	require.NoError(t, err)
	require.Equal(t, []Result{Accepted, Late}, results)

	for _, c2 := range []struct {
		name   string
		answer func(w http.ResponseWriter)
		want   RefusedError
	}{
		{"a proxy's page", func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/html")
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(502)
			fmt.Fprint(w, `{"results": ["accepted", "accepted"]}`)
		}, RefusedError{Status: 502, After: 7 * time.Second}},
		{"too few results", func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"results": ["accepted"]}`)
		}, RefusedError{Status: 200}},
		{"a problem", func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.Header().Set("Retry-After", "100000")
			w.WriteHeader(503)
			fmt.Fprint(w, `{"title": "not now"}`)
		}, RefusedError{Status: 503, Title: "not now", After: maxAfter}},
		{"elsewhere", func(w http.ResponseWriter) {
			w.Header().Set("Location", "http://thief.example/")
			w.WriteHeader(307)
		}, RefusedError{Status: 307}},
		{"nonsense", func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Retry-After", "Mon, 01 Jun 2026 12:00:00 GMT")
			fmt.Fprint(w, `{{{`)
		}, RefusedError{Status: 200}},
	} {
		answer = func(w http.ResponseWriter, _ *http.Request) { c2.answer(w) }
		_, err := c.Send(t.Context(), reports)
		refused, ok := errors.AsType[*RefusedError](err)
		require.True(t, ok, c2.name)
		require.Equal(t, c2.want, *refused, c2.name)
		require.NotContains(t, err.Error(), "the token")
	}
	server.Close()
	_, err = c.Send(t.Context(), reports)
	require.ErrorContains(t, err, "sending reports")
	require.NotContains(t, err.Error(), "the token")
}
