package main

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/results"
)

// asDeskstorm makes the test's own program behave as deskstorm, so that exit codes and signals are real.
const asDeskstorm = "DESKSTORM_TEST_MAIN"

func TestMain(m *testing.M) {
	// Faults start a relay without any of the runner's environment.
	if os.Getenv(asDeskstorm) != "" || len(os.Args) > 1 && os.Args[1] == "relay" {
		main()
		return
	}
	os.Exit(m.Run())
}

func deskstorm(t *testing.T, args ...string) *exec.Cmd {
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), asDeskstorm+"=1")
	return cmd
}

// run returns what a command printed and its exit code.
func run(t *testing.T, cmd *exec.Cmd) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func script(t *testing.T, text string) string {
	file := filepath.Join(t.TempDir(), "script.js")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

func TestCommands(t *testing.T) {
	tests := []struct {
		args  string
		code  int
		says  []string // on either output
		never []string
	}{
		{args: "version", says: []string{"deskstorm ", "k6 v2.", "go1."}},
		{args: "--help", says: []string{"doctor", "thin clients (k6/x/vdi)", "version"}},
		{args: "nonsense", code: 1, says: []string{"deskstorm: unknown command"}},
		{args: "k6 version", says: []string{"k6 v2.", "k6/x/vdi [js]", "vdi [output]"}},
		{args: "k6 --version", says: []string{"k6 v2."}},
		{args: "k6 --help", says: []string{"deskstorm k6 [command]", "$ deskstorm k6 run test.js"}, never: []string{"deskstorm.test"}},
		{args: "k6", says: []string{"deskstorm k6 [command]"}},
		{args: "k6 run --help", says: []string{"deskstorm k6 run [flags]", "--summary-export"}, never: []string{"deskstorm.test"}},
		{args: "k6 nonsense", code: 255, says: []string{"unknown command"}},
		{args: "k6 run /no/such/file.js", code: 255, says: []string{"no/such/file.js"}},
		{args: "doctor --clients 1", says: []string{"descriptors", "memory"}, never: []string{"\x1b"}},
		{args: "doctor --clients 9000000", code: 1, says: []string{"fail  descriptors", "LimitNOFILE"}},
		{args: "doctor --clients 0", code: 1, says: []string{"deskstorm: --clients 0"}},
		// 1 is an experiment that deviated: what was not even run ends with 2.
		{args: "run", code: 2, says: []string{"deskstorm: name one experiment; see deskstorm run --help"}},
		{args: "run --bogus smoke", code: 2, says: []string{"unknown flag: --bogus"}},
		{args: "run --dry-run smoke", code: 2, says: []string{"--dry-run actions EXPERIMENT"}},
		{args: "run --dry-run plan smoke", code: 2, says: []string{"expected probes, actions, activities or pause"}},
		{args: "run --var x smoke", code: 2, says: []string{"expected NAME=VALUE"}},
		{args: "validate", code: 2, says: []string{"name an experiment", "boot-storm"}},
		{args: "validate nothing", code: 2, says: []string{"no such experiment"}},
		{args: "validate --schema", says: []string{`"fault.net.loss"`}},
		{args: "report a b", code: 2, says: []string{"see deskstorm report --help"}},
		{args: "report --format csv", code: 2, says: []string{"none of text, json, markdown, junit, html"}},
		{args: "report --format html", code: 2, says: []string{"of one run"}},
		{args: "compare a", code: 2, says: []string{"name two runs"}},
		{args: "serve --config.file /no/such.yaml", code: 2, says: []string{"/no/such.yaml"}},
		{args: "serve now", code: 2, says: []string{"see deskstorm serve --help"}},
		{args: "recover --config.file /no/such.yaml", code: 2, says: []string{"/no/such.yaml"}},
		{args: "cleanup --min-age soon", code: 2, says: []string{"--min-age"}},
		{args: "doctor --port 5900", code: 1, says: []string{"give --host together"}},
	}
	for _, test := range tests {
		t.Run(test.args, func(t *testing.T) {
			t.Parallel()
			stdout, stderr, code := run(t, deskstorm(t, strings.Fields(test.args)...))
			require.Equal(t, test.code, code, "%s%s", stdout, stderr)
			for _, text := range test.says {
				require.Contains(t, stdout+stderr, text)
			}
			for _, text := range test.never {
				require.NotContains(t, stdout+stderr, text)
			}
		})
	}
}

// measuring records one trend sample and one of a metric that is not kept, in each of 20 iterations of 2 users.
const measuring = `
import vdi from 'k6/x/vdi';
import { Trend, Counter } from 'k6/metrics';
const rtt = new Trend('vdi_test_rtt', true);
const other = new Counter('other');
export const options = { vus: 2, iterations: 20, tags: { site: 'a' }, thresholds: { vdi_test_rtt: ['max<LIMIT'] } };
export default function () {
  if (vdi === null) throw new Error('no module');
  rtt.add(5, { path: 'visible', user: String(__VU) });
  other.add(1);
}
`

func TestK6RunWritesResults(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "results.jsonl")
	cmd := deskstorm(t, "k6", "run", "--quiet", "--out", "vdi="+file,
		script(t, strings.Replace(measuring, "LIMIT", "100", 1)))
	stdout, stderr, code := run(t, cmd)
	require.Zero(t, code, "%s%s", stdout, stderr)

	written, err := os.Open(file)
	require.NoError(t, err)
	defer written.Close()
	all, err := results.Read(written)
	require.NoError(t, err)
	totals, err := results.Totals(all) // the run may cross the end of a window
	require.NoError(t, err)
	got := map[string]*results.Aggregate{}
	for _, a := range totals {
		got[a.Metric] = a
	}
	require.NotContains(t, got, "other")
	require.Equal(t, results.Tags{Site: "a", Path: "visible"}, got["vdi_test_rtt"].Tags)
	require.Equal(t, int64(20), got["vdi_test_rtt"].Count)
	require.InDelta(t, 5, got["vdi_test_rtt"].Quantile(0.99), 0.01)
	require.Equal(t, 20.0, got["iterations"].Sum)
}

