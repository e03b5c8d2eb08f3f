package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/broker/api"
	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/broker/store"
)

const goodLogin = `{"user": "` + personalUser + `", "password": "` + secretPassword + `", "seat": "N2-117", "thin_client": "52:54:00:12:34:56",
	"site": "north", "tags": {"shift": "night"}}`

const sessionPath = "/v1/sessions/s%2Fess%20ion-that-nobody-may-see"

// service is an API around a fake broker, with the contract around it, its log and its metrics.
type service struct {
	t        *testing.T
	broker   *fake
	handler  http.Handler
	log      bytes.Buffer
	registry *prometheus.Registry
}

func newService(t *testing.T, cfg api.Config) *service {
	t.Helper()
	s := &service{t: t, broker: &fake{}, registry: prometheus.NewPedanticRegistry()}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewJSONHandler(&s.log, nil))
	}
	cfg.Registerer = s.registry
	s.handler = newContract(t).around(api.New(s.broker, cfg))
	return s
}

// ask makes a request. Headers are "Name: value".
func (s *service) ask(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w
}

type problem struct {
	Class  client.Class `json:"class"`
	Step   client.Step  `json:"step"`
	Detail string       `json:"detail"`
	Steps  []struct {
		Step    client.Step `json:"step"`
		Seconds float64     `json:"seconds"`
	} `json:"steps"`
}

// refused wants a problem.
func (s *service) refused(w *httptest.ResponseRecorder, status int, class client.Class) problem {
	s.t.Helper()
	var p problem
	require.NoError(s.t, json.Unmarshal(w.Body.Bytes(), &p))
	require.Equal(s.t, status, w.Code, "%+v", p)
	require.Equal(s.t, class, p.Class)
	return p
}

// lines returns the log.
func (s *service) lines() []map[string]any {
	var lines []map[string]any
	for text := range strings.Lines(s.log.String()) {
		var line map[string]any
		require.NoError(s.t, json.Unmarshal([]byte(text), &line))
		lines = append(lines, line)
	}
	return lines
}

func TestLogin(t *testing.T) {
	s := newService(t, api.Config{})
	w := s.ask("POST", "/v1/sessions", goodLogin, "X-Request-Id: tc-17.1")
	require.Equal(t, 201, w.Code)
	require.Equal(t, []any{client.Login{User: personalUser, Password: secretPassword, Seat: "N2-117", ThinClient: "52:54:00:12:34:56",
		Site: "north", Tags: map[string]string{"shift": "night"}}}, s.broker.got)
	require.Equal(t, sessionPath, w.Header().Get("Location"))
	require.Equal(t, "tc-17.1", w.Header().Get("X-Request-Id"))
	require.Regexp(t, `^auth;dur=3\.000, match;dur=0\.020, allocate;dur=2\.000, boot;dur=0\.000, console;dur=4\.000, total;dur=\d+\.\d{3}$`,
		w.Header().Get("Server-Timing"))

	var body map[string]any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body))
	require.Greater(t, body["elapsed_seconds"], 0.0)
	delete(body, "elapsed_seconds")
	require.Equal(t, map[string]any{
		"id": secretSession, "lease_seconds": 600.0, "request_id": "tc-17.1",
		"desktop": map[string]any{"id": "6f1a", "name": "desktop-1", "pool": "office", "allocator": "sales"},
		"console": map[string]any{"host": "node17", "port": 5900.0, "tls_port": 5901.0, "ticket": secretTicket,
			"expires_at": "2026-11-02T07:00:00Z", "ca": "PEM", "subject": "CN=node17"},
		"steps": []any{map[string]any{"step": "auth", "seconds": .003}, map[string]any{"step": "match", "seconds": .00002},
			map[string]any{"step": "allocate", "seconds": .002}, map[string]any{"step": "boot", "seconds": 0.0}, map[string]any{"step": "console", "seconds": .004}},
	}, body)
}

