package main

import (
	"bytes"
	"debug/elf"
	"encoding/pem"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/deskstorm/deskstorm/exporters/activeusers"
	"github.com/deskstorm/deskstorm/exporters/collector"
	"github.com/deskstorm/deskstorm/internal/activity"
	"github.com/deskstorm/deskstorm/internal/child"
	"github.com/deskstorm/deskstorm/internal/configfile"
)

const secret = "a secret of the test's own"

// build makes the program as it is released.
func build(t *testing.T, arch string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tc-agent-"+arch)
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X main.version=1.2.3", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	return path
}

// The program fits on a thin client's flash, and needs nothing else there.
func TestSmallAndStatic(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program twice; run make test")
	}
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		path := build(t, arch)
		info, err := os.Stat(path)
		require.NoError(t, err)
		t.Logf("%s: %d bytes", arch, info.Size())
		require.Less(t, info.Size(), int64(10_000_000))
		f, err := elf.Open(path)
		require.NoError(t, err)
		require.Equal(t, machine, f.Machine)
		for _, p := range f.Progs {
			require.NotEqual(t, elf.PT_INTERP, p.Type)
		}
		require.NoError(t, f.Close())
	}
}

func TestLinksNothingHeavy(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	require.NoError(t, err)
	for _, path := range strings.Fields(string(out)) {
		if strings.HasPrefix(path, "golang.org/x/sys/") {
			continue
		}
		require.Contains(t, []string{
			"github.com/deskstorm/deskstorm/cmd/tc-agent",
			"github.com/deskstorm/deskstorm/exporters/activeusers/agent",
			"github.com/deskstorm/deskstorm/internal/activity",
			"github.com/deskstorm/deskstorm/internal/authority",
		}, path)
	}
}

// exporter is one that listens with TLS at a fixed address.
type exporter struct {
	server  *httptest.Server
	metrics *prometheus.Registry
}

func startExporter(t *testing.T, address string) *exporter {
	t.Helper()
	c := activeusers.Default()
	c.Secret = configfile.Secret{Env: "DESKSTORM_TEST_TC_AGENT_SECRET"}
	c.Sites, c.Departments = []activeusers.Site{{Name: "N1", Zone: time.UTC}}, []string{"sales"}
	e, err := activeusers.New(c, nil)
	require.NoError(t, err)
	mux := http.NewServeMux()
	for pattern, h := range e.Handlers {
		mux.Handle(pattern, h)
	}
	x := &exporter{server: httptest.NewUnstartedServer(mux), metrics: prometheus.NewRegistry()}
	require.NoError(t, x.metrics.Register(collector.NewSet([]collector.Exporter{e}, slog.New(slog.DiscardHandler))))
	require.NoError(t, x.server.Listener.Close())
	x.server.Listener, err = net.Listen("tcp", address)
	require.NoError(t, err)
	x.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	x.server.StartTLS()
	t.Cleanup(x.server.Close)
	return x
}