func TestK6RunOverAPipe(t *testing.T) {
	t.Parallel()
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	defer reader.Close()
	cmd := deskstorm(t, "k6", "run", "--quiet", "--out", "vdi=fd:3",
		script(t, strings.Replace(measuring, "LIMIT", "100", 1)))
	cmd.ExtraFiles = []*os.File{writer}
	require.NoError(t, cmd.Start())
	require.NoError(t, writer.Close())
	all, err := results.Read(reader) // ends when the child does
	require.NoError(t, err)
	require.NotEmpty(t, all)
	require.NoError(t, cmd.Wait())
}

func TestK6KeepsItsExitCodes(t *testing.T) {
	t.Parallel()
	cmd := deskstorm(t, "k6", "run", "--quiet", script(t, strings.Replace(measuring, "LIMIT", "1", 1)))
	_, stderr, code := run(t, cmd)
	require.Equal(t, 99, code, "thresholds have failed: %s", stderr)
}

func TestK6HandlesInterrupt(t *testing.T) {
	t.Parallel()
	cmd := deskstorm(t, "k6", "run", "--quiet", "--duration", "10m", script(t, `
import { sleep } from 'k6';
export default function () { console.log('started'); sleep(600); }
export function teardown() { console.log('torn down'); }
`))
	log, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	tornDown := false
	for lines := bufio.NewScanner(log); lines.Scan(); {
		if strings.Contains(lines.Text(), "started") {
			require.NoError(t, cmd.Process.Signal(os.Interrupt))
		}
		tornDown = tornDown || strings.Contains(lines.Text(), "torn down")
	}
	require.Error(t, cmd.Wait())
	require.Equal(t, 105, cmd.ProcessState.ExitCode(), "k6's code for an external abort")
	require.True(t, tornDown)
}

func TestK6DoesNotPhoneOut(t *testing.T) {
	t.Parallel()
	env := `
export const options = { iterations: 1 };
export default function () { console.log('report=' + __ENV.K6_NO_USAGE_REPORT + ' resolve=' + __ENV.K6_AUTO_EXTENSION_RESOLUTION); }
`
	_, stderr, code := run(t, deskstorm(t, "k6", "run", "--quiet", "--include-system-env-vars", script(t, env)))
	require.Zero(t, code, stderr)
	require.Contains(t, stderr, "report=true resolve=false")

	cmd := deskstorm(t, "k6", "run", "--quiet", "--include-system-env-vars", script(t, env))
	cmd.Env = append(cmd.Env, "K6_AUTO_EXTENSION_RESOLUTION=no")
	_, stderr, code = run(t, cmd)
	require.Zero(t, code, stderr)
	require.Contains(t, stderr, "resolve=no", "what the user has set stays")
}
