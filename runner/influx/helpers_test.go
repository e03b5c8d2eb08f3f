package influx

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/child"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	"github.com/deskstorm/deskstorm/results"
)

// stub answers as InfluxDB 2.7's documentation says (docs.influxdata.com/influxdb/v2/api), and keeps the points it took.
type stub struct {
	*httptest.Server
	mu     sync.Mutex
	points map[string]string // fields by measurement, tags and time
	sizes  []int             // lines of each request that was taken
	asked  int               // requests to write

	refuse func(lines []string) (status int, code, message string) // 0: take them
	header http.Header                                             // of refusals
	lose   int                                                     // points that are acknowledged and not kept
}

const token = "a-token-that-is-secret"

func newStub(t *testing.T) *stub {
	t.Helper()
	s := &stub{points: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v2/write", s.write)
	mux.HandleFunc("POST /api/v2/query", s.query)
	mux.HandleFunc("GET /ping", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// set changes what the stub does.
func (s *stub) set(f func(*stub)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

func (s *stub) kept() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.points)
}

func answer(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"code": code, "message": message})
}

func (s *stub) write(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	switch {
	case r.Header.Get("Authorization") != "Token "+token:
		answer(w, http.StatusUnauthorized, "unauthorized", "unauthorized access")
		return
	case r.URL.Query().Get("bucket") != "deskstorm":
		answer(w, http.StatusNotFound, "not found", fmt.Sprintf("bucket %q not found", r.URL.Query().Get("bucket")))
		return
	case r.Header.Get("Content-Encoding") != "gzip" || r.URL.Query().Get("precision") != "ms":
		answer(w, http.StatusInternalServerError, "internal error", "the test expects gzip and milliseconds")
		return
	}
	body, err := gzip.NewReader(r.Body)
	if err != nil {
		answer(w, http.StatusBadRequest, "invalid", err.Error())
		return
	}
	text, _ := io.ReadAll(body)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if s.refuse != nil {
		if status, code, message := s.refuse(lines); status != 0 {
			for k, v := range s.header {
				w.Header()[k] = v
			}
			answer(w, status, code, message)
			return
		}
	}
	s.sizes = append(s.sizes, len(lines))
	for _, l := range lines {
		if s.lose > 0 {
			s.lose--
			continue
		}
		m := regexp.MustCompile(`^(.*[^\\]) ([a-z0-9]+=.*) (\d+)$`).FindStringSubmatch(l)
		if m == nil {
			answer(w, http.StatusBadRequest, "invalid", "unable to parse '"+l+"'")
			return
		}
		s.points[m[1]+" "+m[3]] = m[2]
	}
	w.WriteHeader(http.StatusNoContent)
}

