package activeusers

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/exporters/collector"
	"github.com/deskstorm/deskstorm/internal/activity"
	"github.com/deskstorm/deskstorm/internal/child"
)

// fleetSize is how many thin clients there are, and they report each so often.
const (
	fleetSize   = 10_000
	reportEvery = 10 * time.Second
)

// full is what an agent says.
func full(i int, sequence uint64, now time.Time) activity.Report {
	celsius, free := 41.5, 0.5
	return activity.Report{
		Client: fmt.Sprintf("tc-%05d", i), Run: "JBSWY3DPEHPK3PXPJBSWY3DPEH", Sequence: sequence,
		From: now.Add(-reportEvery), To: now, Events: uint64(i % 100), LastInput: now.Add(-time.Second),
		Site: []string{"N1", "N2"}[i%2], Department: "sales",
		State: &activity.State{Version: "1.0.0", Boot: now.Add(-time.Hour), Temperature: &celsius, DiskFree: &free},
	}
}

func benchExporter(b *testing.B, now func() time.Time) collector.Exporter {
	b.Helper()
	e, err := newExporter(testConfig(b), nil, now)
	require.NoError(b, err)
	return e.exporter([]string{secret})
}

// One report a request, as agents send it: all but the network.
func BenchmarkReport(b *testing.B) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	now := time.Now()
	h := benchExporter(b, func() time.Time { return now }).Handlers["POST "+activity.Path]
	tokens := make([]string, fleetSize)
	for i := range tokens {
		tokens[i] = "Bearer " + activity.ClientToken(secret, fmt.Sprintf("tc-%05d", i))
	}
	b.ReportAllocs()
	sequence := uint64(0)
	n := 0
	for b.Loop() {
		b.StopTimer()
		i := n % fleetSize
		if i == 0 {
			sequence++
		}
		n++
		deliver(b, h, tokens[i], []activity.Report{full(i, sequence, now)})
	}
}

// deliver sends reports, of which only the handler's work is timed. The timer is stopped before, and runs after.
func deliver(b *testing.B, h http.Handler, token string, reports []activity.Report) {
	body, err := json.Marshal(activity.Request{Reports: reports})
	require.NoError(b, err)
	r := httptest.NewRequest(http.MethodPost, activity.Path, bytes.NewReader(body))
	r.Header.Set("Authorization", token)
	w := httptest.NewRecorder()
	b.StartTimer()
	h.ServeHTTP(w, r)
	b.StopTimer()
	require.Equal(b, http.StatusOK, w.Code)
	b.StartTimer()
}

// A thousand reports a request, as a relay or a load test sends them.
func BenchmarkBatchOf1000(b *testing.B) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	now := time.Now()
	h := benchExporter(b, func() time.Time { return now }).Handlers["POST "+activity.Path]
	sequence := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		sequence++
		batch := make([]activity.Report, activity.MaxReports)
		for i := range batch {
			batch[i] = full(2*i, sequence, now)
		}
		deliver(b, h, "Bearer "+activity.SiteToken(secret, "N1"), batch)
	}
}

// A scrape with 10,000 clients, to its last byte.
func BenchmarkScrape(b *testing.B) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	now := time.Now()
	e, err := newExporter(testConfig(b), nil, func() time.Time { return now })
	require.NoError(b, err)
	for i := range fleetSize {
		r := full(i, 1, now)
		require.Equal(b, activity.Accepted, e.clients.take(&r, now))
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector.NewSet([]collector.Exporter{e.exporter([]string{secret})}, e.log))
	h := promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		require.Equal(b, http.StatusOK, w.Code)
	}
}

// serverVariable makes the test's own program the exporter of BenchmarkFleet, with TLS, on one core.
const serverVariable = "DESKSTORM_TEST_ACTIVEUSERS_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(serverVariable) == "" {
		os.Exit(m.Run())
	}
	runtime.GOMAXPROCS(1)
	c := Default()
	c.Sites, c.Departments = []Site{{"N1", time.UTC}, {"N2", time.UTC}}, []string{"sales", "care"}
	e, err := newExporter(c, nil, time.Now)
	if err != nil {
		panic(err)
	}
	served := e.exporter([]string{secret})
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector.NewSet([]collector.Exporter{served}, e.log))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	for pattern, h := range served.Handlers {
		mux.Handle(pattern, h)
	}
	certificate, err := newCertificate()
	if err != nil {
		panic(err)
	}
	server := httptest.NewUnstartedServer(mux)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.StartTLS()
	fmt.Println(server.URL)
	_, _ = io.Copy(io.Discard, os.Stdin) // until the benchmark ends
}

