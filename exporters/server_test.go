package exporters

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"github.com/deskstorm/deskstorm/exporters/collector"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
)

var depth = collector.Gauge("deskstorm_test_depth_meters", "How deep it is.")

// serve runs a server of the exporters until the test ends, and returns its URL without a scheme.
func serve(t *testing.T, o Options, made ...collector.Exporter) (address string) {
	t.Helper()
	o.Addresses, o.TelemetryPath, o.Log = []string{"127.0.0.1:0"}, "/metrics", slog.New(slog.DiscardHandler)
	s, err := Listen(made, o)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return s.Addresses[0].String()
}

func get(t *testing.T, client *http.Client, url string, header ...string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := client.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(text)
}

// one is an exporter of one source.
func one(update func(context.Context, func(prometheus.Metric)) error) collector.Exporter {
	return collector.Exporter{
		Name: "test", Families: []*collector.Family{depth},
		Sources:  []collector.Source{{Interval: time.Hour, Timeout: time.Minute, Update: update}},
		Handlers: map[string]http.Handler{"GET /v1/test": http.NotFoundHandler()},
	}
}

func TestServer(t *testing.T) {
	asked, answer := make(chan bool), make(chan bool)
	base := "http://" + serve(t, Options{}, one(func(ctx context.Context, emit func(prometheus.Metric)) error {
		asked <- true
		<-answer
		emit(depth.Value(4))
		return nil
	}))
	<-asked
	status, _ := get(t, http.DefaultClient, base+"/-/ready")
	require.Equal(t, http.StatusServiceUnavailable, status)
	status, body := get(t, http.DefaultClient, base+"/-/healthy")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "healthy\n", body)
	status, body = get(t, http.DefaultClient, base+"/metrics")
	require.Equal(t, http.StatusOK, status, "a scrape waits for no source")
	require.NotContains(t, body, depth.Name)

	close(answer)
	require.Eventually(t, func() bool {
		status, _ := get(t, http.DefaultClient, base+"/-/ready")
		return status == http.StatusOK
	}, 10*time.Second, time.Millisecond)
	_, body = get(t, http.DefaultClient, base+"/metrics", timeoutHeader, "10")
	require.Contains(t, body, depth.Name+" 4\n")
	require.Contains(t, body, `deskstorm_exporter_updates_total{collector="test",result="success",target=""} 1`)

	status, body = get(t, http.DefaultClient, base+"/")
	require.Equal(t, http.StatusOK, status)
	for _, link := range []string{`href="/metrics"`, `href="/v1/test"`, `href="/-/ready"`} {
		require.Contains(t, body, link)
	}
	require.NotContains(t, body, "/debug")
	status, _ = get(t, http.DefaultClient, base+"/debug/pprof/")
	require.Equal(t, http.StatusNotFound, status)
	for _, bad := range []string{"soon", "-1", "0", "NaN", "1e9"} {
		status, _ = get(t, http.DefaultClient, base+"/metrics", timeoutHeader, bad)
		require.Equal(t, http.StatusBadRequest, status, bad)
	}
}

// slow is a collector that does not keep its promise to be quick.
type slow struct{ release chan bool }

func (s slow) Describe(out chan<- *prometheus.Desc) {
	out <- prometheus.NewDesc(depth.Name, depth.Help, nil, nil)
}
func (s slow) Collect(out chan<- prometheus.Metric) {
	<-s.release
	out <- depth.Value(4)
}

func TestScrapeTimeout(t *testing.T) {
	release := make(chan bool)
	base := "http://" + serve(t, Options{}, collector.Exporter{Name: "test", Families: []*collector.Family{depth}, Live: []prometheus.Collector{slow{release}}})
	begin := time.Now()
	status, body := get(t, http.DefaultClient, base+"/metrics", timeoutHeader, "0.4")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Contains(t, body, "longer than Prometheus waits")
	require.Less(t, time.Since(begin), 5*time.Second)
	close(release)
	status, _ = get(t, http.DefaultClient, base+"/metrics", timeoutHeader, "10")
	require.Equal(t, http.StatusOK, status)
}

// TestWebConfiguration is exporter-toolkit's: TLS and basic authentication.
func TestWebConfiguration(t *testing.T) {
	files, authority := qemutest.TLSFiles(t)
	hash, err := bcrypt.GenerateFromPassword([]byte("right"), bcrypt.MinCost)
	require.NoError(t, err)
	config := filepath.Join(t.TempDir(), "web.yml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `
tls_server_config: {cert_file: %[1]s/server-cert.pem, key_file: %[1]s/server-key.pem}
basic_auth_users: {prometheus: %[2]s}
`, files.Dir, hash), 0o600))
	address := serve(t, Options{WebConfigFile: config}, one(func(context.Context, func(prometheus.Metric)) error { return nil }))
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(authority))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	status, _ := get(t, client, "https://"+address+"/metrics")
	require.Equal(t, http.StatusUnauthorized, status)
	for password, want := range map[string]int{"right": http.StatusOK, "wrong": http.StatusUnauthorized} {
		login := base64.StdEncoding.EncodeToString([]byte("prometheus:" + password))
		status, _ = get(t, client, "https://"+address+"/metrics", "Authorization", "Basic "+login)
		require.Equal(t, want, status)
	}
	status, _ = get(t, http.DefaultClient, "http://"+address+"/metrics")
	require.Equal(t, http.StatusBadRequest, status, "no clear text")
}

func TestListenFails(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	address := serve(t, Options{}, one(func(context.Context, func(prometheus.Metric)) error { return nil }))
	_, err := Listen(nil, Options{Addresses: []string{"127.0.0.1:0", address}, TelemetryPath: "/metrics", Log: log})
	require.ErrorContains(t, err, "listening on "+address)
	missing := filepath.Join(t.TempDir(), "web.yml")
	_, err = Listen(nil, Options{WebConfigFile: missing, TelemetryPath: "/metrics", Log: log})
	require.ErrorContains(t, err, missing)
	broken := filepath.Join(t.TempDir(), "web.yml")
	require.NoError(t, os.WriteFile(broken, []byte("tls_servr_config: {}\n"), 0o600))
	_, err = Listen(nil, Options{WebConfigFile: broken, TelemetryPath: "/metrics", Log: log})
	require.ErrorContains(t, err, "tls_servr_config")
	require.True(t, strings.Contains(err.Error(), broken))
}

func TestTelemetryPath(t *testing.T) {
	made := one(func(context.Context, func(prometheus.Metric)) error { return nil })
	made.Handlers = map[string]http.Handler{"GET /v1/things": http.NotFoundHandler()}
	for path, says := range map[string]string{
		"metrics": "such as /metrics", "": "such as /metrics", "/metrics/": "such as /metrics", "/{x": "such as /metrics", "/a b?c": "such as /metrics",
		"/": "something else", "/-/ready": "something else", "/v1/things": "something else",
	} {
		_, err := Listen([]collector.Exporter{made}, Options{TelemetryPath: path, Log: slog.New(slog.DiscardHandler)})
		require.ErrorContains(t, err, says, path)
	}
}