func TestEveryClass(t *testing.T) {
	again := map[client.Class]bool{client.PoolEmpty: true}
	for class, status := range api.Statuses() {
		t.Run(string(class), func(t *testing.T) {
			s := newService(t, api.Config{RetryAfter: 1500 * time.Millisecond})
			s.broker.err = fmt.Errorf("through the way: %w", &client.Error{Class: class, Step: client.StepConsole, Message: "for people", Err: errors.New("inside"),
				Steps: []client.Timing{{Step: client.StepAuth, Took: time.Second}}})
			method, path, body := "POST", "/v1/sessions", goodLogin
			if status == 404 { // no login's failure
				method, path, body = "GET", sessionPath, ""
			}
			w := s.ask(method, path, body)
			p := s.refused(w, status, class)
			require.Equal(t, "for people", p.Detail)
			require.Equal(t, client.StepConsole, p.Step)
			require.Len(t, p.Steps, 1)
			require.Equal(t, 1.0, p.Steps[0].Seconds)
			require.NotContains(t, w.Body.String(), "inside")
			require.Contains(t, w.Header().Get("Server-Timing"), "auth;dur=1000.000, total;dur=")
			require.Equal(t, again[class], w.Header().Get("Retry-After") == "2")
			require.Equal(t, status == 401, w.Header().Get("WWW-Authenticate") != "")

			lines := s.lines()
			require.Len(t, lines, 1)
			require.Equal(t, string(class), lines[0]["class"])
			require.Equal(t, "console", lines[0]["step"])
			require.Equal(t, "for people", lines[0]["detail"])
			require.Equal(t, "inside", lines[0]["error"])
			if method == "POST" {
				require.Equal(t, 1.0, counter(t, s.registry, "deskstorm_broker_logins_total", "class", string(class)))
			}
		})
	}
}

// TestFailuresThatNobodyForesaw are in the log and not in the answer.
func TestFailuresThatNobodyForesaw(t *testing.T) {
	for name, err := range map[string]error{
		"no class":         errors.New("inside"),
		"an unknown class": &client.Error{Class: "coffee", Err: errors.New("inside")},
		"no words":         &client.Error{Class: client.BrokerFailed, Err: errors.New("inside")},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, api.Config{})
			s.broker.err = err
			w := s.ask("POST", "/v1/sessions", goodLogin)
			p := s.refused(w, 500, client.BrokerFailed)
			require.Equal(t, "The broker failed; the broker's log has more under the request's id", p.Detail)
			require.NotContains(t, w.Body.String(), "inside")
			require.Contains(t, s.lines()[0]["error"], "inside")
			require.Equal(t, "ERROR", s.lines()[0]["level"])
		})
	}
}

func TestPanics(t *testing.T) {
	s := newService(t, api.Config{})
	s.broker.login = func(context.Context, client.Login) (*client.Session, error) { panic("inside") }
	w := s.ask("POST", "/v1/sessions", goodLogin)
	s.refused(w, 500, client.BrokerFailed)
	require.NotContains(t, w.Body.String(), "inside")
	lines := s.lines()
	require.Len(t, lines, 2)
	require.Contains(t, lines[0]["stack"], "TestPanics")
	require.Equal(t, "panic: inside", lines[1]["error"])
	require.Equal(t, 1.0, counter(t, s.registry, "deskstorm_broker_logins_total", "class", "broker-failed"))
	require.Equal(t, 0.0, counter(t, s.registry, "deskstorm_broker_logins_in_flight"))
}