// newCertificate is of P-256, as authorities give today; httptest's is of RSA, whose signatures take ten times as long.
func newCertificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, of, of, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// usage is the time that a process has run (proc_pid_stat(5)), in hundredths of a second, and its resident memory in bytes.
func usage(b *testing.B, pid int) (cpu time.Duration, resident int64) {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(b, err)
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+2:]))
	number := func(i int) int64 {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		require.NoError(b, err)
		return n
	}
	return time.Duration(number(11)+number(12)) * 10 * time.Millisecond, number(21) * int64(os.Getpagesize())
}

// 10,000 clients with a TLS connection each report every 10 s for half a minute, after a minute of connecting, to an exporter of
// another process with one core. The time of an operation means nothing; the other figures do.
func BenchmarkFleet(b *testing.B) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serverVariable+"=1")
	stdin, err := cmd.StdinPipe()
	require.NoError(b, err)
	defer stdin.Close()
	r, w, err := os.Pipe()
	require.NoError(b, err)
	defer r.Close()
	cmd.Stdout = w
	server, err := child.Start(cmd)
	require.NoError(b, err)
	defer server.Kill()
	require.NoError(b, w.Close())
	line := make([]byte, 100)
	n, err := r.Read(line)
	require.NoError(b, err)
	url := strings.TrimSpace(string(line[:n]))

	// Each client has connections of its own, and keeps one.
	newHTTPClient := func() *http.Client {
		return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, IdleConnTimeout: time.Minute,
		}}
	}
	var accepted atomic.Int64
	var late atomic.Int64 // the longest wait for an answer
	clients := make([]*activity.Client, fleetSize)
	for i := range clients {
		token := activity.ClientToken(secret, fmt.Sprintf("tc-%05d", i))
		clients[i], err = activity.NewClient(url, token, newHTTPClient())
		require.NoError(b, err)
	}
	var wg sync.WaitGroup
	var firstError atomic.Value
	round := func(sequence uint64, length time.Duration) {
		begin := time.Now()
		for i := range clients {
			if wait := time.Until(begin.Add(time.Duration(i) * length / fleetSize)); wait > time.Millisecond {
				time.Sleep(wait)
			}
			wg.Go(func() {
				sent := time.Now()
				results, err := clients[i].Send(b.Context(), []activity.Report{full(i, sequence, sent)})
				if err != nil || results[0] != activity.Accepted {
					firstError.CompareAndSwap(nil, fmt.Sprint(results, err))
					return
				}
				accepted.Add(1)
				took := int64(time.Since(sent))
				for before := late.Load(); took > before && !late.CompareAndSwap(before, took); before = late.Load() {
				}
			})
		}
	}
	const rounds = 3
	round(1, time.Minute) // opens the connections, as agents do that come back after a restart
	wg.Wait()
	cpuStart, _ := usage(b, server.Process.Pid)
	late.Store(0)
	for n := range uint64(rounds) {
		round(n+2, reportEvery)
	}
	wg.Wait()
	cpuAfter, resident := usage(b, server.Process.Pid)
	perReport := (cpuAfter - cpuStart).Seconds() / (rounds * fleetSize)
	prometheusClient := newHTTPClient()
	scrapes := make([]time.Duration, 11)
	for i := range scrapes {
		asked := time.Now()
		resp, err := prometheusClient.Get(url + "/metrics")
		require.NoError(b, err)
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(b, err)
		require.NoError(b, resp.Body.Close())
		scrapes[i] = time.Since(asked)
	}
	slices.Sort(scrapes)
	require.Nil(b, firstError.Load())
	require.Equal(b, int64((1+rounds)*fleetSize), accepted.Load())
	b.ReportMetric(cpuStart.Seconds()*1e6/fleetSize, "us/connect")
	b.ReportMetric(perReport*1e6, "us/report")
	b.ReportMetric(100*perReport*fleetSize/reportEvery.Seconds(), "%core")
	b.ReportMetric(float64(resident)/(1<<20), "MiB")
	b.ReportMetric(time.Duration(late.Load()).Seconds()*1e3, "slowest-ms")
	b.ReportMetric(scrapes[len(scrapes)/2].Seconds()*1e3, "scrape-ms")
}
