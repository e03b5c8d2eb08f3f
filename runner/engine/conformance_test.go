package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/runner/engine"
	"github.com/deskstorm/deskstorm/runner/experiment"
	"github.com/deskstorm/deskstorm/runner/record"
)

// requirements are the Chaos Toolkit that the engine is held against.
var requirements = []string{"chaostoolkit==1.19.0", "chaostoolkit-lib==1.44.0", "jsonpath2==0.4.5"}

// toolkit is a virtual environment with the real Chaos Toolkit, for all tests of this binary.
var toolkit struct {
	once sync.Once
	dir  string
	err  error
}

func install() {
	if toolkit.dir, toolkit.err = os.MkdirTemp("", "deskstorm-chaostoolkit-"); toolkit.err != nil {
		return
	}
	venv := filepath.Join(toolkit.dir, "venv")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	for _, argv := range [][]string{
		{"python3", "-m", "venv", venv},
		append([]string{filepath.Join(venv, "bin", "pip"), "install", "--quiet", "--disable-pip-version-check"}, requirements...),
	} {
		if out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput(); err != nil {
			toolkit.err = fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, out)
			return
		}
	}
}

func TestMain(m *testing.M) {
	code := m.Run()
	if toolkit.dir != "" {
		_ = os.RemoveAll(toolkit.dir)
	}
	os.Exit(code)
}

// chaos returns the path of the real chaos program. Without one the test is skipped, but not in continuous integration: nobody
// reads skips there.
func chaos(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("needs the Chaos Toolkit from PyPI")
	}
	toolkit.once.Do(install)
	if toolkit.err != nil {
		if os.Getenv("CI") == "true" || os.Getenv("DESKSTORM_REQUIRE_PROGRAMS") == "1" {
			t.Fatal(toolkit.err)
		}
		t.Skip(toolkit.err)
	}
	return filepath.Join(toolkit.dir, "venv", "bin", "chaos")
}