func TestBadLogins(t *testing.T) {
	long := func(n int) string { return strings.Repeat("é", n) }
	many := func(n int) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf(`"t%d": ""`, i))
		}
		return strings.Join(list, ", ")
	}
	with := func(members string) string { return `{"user": "u", "password": "p", ` + members + `}` }
	for name, test := range map[string]struct {
		body   string
		detail string
		beyond bool // what JSON Schema cannot see
	}{
		"nothing":             {"", "it breaks off or goes wrong at byte 0", false},
		"no object":           {`["user"]`, "the body: must be an object", false},
		"null":                {`null`, "the body: must be an object", false},
		"half":                {`{"user": "` + secretPassword, "at byte 38", false},
		"no JSON":             {`{"password": ` + secretPassword + `}`, "at byte 14", false},
		"more":                {with(`"seat": ""`) + ` {}`, "at byte 44", true},
		"no UTF-8":            {with(`"seat": "` + "\xff" + `"`), "not UTF-8", false},
		"no user":             {`{"password": "p"}`, "user: is missing", false},
		"no password":         {`{"user": "u"}`, "password: is missing", false},
		"empty password":      {`{"user": "u", "password": ""}`, "password: is empty", false},
		"unknown field":       {with(`"sead": "x"`), `"sead": unknown field`, false},
		"other case":          {with(`"Seat": "x"`), `"Seat": unknown field`, false},
		"long unknown field":  {with(`"` + long(1000) + `": "x"`), `"` + long(64) + `...": unknown field`, false},
		"twice":               {with(`"user": "v"`), `"user": stands twice`, true},
		"no string":           {with(`"seat": 17`), "seat: must be a string", false},
		"null seat":           {with(`"seat": null`), "seat: must be a string", false},
		"an object":           {with(`"seat": {"a": 1}`), "seat: must be a string", false},
		"long user":           {`{"password": "p", "user": "` + long(257) + `"}`, "user: has 257 characters, at most 256 are allowed", false},
		"long password":       {`{"user": "u", "password": "` + long(1025) + `"}`, "password: has 1025 characters", false},
		"long seat":           {with(`"seat": "` + long(129) + `"`), "seat: has 129 characters", false},
		"long thin client":    {with(`"thin_client": "` + long(129) + `"`), "thin_client: has 129 characters", false},
		"long site":           {with(`"site": "` + long(129) + `"`), "site: has 129 characters", false},
		"control":             {with(`"seat": "a\u0000b"`), "seat: has a control character", false},
		"line break":          {`{"user": "a\nb", "password": "p"}`, "user: has a control character", false},
		"half a surrogate":    {with(`"seat": "\ud800"`), "seat: has what is no character", false},
		"tags no object":      {with(`"tags": ["a"]`), "tags: must be an object", false},
		"tags null":           {with(`"tags": null`), "tags: must be an object", false},
		"tag no string":       {with(`"tags": {"a": 1}`), `tag "a": must be a string`, false},
		"tag twice":           {with(`"tags": {"a": "", "a": ""}`), `"a": stands twice`, true},
		"nameless tag":        {with(`"tags": {"": ""}`), "a tag's name: is empty", false},
		"long tag's name":     {with(`"tags": {"` + long(65) + `": ""}`), "a tag's name: has 65 characters", false},
		"long tag":            {with(`"tags": {"a": "` + long(257) + `"}`), `tag "a": has 257 characters`, false},
		"control in a tag":    {with(`"tags": {"a": "\u0007"}`), `tag "a": has a control character`, false},
		"control in its name": {with(`"tags": {"\u0007": ""}`), "a tag's name: has a control character", false},
		"too many tags":       {with(`"tags": {` + many(33) + `}`), "tags: at most 32 are allowed", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, api.Config{})
			w := s.ask("POST", "/v1/sessions", test.body, "Content-Type: application/json")
			p := s.refused(w, 400, client.BadRequest)
			require.Contains(t, p.Detail, test.detail)
			require.NotContains(t, w.Body.String(), secretPassword)
			require.Nil(t, s.broker.got)
			require.Equal(t, test.beyond, acceptable(t, test.body))
		})
	}
}