// query counts the points of a run, whatever else is asked.
func (s *stub) query(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var q struct {
		Query string `json:"query"`
	}
	_ = json.NewDecoder(r.Body).Decode(&q)
	m := regexp.MustCompile(`r\._value == "([^"]*)"`).FindStringSubmatch(q.Query)
	if m == nil {
		answer(w, http.StatusBadRequest, "invalid", "compilation failed")
		return
	}
	n := 0
	for _, fields := range s.points {
		if strings.Contains(fields, `run="`+m[1]+`"`) {
			n++
		}
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	if n > 0 { // an empty table has no rows, and no answer
		fmt.Fprintf(w, "#datatype,string,long,long\r\n#group,false,false,false\r\n#default,_result,,\r\n,result,table,_value\r\n,,0,%d\r\n\r\n", n)
	}
}

func (s *stub) config(t *testing.T) Config {
	t.Helper()
	t.Setenv("DESKSTORM_TEST_INFLUX_TOKEN", token)
	c := Config{URL: s.URL, Org: "example", Bucket: "deskstorm", Timeout: 5 * time.Second, Batch: 100, Buffer: 1 << 20}
	c.Token.Env = "DESKSTORM_TEST_INFLUX_TOKEN"
	return c
}

// quick waits less than people would.
var quick = timing{10 * time.Millisecond, 50 * time.Millisecond, 200 * time.Millisecond, 20 * time.Millisecond}

func writer(t *testing.T, c Config, dir string, count Count) *Writer {
	t.Helper()
	w, err := open(c, dir, count, slog.New(slog.DiscardHandler), quick)
	require.NoError(t, err)
	t.Cleanup(w.Close)
	return w
}

// window is ten aggregates of a window.
func window(t testing.TB, start time.Time) []*results.Aggregate {
	t.Helper()
	var all []*results.Aggregate
	for i := range 10 {
		kind := []results.Kind{results.Trend, results.Trend, results.Gauge, results.Rate, results.Counter}[i%5]
		a := results.New(results.Series{Metric: "vdi_" + string(kind), Kind: kind, Tags: results.Tags{Site: "north, 1=2", Step: fmt.Sprint("step", i)}},
			start, start.Add(10*time.Second))
		for v := range 4 {
			require.NoError(t, a.Add(float64(v%2), start))
		}
		all = append(all, a)
	}
	return all
}

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// victoria is a VictoriaMetrics server that can be stopped and started again.
type victoria struct {
	port    int
	data    string
	process *child.Process
}

func startVictoria(t *testing.T) *victoria {
	t.Helper()
	qemutest.RequireProgram(t, "victoria-metrics", "victoria-metrics")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	v := &victoria{port: l.Addr().(*net.TCPAddr).Port, data: t.TempDir()}
	require.NoError(t, l.Close())
	v.start(t)
	t.Cleanup(func() { v.process.Kill() })
	return v
}

func (v *victoria) url() string { return "http://127.0.0.1:" + strconv.Itoa(v.port) }

func (v *victoria) start(t *testing.T) {
	t.Helper()
	var err error
	v.process, err = child.Start(exec.Command("victoria-metrics", "-storageDataPath", v.data,
		"-httpListenAddr", "127.0.0.1:"+strconv.Itoa(v.port), "-memory.allowedBytes", "200MB"))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		resp, err := http.Get(v.url() + "/ping")
		if err != nil {
			return false
		}
		return resp.Body.Close() == nil
	}, 30*time.Second, 20*time.Millisecond, "%s", v.process.Said)
}

func (v *victoria) config() Config {
	return Config{URL: v.url(), Org: "any", Bucket: "any", Timeout: 5 * time.Second, Batch: 500, Buffer: 10 << 20}
}

// series is a line of /api/v1/export.
type series struct {
	Metric     map[string]string `json:"metric"`
	Values     []float64         `json:"values"`
	Timestamps []int64           `json:"timestamps"`
}

// export reads what VictoriaMetrics has, after making it findable.
func (v *victoria) export(ctx context.Context, match string) ([]series, error) {
	if resp, err := http.Get(v.url() + "/internal/force_flush"); err == nil {
		_ = resp.Body.Close()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.url()+"/api/v1/export?"+url.Values{"match[]": {match}, "start": {"0"}}.Encode(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var all []series
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var s series
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			return nil, fmt.Errorf("%s: %w", lines.Text(), err)
		}
		all = append(all, s)
	}
	return all, lines.Err()
}

// count is a Count: VictoriaMetrics keeps a series for each field and no texts, so the field count is what is counted. A sample that
// was written twice it has twice.
func (v *victoria) count(ctx context.Context, _, experiment string, first, last time.Time) (int64, error) {
	all, err := v.export(ctx, `{__name__=~".*_count",experiment=`+strconv.Quote(experiment)+`}`)
	var n int64
	for _, s := range all {
		for _, at := range slices.Compact(slices.Sorted(slices.Values(s.Timestamps))) {
			if at >= first.UnixMilli() && at <= last.UnixMilli() {
				n++
			}
		}
	}
	return n, err
}
