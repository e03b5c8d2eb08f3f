package probes

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/child"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	"github.com/deskstorm/deskstorm/runner/native"
)

// startPrometheus starts a real one that scrapes nothing but two targets which do not answer.
func startPrometheus(t *testing.T) string {
	qemutest.RequireProgram(t, "prometheus", "prometheus")
	dir := t.TempDir()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(`
scrape_configs:
  - {job_name: none, scrape_interval: 100ms, scrape_timeout: 100ms, static_configs: [{targets: ["127.0.0.1:1", "127.0.0.1:2"]}]}
`), 0o600))
	p, err := child.Start(exec.CommandContext(t.Context(), "prometheus", "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address))
	require.NoError(t, err)
	t.Cleanup(p.Kill)
	url := "http://" + address
	require.Eventually(t, func() bool {
		response, err := http.Get(url + "/api/v1/query?query=count(up)>1")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		var b [400]byte
		n, _ := response.Body.Read(b[:])
		return response.StatusCode == http.StatusOK && string(b[:n]) != `{"status":"success","data":{"resultType":"vector","result":[]}}`
	}, 30*time.Second, 50*time.Millisecond, "%s", p.Said)
	return url
}

func TestPromQL(t *testing.T) {
	e := Env{Config: mustRead(t, fmt.Sprintf("prometheus: {url: %q}", startPrometheus(t)))}
	for _, test := range []struct {
		query string
		a     native.Arguments
		want  any
		says  string
	}{
		{query: "1 + 1", want: 2.},
		{query: "count(up)", want: 2.},
		{query: "nothing_at_all", says: "nothing is found; with the argument empty"},
		{query: "nothing_at_all", a: native.Arguments{"empty": 7}, want: 7.},
		{query: "0 / 0", says: "the answer is NaN"},
		{query: "0 / 0", a: native.Arguments{"empty": 7}, want: 7.},
		{query: "up[1m]", says: "the answer is of the type matrix"},
		{query: "sum(", says: "it answered with status 400: invalid parameter"},
	} {
		a := native.Arguments{"query": test.query}
		for k, v := range test.a {
			a[k] = v
		}
		got, err := call(t, e, "promql", a)
		if test.says != "" {
			require.ErrorContains(t, err, test.says)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, test.want, got, test.query)
	}
	got, err := call(t, e, "promql", native.Arguments{"query": "up"})
	require.NoError(t, err)
	require.Len(t, got, 2)
	require.Equal(t, "none", string(got.([]series)[0].Metric["job"]))
}

func TestPromQLCredentials(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if r.Header.Get("Authorization") != "Bearer hunter2" && (user != "u" || password != "hunter2") {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, `{"status":"success","data":{"resultType":"scalar","result":[1,"3"]}}`)
	}))
	t.Cleanup(server.Close)
	for _, more := range []string{"token: {file: %q}", "user: u, password: {file: %q}"} {
		e := Env{Config: mustRead(t, fmt.Sprintf("prometheus: {url: %q, "+more+"}", server.URL, secret(t, "hunter2")))}
		got, err := call(t, e, "promql", native.Arguments{"query": "x"})
		require.NoError(t, err)
		require.Equal(t, 3., got)
	}
	e := Env{Config: mustRead(t, fmt.Sprintf("prometheus: {url: %q}", server.URL))}
	_, err := call(t, e, "promql", native.Arguments{"query": "x"})
	require.ErrorContains(t, err, "it answered with status 401 and no JSON")
	server.Close()
	_, err = call(t, e, "promql", native.Arguments{"query": "x"})
	require.ErrorContains(t, err, "connection refused")
}