// TestLoginsAtTheLimits are accepted, by openapi.yaml too.
func TestLoginsAtTheLimits(t *testing.T) {
	long := func(n int) string { return strings.Repeat("é", n) }
	tags := []string{`"` + long(64) + `": "` + long(256) + `"`}
	for i := range 31 {
		tags = append(tags, fmt.Sprintf(`"%d": "\ud83d\ude00"`, i))
	}
	for _, body := range []string{
		`{"user": "u", "password": " "}`,
		`{"user": "u", "password": "p", "seat": "", "thin_client": "", "site": "", "tags": {}}`,
		fmt.Sprintf(`{"user": %q, "password": %q, "seat": %q, "thin_client": %q, "site": %q, "tags": {%s}}`,
			long(256), long(1024), long(128), long(128), long(128), strings.Join(tags, ", ")),
	} {
		s := newService(t, api.Config{})
		require.Equal(t, 201, s.ask("POST", "/v1/sessions", body).Code)
	}
}

// acceptable tells whether openapi.yaml has nothing against a login.
func acceptable(t *testing.T, body string) bool {
	t.Helper()
	c := newContract(t)
	r := httptest.NewRequest("POST", "/v1/sessions", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return validRequest(c.input(r, []byte(body)))
}

func TestWhatHTTPRefuses(t *testing.T) {
	login := "/v1/sessions"
	for name, test := range map[string]struct {
		method, path, body string
		headers            []string
		status             int
		class              client.Class
		allow              string
	}{
		"wrong method":    {"GET", login, "", nil, 405, client.BadRequest, "POST"},
		"other method":    {"PATCH", sessionPath, "", nil, 405, client.BadRequest, "GET, DELETE"},
		"invented method": {"COFFEE", login, "", nil, 405, client.BadRequest, "POST"},
		"nowhere":         {"GET", "/v2/sessions", "", nil, 404, api.NotFound, ""},
		"root":            {"GET", "/", "", nil, 404, api.NotFound, ""},
		"slash too many":  {"POST", login + "/", goodLogin, nil, 404, api.NotFound, ""},
		"two slashes":     {"POST", "//v1//sessions", goodLogin, nil, 404, api.NotFound, ""},
		"dots":            {"GET", "/v1/pools/../desktops", "", nil, 404, api.NotFound, ""},
		"too large":       {"POST", login, goodLogin + strings.Repeat(" ", 64<<10), nil, 413, client.BadRequest, ""},
		"a form":          {"POST", login, "user=u&password=p", []string{"Content-Type: application/x-www-form-urlencoded"}, 415, client.BadRequest, ""},
		"untyped":         {"POST", login, goodLogin, []string{"Content-Type: "}, 415, client.BadRequest, ""},
		"compressed":      {"POST", login, goodLogin, []string{"Content-Encoding: gzip"}, 415, client.BadRequest, ""},
		"a long id":       {"GET", "/v1/sessions/" + strings.Repeat("x", 129), "", nil, 400, client.BadRequest, ""},
		"a control id":    {"DELETE", "/v1/sessions/a%00", "", nil, 400, client.BadRequest, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, api.Config{})
			w := s.ask(test.method, test.path, test.body, test.headers...)
			s.refused(w, test.status, test.class)
			require.Equal(t, test.allow, w.Header().Get("Allow"))
			require.Nil(t, s.broker.got)
			require.Len(t, s.lines(), 1)
		})
	}
}

func TestSessions(t *testing.T) {
	for _, test := range []struct {
		method, path, body string
		status             int
		got                []any
		answer             string
	}{
		{"GET", "", "", 200, []any{"session", secretSession}, `"user":"anna","seat":"N2-117"`},
		{"DELETE", "", "", 204, []any{"logout", secretSession}, ""},
		{"POST", "/console", "", 200, []any{"console", secretSession}, `{"console":{"host":"node17","port":5900},"elapsed_seconds":`},
		{"POST", "/renew", "", 204, []any{"renew", secretSession}, ""},
		{"POST", "/report-broken", `{"reason": "no picture"}`, 204, []any{"report", secretSession, "no picture"}, ""},
	} {
		s := newService(t, api.Config{})
		w := s.ask(test.method, sessionPath+test.path, test.body)
		require.Equal(t, test.status, w.Code, "%s", w.Body)
		require.Equal(t, test.got, s.broker.got)
		require.Contains(t, w.Body.String(), test.answer)

		s.broker.err = &client.Error{Class: client.SessionNotFound}
		s.refused(s.ask(test.method, sessionPath+test.path, test.body), 404, client.SessionNotFound)
	}
}