// site is a web site that experiments are about. Each run has one of its own, because it remembers.
func site(t *testing.T) *httptest.Server {
	var mutex sync.Mutex
	visits := map[string]int{}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, kind string, status int, body string) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, "application/json", 200, `{"state": "up", "desktops": [{"name": "d1", "ram": 4}, {"name": "d2", "ram": 8.5}], "free": 3}`)
	})
	mux.HandleFunc("/text", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, "text/plain; charset=utf-8", 200, "free=42 über")
	})
	mux.HandleFunc("/number", func(w http.ResponseWriter, _ *http.Request) { answer(w, "text/plain", 200, "3.5\n") })
	mux.HandleFunc("/down", func(w http.ResponseWriter, _ *http.Request) { answer(w, "text/plain", 503, "down") })
	mux.HandleFunc("/torn", func(w http.ResponseWriter, _ *http.Request) { answer(w, "application/json", 200, `{"state": `) })
	mux.HandleFunc("/move", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/ok", http.StatusFound) })
	mux.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	// The first visits are well, as many as n says.
	mux.HandleFunc("/wears-out", func(w http.ResponseWriter, r *http.Request) {
		mutex.Lock()
		defer mutex.Unlock()
		visits[r.URL.RawQuery]++
		n := 0
		_, _ = fmt.Sscan(r.URL.Query().Get("n"), &n)
		if visits[r.URL.RawQuery] > n {
			answer(w, "text/plain", 503, "worn out")
			return
		}
		answer(w, "text/plain", 200, "fine")
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		echo := map[string]any{
			"method": r.Method, "query": r.URL.Query(), "type": r.Header.Get("Content-Type"), "seat": r.Header.Get("X-Seat"),
		}
		var decoded any
		if json.Unmarshal(body, &decoded) == nil {
			echo["json"] = decoded
		} else {
			form := strings.Split(string(body), "&")
			slices.Sort(form)
			echo["form"] = form
		}
		text, _ := json.Marshal(echo)
		answer(w, "application/json", 200, string(text))
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.CloseClientConnections)
	t.Cleanup(s.Close)
	return s
}

// conformant are experiments that both run. {{URL}} is the site's address, {{DIR}} a folder of the run's own.
var conformant = []struct {
	name string
	flag []string // of chaos run
	dry  engine.Dry
	text string // without title and description
	// status and deviated are of both; they are spelled out so that nothing is equal only because nothing was run.
	status   record.Status
	deviated bool
	run      int // activities in the method
	back     int // in the rollbacks
	// crashes: chaos ends without a journal, deskstorm with status.
	crashes bool
	// env are environment variables, NAME=VALUE.
	env       []string
	interrupt bool // both, as soon as the file {{DIR}}/mark is there
	json      bool // the file is JSON
}{
	{name: "JSON", json: true, status: "completed", run: 1, back: 1, text: `
tags: [a]
steady-state-hypothesis:
  title: "the \"site\" is up: ü 😀"
  probes: [{type: probe, name: up, tolerance: {type: regex, pattern: "\\bfree=", target: body}, provider: {type: http, url: "{{URL}}/text"}}]
method: [{type: action, name: a, provider: {type: http, url: "{{URL}}/echo", method: POST, arguments: {a: "x\n\ty/\\", b: 1.5e3}}}]
rollbacks: [{type: action, name: b, provider: {type: process, path: echo, arguments: ["\x62"]}}]
`},
	{name: "passes", status: "completed", run: 2, back: 1, text: `
steady-state-hypothesis:
  title: the site is up
  probes:
    - {type: probe, name: up, tolerance: 200, provider: {type: http, url: "{{URL}}/ok"}}
method:
  - {type: action, name: call, provider: {type: http, url: "{{URL}}/echo", method: POST, arguments: {a: 1, b: [x, y], c: true, d: 2.5, e: null}}}
  - {type: probe, name: look, provider: {type: process, path: sh, arguments: [-c, "echo out; echo err >&2; exit 3"]}}
rollbacks:
  - {type: action, name: back, provider: {type: process, path: "echo", arguments: "a  b | tr a-z A-Z"}}
`},
	{name: "deviates", status: "completed", deviated: true, run: 1, back: 1, text: `
steady-state-hypothesis:
  title: the site is up
  probes:
    - {type: probe, name: up, tolerance: 200, provider: {type: http, url: "{{URL}}/wears-out?n=1"}}
    - {type: probe, name: not reached after, tolerance: 200, provider: {type: http, url: "{{URL}}/ok"}}
method: [{type: action, name: a, tolerance: 500, provider: {type: http, url: "{{URL}}/move"}}]
rollbacks: [{type: action, name: b, provider: {type: http, url: "{{URL}}/ok"}}]
`},
	{name: "does not hold before", status: "completed", run: 0, back: 1, text: `
steady-state-hypothesis:
  title: the site is up
  probes: [{type: probe, name: up, tolerance: 200, provider: {type: http, url: "{{URL}}/down"}}]
method: [{type: action, name: a, provider: {type: http, url: "{{URL}}/ok"}}]
rollbacks: [{type: action, name: b, provider: {type: http, url: "{{URL}}/ok"}}]
`},
	{name: "a probe fails before", status: "failed", run: 0, back: 0, text: `
steady-state-hypothesis:
  title: the site is up
  probes: [{type: probe, name: up, tolerance: 200, provider: {type: http, url: "{{URL}}/slow", timeout: 0.3}}]
method: [{type: action, name: a, provider: {type: http, url: "{{URL}}/ok"}}]
rollbacks: [{type: action, name: b, provider: {type: http, url: "{{URL}}/ok"}}]
`},
	{name: "a probe fails after", status: "failed", deviated: true, run: 1, back: 0, text: `
steady-state-hypothesis:
  title: the file is there
  probes: [{type: probe, name: up, tolerance: 0, provider: {type: process, path: sh, arguments: [-c, "test -e {{DIR}}/gone && exec sleep 60; exit 0"], timeout: 3}}]
method: [{type: action, name: a, provider: {type: process, path: touch, arguments: ["{{DIR}}/gone"]}}]
rollbacks: [{type: action, name: b, provider: {type: http, url: "{{URL}}/ok"}}]
`},
	{name: "failing activities go on", status: "completed", run: 4, back: 1, text: `
method:
  - {type: action, name: refused, provider: {type: http, url: "http://127.0.0.1:1/"}}
  - {type: action, name: late, provider: {type: http, url: "{{URL}}/slow", timeout: [1, 0.2]}}
  - {type: action, name: long, provider: {type: process, path: sleep, arguments: ["60"], timeout: 0.3}}
  - {type: action, name: killed, provider: {type: process, path: sh, arguments: [-c, "kill -9 $$"]}}
rollbacks: [{type: action, name: b, provider: {type: http, url: "http://127.0.0.1:1/"}}]
`},
	{name: "aborted", status: "aborted", run: 1, back: 1, text: `
method:
  - {type: action, name: no program, provider: {type: process, path: "{{DIR}}/broken", arguments: []}}
  - {type: action, name: never, provider: {type: http, url: "{{URL}}/ok"}}
rollbacks: [{type: action, name: b, provider: {type: http, url: "{{URL}}/ok"}}]
`},
	{name: "cannot be run in the hypothesis", status: "aborted", crashes: true, text: `
steady-state-hypothesis:
  title: nothing
  probes: [{type: probe, name: no program, tolerance: 0, provider: {type: process, path: "{{DIR}}/broken", arguments: []}}]
method: []
`},
	{name: "background swallows", status: "completed", run: 2, text: `
method:
  - {type: action, name: no program, background: true, provider: {type: process, path: "{{DIR}}/broken", arguments: []}}
  - {type: action, name: next, pauses: {before: 0.3}, provider: {type: http, url: "{{URL}}/ok"}}
`},
	{name: "tolerances", status: "completed", run: 0, text: `
configuration: {wanted: up}
steady-state-hypothesis:
  title: all kinds
  probes:
    - {type: probe, name: list, tolerance: [200, 201, 204], provider: {type: http, url: "{{URL}}/ok"}}
    - {type: probe, name: two are a list for a status, tolerance: [200, 503], provider: {type: http, url: "{{URL}}/down"}}
    - {type: probe, name: exit, tolerance: 3, provider: {type: process, path: sh, arguments: [-c, exit 3]}}
    - {type: probe, name: regex, tolerance: {type: regex, pattern: "free=\\d+", target: body}, provider: {type: http, url: "{{URL}}/text"}}
    - {type: probe, name: dollar before a newline, tolerance: {type: regex, pattern: "^(o|k)+$", target: stdout}, provider: {type: process, path: echo, arguments: [ok]}}
    - {type: probe, name: range, tolerance: {type: range, range: [3, 4], target: body}, provider: {type: http, url: "{{URL}}/number"}}
    - {type: probe, name: path, tolerance: {type: jsonpath, path: "$.state", target: body, expect: "${wanted}"}, provider: {type: http, url: "{{URL}}/ok"}}
    - {type: probe, name: path with several, tolerance: {type: jsonpath, path: "$.desktops[*].ram", target: body, expect: [4, 8.5]}, provider: {type: http, url: "{{URL}}/ok"}}
    - {type: probe, name: count, tolerance: {type: jsonpath, path: "$.desktops[*]", target: body, count: 2}, provider: {type: http, url: "{{URL}}/ok"}}
    - {type: probe, name: in text, tolerance: {type: jsonpath, path: "$.a[0]", target: stdout, expect: 7}, provider: {type: process, path: echo, arguments: ['{"a": [7]}']}}
    - {type: probe, name: target that is none, tolerance: {type: jsonpath, path: "$.status", target: none}, provider: {type: http, url: "{{URL}}/ok"}}
    - type: probe
      name: probe
      tolerance: {type: probe, name: judge, provider: {type: process, path: test, arguments: {"-n": x}}}
      provider: {type: http, url: "{{URL}}/down"}
method: []
`},
	{name: "range is not met", status: "completed", text: `
steady-state-hypothesis:
  title: a text is no number
  probes: [{type: probe, name: p, tolerance: {type: range, range: [3, 4], target: body}, provider: {type: http, url: "{{URL}}/text"}}]
method: []
`},
	{name: "regex is not met", status: "completed", text: `
steady-state-hypothesis:
  title: other text
  probes: [{type: probe, name: p, tolerance: {type: regex, pattern: "^free$", target: body}, provider: {type: http, url: "{{URL}}/text"}}]
method: []
`},
	{name: "jsonpath is not met", status: "completed", text: `
steady-state-hypothesis:
  title: other value
  probes: [{type: probe, name: p, tolerance: {type: jsonpath, path: "$.state", target: body, expect: down}, provider: {type: http, url: "{{URL}}/ok"}}]
method: []
`},
	{name: "jsonpath finds nothing", status: "completed", text: `
steady-state-hypothesis:
  title: no such key
  probes: [{type: probe, name: p, tolerance: {type: jsonpath, path: "$.nothing", target: body}, provider: {type: http, url: "{{URL}}/ok"}}]
method: []
`},
	{name: "configuration and secrets", status: "completed", run: 5, env: []string{"SEAT=s 7", "COUNT=3", "TOKEN=tok en/1", "LIST=[1, {\"a\": null}]"}, text: `
configuration:
  seat: {type: env, key: SEAT}
  count: {type: env, key: COUNT, env_var_type: int}
  ratio: {type: env, key: NONE, default: "0.25", env_var_type: float}
  off_: {type: env, key: NONE, default: "no", env_var_type: bool}
  list: {type: env, key: LIST, env_var_type: json}
  fixed: {a: [1, 2]}
secrets:
  site: {token: {type: env, key: TOKEN}, seat: never}
method:
  - {type: action, name: query, provider: {type: http, url: "{{URL}}/echo?x=${seat}", headers: {X-Seat: "seat ${seat}"}, arguments: {n: "${count}", r: "${ratio}", o: "${off_}", t: "n is ${count}", d: "$$", u: "${unknown}", s: $seat}}}
  - {type: action, name: json, provider: {type: http, url: "{{URL}}/echo", method: put, headers: {Content-Type: application/json}, arguments: {list: "${list}", fixed: "${fixed}", n: ["${count}"]}}}
  - {type: action, name: process, provider: {type: process, path: echo, arguments: ["${seat}", "${count}", "${off_}", "${ratio}", "", null, 1.0, true]}}
  - {type: action, name: options, provider: {type: process, path: printf, arguments: {"%s|%s": "${seat}", "b": 2}}}
  - {type: action, name: pause, pauses: {before: "${ratio}"}, provider: {type: process, path: "true"}}
`},
	{name: "rollbacks always", status: "failed", back: 1, text: `
runtime: {rollbacks: {strategy: always}}
steady-state-hypothesis:
  title: nobody answers
  probes: [{type: probe, name: up, tolerance: 200, provider: {type: http, url: "http://127.0.0.1:1/"}}]
method: []
rollbacks: [{type: action, name: b, provider: {type: http, url: "{{URL}}/ok"}}]
`},
	{name: "rollbacks never", status: "completed", text: `
runtime: {rollbacks: {strategy: never}}
method: []
rollbacks: [{type: action, name: b, provider: {type: http, url: "{{URL}}/ok"}}]
`},
	{name: "rollbacks if deviated, and it is", status: "completed", deviated: true, back: 2, text: `
runtime: {rollbacks: {strategy: deviated}}
steady-state-hypothesis:
  title: the site is up
  probes: [{type: probe, name: up, tolerance: 200, provider: {type: http, url: "{{URL}}/wears-out?n=1"}}]
method: []
rollbacks:
  - {type: action, name: b, background: true, provider: {type: http, url: "{{URL}}/ok"}}
  - {type: action, name: c, pauses: {before: 0.3}, provider: {type: http, url: "{{URL}}/ok"}}
`},
	{name: "rollbacks if deviated, and it is not", status: "completed", text: `
runtime: {rollbacks: {strategy: deviated}}
method: []
rollbacks: [{type: action, name: b, provider: {type: http, url: "{{URL}}/ok"}}]
`},
	{name: "background is joined", status: "completed", run: 3, text: `
method:
  - {type: action, name: long, background: true, provider: {type: process, path: sh, arguments: [-c, "sleep 0.7; echo done"]}}
  - {type: action, name: short, provider: {type: http, url: "{{URL}}/ok"}}
  - {ref: short, background: true}
`},
	{name: "before only", status: "completed", run: 1, text: `
runtime: {hypothesis: {strategy: before-method-only}}
steady-state-hypothesis:
  title: once
  probes: [{type: probe, name: up, tolerance: 200, provider: {type: http, url: "{{URL}}/wears-out?n=1"}}]
method: [{type: probe, name: p, provider: {type: http, url: "{{URL}}/ok"}}]
`},
	{name: "after only", status: "completed", deviated: true, run: 1, text: `
runtime: {hypothesis: {strategy: after-method-only}}
steady-state-hypothesis:
  title: never
  probes: [{type: probe, name: up, tolerance: 200, provider: {type: http, url: "{{URL}}/down"}}]
method: [{type: probe, name: p, provider: {type: http, url: "{{URL}}/ok"}}]
`},
	{name: "skipped", status: "completed", run: 1, text: `
runtime: {hypothesis: {strategy: skip}}
steady-state-hypothesis:
  title: never
  probes: [{type: probe, name: up, tolerance: 200, provider: {type: http, url: "{{URL}}/down"}}]
method: [{type: probe, name: p, provider: {type: http, url: "{{URL}}/ok"}}]
`},
	{name: "continuously", status: "completed", run: 1, flag: []string{"--hypothesis-frequency", "0.2"}, text: `
runtime: {hypothesis: {strategy: continuously, frequency: 0.2}}
steady-state-hypothesis:
  title: always
  probes: [{type: probe, name: up, tolerance: 200, provider: {type: http, url: "{{URL}}/ok"}}]
method: [{type: action, name: a, pauses: {before: 1}, provider: {type: http, url: "{{URL}}/ok"}}]
`},
	{name: "during, and it does not hold", status: "completed", run: 1, flag: []string{"--hypothesis-frequency", "0.2"}, text: `
runtime: {hypothesis: {strategy: during-method-only, frequency: 0.2}}
steady-state-hypothesis:
  title: not long
  probes: [{type: probe, name: up, tolerance: 200, provider: {type: http, url: "{{URL}}/wears-out?n=2"}}]
method: [{type: action, name: a, pauses: {before: 1.5}, provider: {type: http, url: "{{URL}}/ok"}}]
`},
	{name: "fail fast", status: "failed", run: 1, flag: []string{"--hypothesis-frequency", "0.1", "--fail-fast"}, text: `
runtime: {hypothesis: {strategy: during-method-only, frequency: 0.1, fail_fast: true}}
steady-state-hypothesis:
  title: not long
  probes: [{type: probe, name: up, tolerance: 200, provider: {type: http, url: "{{URL}}/wears-out?n=2"}}]
method:
  - {type: action, name: a, provider: {type: process, path: sleep, arguments: ["1.5"]}}
  - {type: action, name: never, provider: {type: http, url: "{{URL}}/ok"}}
rollbacks: [{type: action, name: b, provider: {type: http, url: "{{URL}}/ok"}}]
`},
	{name: "fail fast, and checked after that", status: "completed", deviated: true, run: 1, back: 1,
		flag: []string{"--hypothesis-frequency", "0.1", "--fail-fast"}, text: `
runtime: {hypothesis: {strategy: continuously, frequency: 0.1, fail_fast: true}}
steady-state-hypothesis:
  title: not long
  probes: [{type: probe, name: up, tolerance: 200, provider: {type: http, url: "{{URL}}/wears-out?n=2"}}]
method:
  - {type: action, name: a, provider: {type: process, path: sleep, arguments: ["1.5"]}}
  - {type: action, name: never, provider: {type: http, url: "{{URL}}/ok"}}
rollbacks: [{type: action, name: b, provider: {type: http, url: "{{URL}}/ok"}}]
`},
	{name: "references", status: "completed", run: 2, text: `
steady-state-hypothesis:
  title: the site is up
  probes:
    - {type: probe, name: up, tolerance: 200, provider: {type: http, url: "{{URL}}/ok"}}
    - {ref: look, tolerance: 0}
method:
  - {ref: up}
  - {type: probe, name: look, provider: {type: process, path: echo, arguments: [x]}}
`},
	{name: "dry actions", status: "completed", run: 2, back: 1, dry: engine.DryActions, text: `
steady-state-hypothesis:
  title: the site is up
  probes: [{type: probe, name: up, tolerance: 200, provider: {type: http, url: "{{URL}}/ok"}}]
method:
  - {type: action, name: a, pauses: {after: 30}, provider: {type: http, url: "{{URL}}/ok"}}
  - {type: probe, name: p, provider: {type: http, url: "{{URL}}/ok"}}
rollbacks: [{type: action, name: b, provider: {type: http, url: "{{URL}}/ok"}}]
`},
	{name: "dry probes", status: "completed", run: 2, dry: engine.DryProbes, text: `
steady-state-hypothesis:
  title: would not hold
  probes: [{type: probe, name: up, tolerance: 200, provider: {type: http, url: "{{URL}}/down"}}]
method:
  - {type: action, name: a, provider: {type: http, url: "{{URL}}/ok"}}
  - {type: probe, name: p, provider: {type: http, url: "{{URL}}/ok"}}
`},
	{name: "dry activities", status: "completed", run: 1, dry: engine.DryActivities, text: `
steady-state-hypothesis:
  title: would not hold
  probes: [{type: probe, name: up, tolerance: 200, provider: {type: http, url: "{{URL}}/down"}}]
method: [{type: action, name: a, provider: {type: http, url: "{{URL}}/ok"}}]
`},
	{name: "dry pause", status: "completed", run: 1, dry: engine.DryPause, text: `
method: [{type: action, name: a, pauses: {before: 30, after: 30}, provider: {type: http, url: "{{URL}}/ok"}}]
`},
	{name: "interrupted", status: "interrupted", run: 1, interrupt: true, text: `
method:
  - {type: action, name: a, provider: {type: process, path: sh, arguments: [-c, "touch {{DIR}}/mark; exec sleep 60"]}}
  - {type: action, name: never, provider: {type: http, url: "{{URL}}/ok"}}
rollbacks: [{type: action, name: b, provider: {type: http, url: "{{URL}}/ok"}}]
`},
	{name: "interrupted, with rollbacks", status: "interrupted", run: 1, back: 1, interrupt: true, text: `
runtime: {rollbacks: {strategy: always}}
method: [{type: action, name: a, provider: {type: process, path: sh, arguments: [-c, "touch {{DIR}}/mark; exec sleep 60"]}}]
rollbacks: [{type: action, name: b, provider: {type: http, url: "{{URL}}/ok"}}]
`},
}

// journal is what both journals must have in common.
type journal struct {
	Status       string `json:"status"`
	Deviated     bool   `json:"deviated"`
	SteadyStates struct {
		Before *state  `json:"before"`
		After  *state  `json:"after"`
		During []state `json:"during"`
	} `json:"steady_states"`
	Run       []execution `json:"run"`
	Rollbacks []execution `json:"rollbacks"`
}

type state struct {
	Met    *bool       `json:"steady_state_met"`
	Probes []execution `json:"probes"`
}

type execution struct {
	Activity struct {
		Name string `json:"name"`
		Type string `json:"type"`
	} `json:"activity"`
	Output    any      `json:"output"`
	Status    string   `json:"status"`
	Met       *bool    `json:"tolerance_met"`
	Exception []string `json:"exception"`
}

// essential leaves out what may differ: headers but the type of the body, the texts of errors, the order in the background, the
// number of checks during the method.
func (j *journal) essential() {
	each := func(list []execution) {
		for i := range list {
			e := &list[i]
			if output, ok := e.Output.(map[string]any); ok && output["headers"] != nil {
				headers, _ := output["headers"].(map[string]any)
				output["headers"] = headers["Content-Type"]
			}
			if e.Status == "" {
				e.Status = "aborted" // the toolkit has no word for it
			}
			if e.Status != "aborted" && len(e.Exception) > 0 {
				e.Exception = []string{"one"}
			} else {
				e.Exception = nil
			}
		}
		slices.SortStableFunc(list, func(a, b execution) int { return strings.Compare(a.Activity.Name, b.Activity.Name) })
	}
	each(j.Run)
	each(j.Rollbacks)
	for _, s := range []*state{j.SteadyStates.Before, j.SteadyStates.After} {
		if s != nil {
			each(s.Probes)
		}
	}
	for _, s := range j.SteadyStates.During {
		each(s.Probes)
	}
	equal := func(a, b state) bool { return *a.Met == *b.Met && len(a.Probes) == len(b.Probes) }
	j.SteadyStates.During = slices.CompactFunc(j.SteadyStates.During, equal)
}

func readJournal(t *testing.T, raw []byte, address string) journal {
	t.Helper()
	var j journal
	require.NoError(t, json.Unmarshal([]byte(strings.ReplaceAll(string(raw), address, "http://site")), &j))
	j.essential()
	return j
}

func TestConformance(t *testing.T) {
	program := chaos(t)
	for _, test := range conformant {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			// write makes a run's folder, and its file in there.
			write := func(address string) (dir, file string) {
				dir = t.TempDir()
				require.NoError(t, os.WriteFile(filepath.Join(dir, "broken"), []byte{0x7f, 'E', 'L', 'F', 0, 0}, 0o755))
				text := "title: " + test.name + "\ndescription: for both engines" +
					strings.NewReplacer("{{URL}}", address, "{{DIR}}", dir).Replace(test.text)
				file = filepath.Join(dir, "experiment.yaml")
				if test.json {
					var tree any
					require.NoError(t, yaml.Unmarshal([]byte(text), &tree))
					raw, err := json.MarshalIndent(tree, "", "\t")
					require.NoError(t, err)
					file, text = filepath.Join(dir, "experiment.json"), string(raw)
				}
				require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
				return dir, file
			}
			marked := func(dir string, then func()) {
				require.Eventually(t, func() bool { _, err := os.Stat(filepath.Join(dir, "mark")); return err == nil },
					time.Minute, 20*time.Millisecond)
				then()
			}

			theirs := site(t)
			dir, file := write(theirs.URL)
			argv := append([]string{"run", "--journal-path", filepath.Join(dir, "journal.json")}, test.flag...)
			if test.dry != "" {
				argv = append(argv, "--dry", string(test.dry))
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, program, append(argv, file)...)
			cmd.Dir, cmd.Env = dir, append(os.Environ(), append(test.env, "HOME="+dir, "NO_PROXY=127.0.0.1", "CHAOSTOOLKIT_NO_VERSION_CHECK=1")...)
			var out strings.Builder
			cmd.Stdout, cmd.Stderr = &out, &out
			require.NoError(t, cmd.Start())
			if test.interrupt {
				marked(dir, func() { require.NoError(t, cmd.Process.Signal(syscall.SIGINT)) })
			}
			_ = cmd.Wait() // its exit code is not what is compared
			raw, err := os.ReadFile(filepath.Join(dir, "journal.json"))
			if test.crashes {
				require.ErrorIs(t, err, os.ErrNotExist, "%s", &out)
			} else {
				require.NoError(t, err, "%s", &out)
			}

			mine := site(t)
			dir, file = write(mine.URL)
			e, err := experiment.Load(file, nil)
			require.NoError(t, err)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			if test.interrupt {
				go marked(dir, stop)
			}
			got, err := engine.Run(ctx, e, engine.Options{Dry: test.dry, Getenv: func(name string) (string, bool) {
				for _, v := range test.env {
					if value, ok := strings.CutPrefix(v, name+"="); ok {
						return value, true
					}
				}
				return "", false
			}})
			require.NoError(t, err)
			require.Equal(t, test.status, got.Status)
			require.Equal(t, test.deviated, got.Deviated)
			require.Len(t, got.Run, test.run)
			require.Len(t, got.Rollbacks, test.back)
			if test.crashes {
				return
			}
			encoded, err := got.JSON()
			require.NoError(t, err)
			for _, secret := range test.env {
				if value, ok := strings.CutPrefix(secret, "TOKEN="); ok {
					require.NotContains(t, string(encoded), value)
				}
			}
			require.Equal(t, readJournal(t, raw, theirs.URL), readJournal(t, encoded, mine.URL), "%s", &out)

			// The journals have the same keys.
			var a, b map[string]any
			require.NoError(t, json.Unmarshal(raw, &a))
			require.NoError(t, json.Unmarshal(encoded, &b))
			require.ElementsMatch(t, keys(a), keys(b))
			require.ElementsMatch(t, keys(a["experiment"]), keys(b["experiment"]))
		})
	}
}

func keys(v any) []string {
	var all []string
	m, _ := v.(map[string]any)
	for k := range m {
		all = append(all, k)
	}
	return all
}
