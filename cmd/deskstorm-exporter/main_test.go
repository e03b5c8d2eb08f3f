package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// asExporter makes the test's own program the exporter.
const asExporter = "DESKSTORM_TEST_EXPORTER"

func TestMain(m *testing.M) {
	if os.Getenv(asExporter) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func exporter(t *testing.T, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), asExporter+"=1")
	return cmd
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "exporter.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// nobody is a cloud that does not answer.
const nobody = "openstack: {cloud: {name: c, file: clouds.yaml}, timeout: 1s, api_timeout: 1s}\n"

func nobodysConfig(t *testing.T) string {
	t.Helper()
	file := write(t, nobody)
	require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(file), "clouds.yaml"), []byte(
		"clouds: {c: {auth: {auth_url: http://127.0.0.1:1/v3, username: u, password: hunter2, user_domain_name: d, project_name: p, project_domain_name: d}}}\n"), 0o600))
	return file
}

func TestNotStarted(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { taken.Close() }) // after the parallel ones
	good := nobodysConfig(t)
	bad := write(t, "ports: {grace: 5}\ndhpc: {}\n")
	for name, test := range map[string]struct {
		args []string
		says []string
	}{
		"no file":              {[]string{"--config.file", "/no/such/file.yaml"}, []string{"/no/such/file.yaml"}},
		"mistakes":             {[]string{"--config.file", bad}, []string{bad + ":1:16: ports.grace: expected a duration", bad + ":2:1: dhpc: unknown key"}},
		"mistakes, --check":    {[]string{"--check", "--config.file", bad}, []string{bad + ":1:16: "}},
		"unknown exporter":     {[]string{"dhpc", "--config.file", good}, []string{`there is no exporter "dhpc"`}},
		"no section":           {[]string{"dhcp", "--config.file", good}, []string{"the exporter dhcp has no section"}},
		"a port taken":         {[]string{"--config.file", good, "--web.listen-address", taken.Addr().String()}, []string{"listening on " + taken.Addr().String()}},
		"no web configuration": {[]string{"--config.file", good, "--web.config.file", "/no/such/web.yml"}, []string{"/no/such/web.yml"}},
		"no such flag":         {[]string{"--nosuch"}, []string{"unknown flag: --nosuch"}},
		"no such level":        {[]string{"--log.level", "loud"}, []string{"--log.level"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := exporter(t, test.args...).CombinedOutput()
			failed := new(exec.ExitError)
			require.ErrorAs(t, err, &failed)
			require.Equal(t, exitNotStarted, failed.ExitCode(), "%s", out)
			for _, says := range test.says {
				require.Contains(t, string(out), says)
			}
		})
	}
}

// TestServes starts with a cloud that does not answer: it serves, says so, keeps the password, and ends when told to.
func TestServes(t *testing.T) {
	file := nobodysConfig(t)
	out, err := exporter(t, "--check", "--config.file", file).CombinedOutput()
	require.NoError(t, err)
	require.Equal(t, file+" has no mistakes; what it names was not asked\n", string(out))

	cmd := exporter(t, "--config.file", file, "--web.listen-address", "127.0.0.1:0", "--log.level", "debug")
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(stderr)
	address, log := "", ""
	for address == "" && lines.Scan() {
		log += lines.Text() + "\n"
		if m := regexp.MustCompile(`the exporter listens" address=(\S+)`).FindStringSubmatch(lines.Text()); m != nil {
			address = m[1]
		}
	}
	rest := make(chan string)
	go func() {
		b, _ := io.ReadAll(stderr)
		rest <- string(b)
	}()
	get := func(path string) (int, string) {
		response, err := http.Get("http://" + address + path)
		require.NoError(t, err)
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response.StatusCode, string(body)
	}
	status, _ := get("/-/healthy")
	require.Equal(t, http.StatusOK, status)
	require.Eventually(t, func() bool {
		_, body := get("/metrics")
		return strings.Contains(body, `deskstorm_exporter_updates_total{collector="openstack",result="failure",target="servers"} `) &&
			!strings.Contains(body, `deskstorm_exporter_updates_total{collector="openstack",result="failure",target="servers"} 0`)
	}, 30*time.Second, 20*time.Millisecond)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	log += <-rest
	require.NoError(t, cmd.Wait(), log)
	require.Contains(t, log, "a source did not answer in full")
	require.NotContains(t, log, "hunter2")
}