func TestOperators(t *testing.T) {
	key := "a/b?c=%#ü ."
	binding := "/v1/bindings/of%2Ffice/thin_client/a%2Fb%3Fc=%25%23%C3%BC%20."
	for name, test := range map[string]struct {
		method, path, body string
		status             int
		got                []any
		answer             string
	}{
		"desktops": {"GET", "/v1/desktops", "", 200, []any{"desktops", "", store.State("")},
			`"broken_at":"2026-11-02T07:00:00Z","reason":"no answer"`},
		"some desktops": {"GET", "/v1/desktops?pool=of%26fice&state=ready", "", 200, []any{"desktops", "of&fice", store.Ready}, `"desktops":[`},
		"drain":         {"POST", "/v1/desktops/d1/drain", "", 204, []any{"drain", "d1"}, ""},
		"release":       {"POST", "/v1/desktops/d1/release", "", 204, []any{"release", "d1"}, ""},
		"broken":        {"POST", "/v1/desktops/d1/report-broken", `{"reason": "it smokes"}`, 204, []any{"broken", "d1", "it smokes"}, ""},
		"bindings":      {"GET", "/v1/bindings", "", 200, []any{"bindings", store.BindingKind(""), ""}, `"key":"N2-117"`},
		"some bindings": {"GET", "/v1/bindings?kind=seat&key=N2-117", "", 200, []any{"bindings", store.BindSeat, "N2-117"}, `"kind":"seat"`},
		"rebind": {"PUT", binding, `{"desktop_id": "d2"}`, 200,
			[]any{"rebind", store.Binding{Kind: store.BindThinClient, Key: key, Pool: "of/fice", DesktopID: "d2"}}, `"desktop_id":"d2"`},
		"unbind":         {"DELETE", binding, "", 204, []any{"unbind", store.BindThinClient, key, "of/fice"}, ""},
		"unbind dots":    {"DELETE", "/v1/bindings/office/user/%2E%2E", "", 204, []any{"unbind", store.BindUser, "..", "office"}, ""},
		"unbind slashes": {"DELETE", "/v1/bindings/office/user/%2F%2F", "", 204, []any{"unbind", store.BindUser, "//", "office"}, ""},
		"pools": {"GET", "/v1/pools", "", 200, []any{"pools"},
			`{"pools":[{"name":"office","ready_target":5,"max":50,"desktops":{"assigned":0,"building":0,"deleting":0,"ready":4},"booting":1,"draining":0}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, api.Config{OperatorToken: operatorToken})
			w := s.ask(test.method, test.path, test.body, "Authorization: bearer "+operatorToken)
			require.Equal(t, test.status, w.Code, "%s", w.Body)
			require.Equal(t, test.got, s.broker.got)
			require.Contains(t, w.Body.String(), test.answer)

			s.broker.err = &client.Error{Class: api.NotFound, Message: "no such desktop"}
			s.refused(s.ask(test.method, test.path, test.body, "Authorization: Bearer "+operatorToken), 404, api.NotFound)
			s.broker.err, s.broker.got = nil, nil

			for _, header := range []string{"X: y", "Authorization: Bearer " + operatorToken + "x", "Authorization: Bearer", "Authorization: Basic " + operatorToken} {
				w := s.ask(test.method, test.path, test.body, header)
				s.refused(w, 401, api.OperatorOnly)
				require.Contains(t, w.Header().Get("WWW-Authenticate"), "Bearer")
			}
			for _, header := range []string{"X: y", "Authorization: Bearer ", "Authorization: Bearer " + operatorToken} {
				closed := newService(t, api.Config{})
				closed.refused(closed.ask(test.method, test.path, test.body, header), 403, api.OperatorOnly)
				require.Nil(t, closed.broker.got)
			}
			require.Nil(t, s.broker.got)
			require.NotContains(t, s.log.String(), operatorToken)
		})
	}
}

func TestWhatOperatorsGetWrong(t *testing.T) {
	for _, test := range []struct{ method, path, body, detail string }{
		{"GET", "/v1/desktops?status=ready", "", `"status": unknown parameter`},
		{"GET", "/v1/desktops?state=on", "", "state: must be one of [building ready assigned deleting]"},
		{"GET", "/v1/desktops?pool=a&pool=b", "", "pool: stands twice"},
		{"GET", "/v1/desktops?pool=%zz", "", "not percent-encoded properly"},
		{"GET", "/v1/desktops?pool=%0a", "", "pool: has a control character"},
		{"GET", "/v1/bindings?kind=chair", "", "kind: must be one of [user seat thin_client session]"},
		{"GET", "/v1/bindings?key=a", "", "kind: must be given with key"},
		{"PUT", "/v1/bindings/office/chair/a", `{"desktop_id": "d"}`, "kind: must be one of"},
		{"PUT", "/v1/bindings/office/user/%00", `{"desktop_id": "d"}`, "key: has a control character"},
		{"PUT", "/v1/bindings/office/user/%ff", `{"desktop_id": "d"}`, "key: has what is no character"},
		{"PUT", "/v1/bindings/office/user/a", `{}`, "desktop_id: is missing"},
		{"POST", "/v1/desktops/d1/report-broken", `{"reason": ""}`, "reason: is empty"},
		{"POST", "/v1/desktops/d1/report-broken", `{"reason": "` + strings.Repeat("x", 501) + `"}`, "reason: has 501 characters"},
		{"POST", "/v1/desktops/" + strings.Repeat("x", 129) + "/drain", "", "the desktop's id: has 129 characters"},
	} {
		s := newService(t, api.Config{OperatorToken: operatorToken})
		w := s.ask(test.method, test.path, test.body, "Authorization: Bearer "+operatorToken)
		require.Contains(t, s.refused(w, 400, client.BadRequest).Detail, test.detail)
		require.Nil(t, s.broker.got)
	}
}

func TestOperation(t *testing.T) {
	s := newService(t, api.Config{})
	require.Equal(t, "healthy\n", s.ask("GET", "/-/healthy", "").Body.String())
	require.Equal(t, "ready\n", s.ask("GET", "/-/ready", "").Body.String())
	s.broker.err = &client.Error{Class: client.DirectoryDown, Message: "the directory is down"}
	require.Equal(t, "the directory is down", s.refused(s.ask("GET", "/-/ready", ""), 503, client.DirectoryDown).Detail)
	s.broker.err = errors.New("inside")
	w := s.ask("GET", "/-/ready", "")
	s.refused(w, 503, client.BrokerFailed)
	require.NotContains(t, w.Body.String(), "inside")
	require.Equal(t, "healthy\n", s.ask("GET", "/-/healthy", "").Body.String())
	require.Len(t, s.lines(), 1) // the broker's own failure: others are for debugging
	require.Equal(t, "inside", s.lines()[0]["error"])

	require.Equal(t, string(openAPI), s.ask("GET", "/v1/openapi.yaml", "").Body.String())
	s.refused(s.ask("GET", "/metrics", ""), 404, api.NotFound)
	own := prometheus.NewRegistry()
	s = newService(t, api.Config{Metrics: promhttp.HandlerFor(own, promhttp.HandlerOpts{})})
	require.Equal(t, 200, s.ask("GET", "/metrics", "").Code)
}

func TestRequestIDs(t *testing.T) {
	s := newService(t, api.Config{})
	for _, id := range []string{"a", "A-z0.9_:", strings.Repeat("x", 64)} {
		require.Equal(t, id, s.ask("GET", "/-/healthy", "", "X-Request-Id: "+id).Header().Get("X-Request-Id"))
	}
	seen := make(map[string]bool)
	for _, id := range []string{"", "a b", "a\nb", "ü", "a/b", `"`, strings.Repeat("x", 65)} {
		made := s.ask("GET", "/-/healthy", "", "X-Request-Id: "+id).Header().Get("X-Request-Id")
		require.Regexp(t, "^[A-Z2-7]{26,}$", made)
		require.False(t, seen[made])
		seen[made] = true
	}
}

// TestLog: one line a request, without secrets, and with users only for debugging.
func TestLog(t *testing.T) {
	for _, level := range []slog.Level{slog.LevelInfo, slog.LevelDebug} {
		var log bytes.Buffer
		s := newService(t, api.Config{OperatorToken: operatorToken, Logger: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: level}))})
		paths := []string{"", "/console", "/renew", "/report-broken"}
		for _, err := range []error{nil, &client.Error{Class: client.ConsoleRefused, Step: client.StepConsole}} {
			s.broker.err = err
			s.ask("POST", "/v1/sessions", goodLogin, "Authorization: Bearer "+operatorToken)
			for _, path := range paths {
				for _, method := range []string{"GET", "POST", "DELETE"} {
					s.ask(method, sessionPath+path, `{"reason": "r"}`)
				}
			}
			s.ask("POST", sessionPath+"/nowhere?ticket="+secretTicket, "")
		}
		require.Equal(t, 2*(1+4*3+1), strings.Count(log.String(), "\n"))
		for _, secret := range []string{"nobody-may-see", "N2-117"} {
			require.NotContains(t, log.String(), secret)
		}
		require.Equal(t, level == slog.LevelDebug, strings.Contains(log.String(), personalUser))
		require.Contains(t, log.String(), `"method":"POST","route":"/v1/sessions/{id}/console","status":200,`)
		require.Contains(t, log.String(), `"session":"51427930"`) // the beginning of the id's SHA-256
	}
}