func (x *exporter) sum(t *testing.T, name string) (total float64) {
	t.Helper()
	families, err := x.metrics.Gather()
	require.NoError(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "deskstorm_activeusers_"+name {
				total += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return total
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString(text)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// key is a struct input_event of a key that goes down, 64 bits, little-endian.
var key = append(make([]byte, 16), 1, 0, 30, 0, 1, 0, 0, 0)

// The real program reports to a real exporter with TLS, which is restarted meanwhile, and says goodbye at the end.
func TestProgram(t *testing.T) {
	if testing.Short() {
		t.Skip("runs for some seconds; run make test")
	}
	t.Setenv("DESKSTORM_TEST_TC_AGENT_SECRET", secret)
	first := startExporter(t, "127.0.0.1:0")
	address := first.server.Listener.Addr().String()
	dir := t.TempDir()
	put := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	log := put("viewer.log", "ERROR: before\n")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "input"), 0o700))
	require.NoError(t, unix.Mkfifo(filepath.Join(dir, "input", "event0"), 0o600))
	keyboard, err := os.OpenFile(filepath.Join(dir, "input", "event0"), os.O_RDWR, 0)
	require.NoError(t, err)
	defer keyboard.Close()

	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: first.server.Certificate().Raw})
	p, err := child.Start(exec.Command(build(t, runtime.GOARCH), "-exporter", "https://"+address, "-client", "tc-1",
		"-site", "N1", "-department", "sales", "-interval", "1s", "-ca-file", put("ca.pem", string(certificate)),
		"-token-file", put("token", activity.ClientToken(secret, "tc-1")+"\n"), "-input-dir", filepath.Join(dir, "input"),
		"-display-log", log))
	require.NoError(t, err)
	defer p.Kill()
	typed := 0.0
	types := func(n int) {
		_, err := keyboard.Write(bytes.Repeat(key, n))
		require.NoError(t, err)
		typed += float64(n)
	}
	types(5)
	eventually := func(condition func() bool) {
		t.Helper()
		require.Eventually(t, condition, 20*time.Second, 20*time.Millisecond, "the agent said: %s", p.Said)
	}
	eventually(func() bool { return first.sum(t, "input_events_total") == typed && first.sum(t, "active") == 1 })
	require.Equal(t, 1.0, first.sum(t, "agents"))

	first.server.CloseClientConnections()
	first.server.Close()
	types(7)
	appendTo(t, log, "ERROR: while the exporter was away\n")
	eventually(func() bool { return strings.Contains(p.Said.String(), "they wait") })
	second := startExporter(t, address)
	types(3)
	eventually(func() bool { return first.sum(t, "input_events_total")+second.sum(t, "input_events_total") == typed })
	eventually(func() bool { return second.sum(t, "display_client_errors_total") == 1 })
	require.Equal(t, 1.0, second.sum(t, "active"))

	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	<-p.Done
	require.NoError(t, p.Err, p.Said.String())
	require.Zero(t, second.sum(t, "connected"))
	require.NotContains(t, p.Said.String(), activity.ClientToken(secret, "tc-1"))
}

func TestCommandLine(t *testing.T) {
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	require.NoError(t, os.WriteFile(token, []byte("t\n"), 0o600))
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{}, "there is no token"},
		{[]string{"-token-file", filepath.Join(dir, "none")}, "reading the token"},
		{[]string{"-token-file", token}, "-exporter: the exporter's URL must have a host"},
		{[]string{"-token-file", token, "-exporter", "http://exporter.example"}, "must begin with https://"},
		{[]string{"-token-file", token, "-exporter", "https://user:secret@exporter.example"}, "no user"},
		{[]string{"-token-file", token, "-exporter", "https://exporter.example", "-client", "a b"}, "the client's name"},
		{[]string{"-token-file", token, "-exporter", "https://exporter.example", "-client", "a", "-interval", "1ms"}, "the interval"},
		{[]string{"-token-file", token, "-ca-file", token}, "has no certificate in PEM form"},
		{[]string{"-display-errors", "("}, "-display-errors"},
		{[]string{"start"}, `unexpected "start"`},
	} {
		err := run(t.Context(), c.args)
		require.ErrorContains(t, err, c.want)
		require.NotContains(t, err.Error(), "secret@")
	}
	require.NoError(t, run(t.Context(), []string{"-version"}))
}

func TestPrintTokens(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte(secret+"\n"), 0o600))
	var out bytes.Buffer
	require.NoError(t, printTokens([]string{"-secret-file", file, "tc-1", "tc-2"}, &out))
	require.NoError(t, printTokens([]string{"-secret-file", file, "-site", "N1"}, &out))
	require.Equal(t, "tc-1 "+activity.ClientToken(secret, "tc-1")+"\ntc-2 "+activity.ClientToken(secret, "tc-2")+
		"\nN1 "+activity.SiteToken(secret, "N1")+"\n", out.String())
	require.ErrorIs(t, printTokens(nil, &out), errUsage)
	require.Error(t, printTokens([]string{"-secret-file", file + "x", "tc-1"}, &out))
}
