package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/results"
	"github.com/deskstorm/deskstorm/spice/screen"
)

// oneDesktop starts a simulated desktop.
func oneDesktop(t *testing.T, c screen.Config) (*screen.Desktop, string) {
	farm, err := screen.NewFarm(1, c)
	require.NoError(t, err)
	t.Cleanup(farm.Close)
	d := farm.Desktops()[0]
	return d, strconv.Itoa(d.Addr().(*net.TCPAddr).Port)
}

func TestDoctorReachesADesktop(t *testing.T) {
	_, port := oneDesktop(t, screen.Config{Ticket: "geheim"})
	vv := filepath.Join(t.TempDir(), "desktop.vv")
	require.NoError(t, os.WriteFile(vv, []byte("[virt-viewer]\ntype=spice\nhost=127.0.0.1\nport="+port+"\npassword=geheim\n"), 0o600))
	for name, c := range map[string]struct {
		ticket string
		args   []string
		code   int
		says   string
	}{
		"right ticket": {"geheim", []string{"--host", "127.0.0.1", "--port", port}, 0, "answered in"},
		"file":         {"", []string{"--file", vv}, 0, "answered in"},
		"wrong ticket": {"falsch", []string{"--host", "127.0.0.1", "--port", port}, 1, "Tickets expire"},
		"nobody":       {"", []string{"--host", "127.0.0.1", "--port", "1"}, 1, "Nothing listens there"},
		"no port":      {"", []string{"--host", "127.0.0.1"}, 1, "give --host together"},
		"no file":      {"", []string{"--file", "/nowhere.vv"}, 1, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := deskstorm(t, append([]string{"doctor", "--clients", "1"}, c.args...)...)
			cmd.Env = append(cmd.Environ(), "DESKSTORM_TICKET="+c.ticket)
			stdout, stderr, code := run(t, cmd)
			require.Equal(t, c.code, code, stdout+stderr)
			require.Contains(t, stdout+stderr, c.says)
			require.NotContains(t, stdout+stderr, "geheim")
			require.NotContains(t, stdout+stderr, "falsch")
		})
	}
}

// TestSessionsEndWithTheTest: a session that a script left open is closed, and
// its last counts arrive, however the test ends.
func TestSessionsEndWithTheTest(t *testing.T) {
	const working = `
import vdi from 'k6/x/vdi';
export const options = { scenarios: { s: { executor: 'constant-vus', vus: 1, duration: 'LENGTH', gracefulStop: '200ms' } } };
export default async function () {
  const desk = await vdi.connect({ host: '127.0.0.1', port: PORT, site: 'x' });
  await desk.work('office', '1h');
}`
	for name, c := range map[string]struct {
		length    string
		interrupt bool
		code      int
	}{
		"end of gracefulStop": {length: "1s"},
		"SIGINT":              {length: "1h", interrupt: true, code: 105},
	} {
		t.Run(name, func(t *testing.T) {
			desktop, port := oneDesktop(t, screen.Config{})
			out := filepath.Join(t.TempDir(), "results.jsonl")
			cmd := deskstorm(t, "k6", "run", "--quiet", "--out", "vdi="+out,
				script(t, strings.NewReplacer("LENGTH", c.length, "PORT", port).Replace(working)))
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			require.NoError(t, cmd.Start())
			if c.interrupt {
				require.Eventually(t, func() bool { return desktop.Stats().Keys > 0 }, 30*time.Second, 10*time.Millisecond)
				require.NoError(t, cmd.Process.Signal(os.Interrupt))
			}
			_ = cmd.Wait() // its exit status is looked at below
			require.Equal(t, c.code, cmd.ProcessState.ExitCode(), stderr.String())
			require.Eventually(t, func() bool { return desktop.Stats().Clients == 0 }, 5*time.Second, time.Millisecond)

			file, err := os.Open(out)
			require.NoError(t, err)
			defer file.Close()
			windows, err := results.Read(file)
			require.NoError(t, err)
			keys, open := 0.0, -1.0
			for _, w := range windows {
				switch w.Series.Metric {
				case "vdi_keys":
					keys += w.Sum
				case "vdi_sessions_open":
					open = w.Last
				}
			}
			require.Equal(t, 0.0, open, "k6 was told of the end")
			require.Equal(t, float64(desktop.Stats().Keys), keys, "no key is missing in the last counts")
		})
	}
}