func TestTooManyLogins(t *testing.T) {
	s := newService(t, api.Config{MaxLogins: 1})
	begun, finish := make(chan struct{}), make(chan struct{})
	s.broker.login = func(context.Context, client.Login) (*client.Session, error) {
		close(begun)
		<-finish
		return &session, nil
	}
	first := make(chan int)
	go func() { first <- s.ask("POST", "/v1/sessions", goodLogin).Code }()
	<-begun
	w := s.ask("POST", "/v1/sessions", goodLogin)
	s.refused(w, 503, client.BrokerFailed)
	require.Equal(t, "5", w.Header().Get("Retry-After"))
	require.Equal(t, 200, s.ask("GET", sessionPath, "").Code)
	close(finish)
	require.Equal(t, 201, <-first)
	s.broker.login = nil
	require.Equal(t, 201, s.ask("POST", "/v1/sessions", goodLogin).Code)
}

// TestClientsThatHangUp leave no session, whether the broker noticed or not, and are nobody's failure.
func TestClientsThatHangUp(t *testing.T) {
	for name, end := range map[string]func(context.Context) (*client.Session, error){
		"while the broker works": func(ctx context.Context) (*client.Session, error) {
			return nil, &client.Error{Class: client.DirectorySlow, Err: ctx.Err()}
		},
		"when it is done": func(context.Context) (*client.Session, error) { return &session, nil },
	} {
		t.Run(name, func(t *testing.T) {
			registry := prometheus.NewRegistry()
			broker := &fake{}
			begun, done := make(chan struct{}), make(chan struct{})
			broker.login = func(ctx context.Context, _ client.Login) (*client.Session, error) {
				close(begun)
				<-ctx.Done()
				return end(ctx)
			}
			handler := api.New(broker, api.Config{Registerer: registry})
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer close(done)
				handler.ServeHTTP(w, r)
			}))
			t.Cleanup(server.Close)
			ctx, cancel := context.WithCancel(context.Background())
			go func() {
				<-begun
				cancel()
			}()
			driver := client.NewBroker(client.BrokerConfig{URL: server.URL})
			_, err := driver.Login(ctx, client.Login{User: "u", Password: "p"})
			require.ErrorIs(t, err, context.Canceled)
			<-done
			if name == "when it is done" {
				require.Equal(t, []any{"logout", secretSession}, broker.got)
			} else {
				require.Nil(t, broker.got)
			}
			require.Equal(t, 1.0, counter(t, registry, "deskstorm_broker_logins_total", "class", "client-gone"))
			require.Equal(t, 0.0, counter(t, registry, "deskstorm_broker_logins_total", "class", "broker-failed"))
		})
	}
}

// TestAnswersThatNobodyTakes: the connection breaks after the broker's last look at it.
func TestAnswersThatNobodyTakes(t *testing.T) {
	broker, registry := &fake{}, prometheus.NewRegistry()
	handler := api.New(broker, api.Config{Registerer: registry})
	r := httptest.NewRequest("POST", "/v1/sessions", strings.NewReader(goodLogin))
	r.Header.Set("Content-Type", "application/json")
	handler.ServeHTTP(broken{httptest.NewRecorder()}, r)
	require.Equal(t, []any{"logout", secretSession}, broker.got)
	require.Equal(t, 1.0, counter(t, registry, "deskstorm_broker_logins_total", "class", "client-gone"))
}

// broken takes an answer and cannot send it.
type broken struct{ http.ResponseWriter }

func (broken) FlushError() error { return io.ErrClosedPipe }

func TestMetrics(t *testing.T) {
	s := newService(t, api.Config{})
	s.ask("POST", "/v1/sessions", goodLogin)
	s.ask("COFFEE", "/v1/sessions", goodLogin)
	s.ask("GET", "/"+secretSession[:1]+"/x", "")
	s.ask("GET", sessionPath, "")
	problems, err := testutil.GatherAndLint(s.registry)
	require.NoError(t, err)
	require.Empty(t, problems)
	require.NoError(t, testutil.GatherAndCompare(s.registry, strings.NewReader(`
		# HELP deskstorm_broker_requests_total Requests to the broker's API; status 499: the client hung up.
		# TYPE deskstorm_broker_requests_total counter
		deskstorm_broker_requests_total{method="POST",route="/v1/sessions",status="201"} 1
		deskstorm_broker_requests_total{method="other",route="/v1/sessions",status="405"} 1
		deskstorm_broker_requests_total{method="GET",route="other",status="404"} 1
		deskstorm_broker_requests_total{method="GET",route="/v1/sessions/{id}",status="200"} 1
	`), "deskstorm_broker_requests_total"))
	require.Equal(t, 1.0, counter(t, s.registry, "deskstorm_broker_logins_total", "class", "ok"))
	families, err := s.registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		require.True(t, strings.HasPrefix(f.GetName(), "deskstorm_broker_"), f.GetName())
		if f.GetName() == "deskstorm_broker_login_step_seconds" {
			require.Len(t, f.Metric, 5)
			for _, m := range f.Metric {
				require.EqualValues(t, 1, m.Histogram.GetSampleCount())
				require.NotEmpty(t, m.Histogram.Bucket)
				require.NotNil(t, m.Histogram.Schema, "native")
			}
		}
	}
}

// counter reads a metric with at most one label.
func counter(t *testing.T, g prometheus.Gatherer, name string, label ...string) float64 {
	t.Helper()
	families, err := g.Gather()
	require.NoError(t, err)
	for _, f := range families {
		for _, m := range f.Metric {
			if f.GetName() != name || len(label) > 0 && m.Label[0].GetValue() != label[1] {
				continue
			}
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no %s %v", name, label)
	return 0
}
