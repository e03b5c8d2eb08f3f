package vdi

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	k6cmd "go.k6.io/k6/v2/cmd"

	"github.com/deskstorm/deskstorm/broker/client/openstack"
	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/results"
)

// asK6 makes the test's own program behave as k6, so that ends are real.
const asK6 = "DESKSTORM_TEST_K6"

func TestMain(m *testing.M) {
	if os.Getenv(asK6) != "" {
		k6cmd.Execute()
		return
	}
	os.Exit(m.Run())
}

// k6 is `k6 run` with the module, a script and its variables.
type k6 struct {
	*exec.Cmd
	out    string
	stderr bytes.Buffer
}

func newK6(t *testing.T, script string, variables ...string) *k6 {
	self, err := os.Executable()
	require.NoError(t, err)
	k := &k6{out: filepath.Join(t.TempDir(), "results.jsonl")}
	args := []string{"run", "--quiet", "--no-color", "--no-usage-report", "--out", "vdi=" + k.out, script}
	k.Cmd = exec.CommandContext(t.Context(), self, args...)
	k.Env = append(os.Environ(), append(variables, asK6+"=1", "K6_AUTO_EXTENSION_RESOLUTION=false")...)
	k.Stderr = &k.stderr
	return k
}

// code waits for k6's end and returns its exit code.
func (k *k6) code() int {
	_ = k.Wait() // its exit code is what counts
	return k.ProcessState.ExitCode()
}

// aggregates are what k6 wrote, by metric and step: last values of gauges, sums of all else.
func (k *k6) aggregates(t *testing.T) map[string]float64 {
	file, err := os.Open(k.out)
	require.NoError(t, err)
	defer file.Close()
	windows, err := results.Read(file)
	require.NoError(t, err)
	all := map[string]float64{}
	for _, w := range windows {
		key := w.Series.Metric
		if w.Series.Tags.Step != "" {
			key += " " + w.Series.Tags.Step
		}
		if w.Series.Kind == results.Gauge {
			all[key] = w.Last
		} else {
			all[key] += w.Sum
		}
		all[key+" count"] += float64(w.Count)
	}
	return all
}

func writeScript(t *testing.T, text string) string {
	file := filepath.Join(t.TempDir(), "script.js")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// TestLoginsEndWithTheTest: every session that was made is ended, however the
// test ends.
func TestLoginsEndWithTheTest(t *testing.T) {
	const people = 3
	for name, c := range map[string]struct {
		body      string
		set       func(*office)
		duration  string
		interrupt bool
		code      int
		cutShort  bool // before any login's answer
	}{
		"forgotten":                {body: `await c.login(); await c.connect();`, duration: "1h"},
		"exception":                {body: `await c.login(); throw new Error('a mistake');`, duration: "1h"},
		"abort":                    {body: `await c.login(); await c.connect(); sleep(0.3); exec.test.abort('enough');`, duration: "1h", code: 108},
		"end of gracefulStop":      {body: `await c.login(); await (await c.connect()).work('office', '1h');`, duration: "1s"},
		"gracefulStop in a sleep":  {body: `await c.login(); sleep(3600);`, duration: "1s"},
		"gracefulStop in a login":  {body: `await c.login(); sleep(3600);`, duration: "1s", cutShort: true, set: func(o *office) { o.slow, o.deaf = 2*time.Second, true }},
		"gracefulStop, no answer":  {body: `await c.login(); sleep(3600);`, duration: "1s", cutShort: true, set: func(o *office) { o.slow = time.Hour }},
		"SIGINT":                   {body: `await c.login(); await (await c.connect()).work('office', '1h');`, duration: "1h", interrupt: true, code: 105},
		"SIGINT in a login":        {body: `await c.login(); sleep(3600);`, duration: "1h", interrupt: true, cutShort: true, code: 105, set: func(o *office) { o.slow, o.deaf = time.Second, true }},
		"with a lease, in a sleep": {body: `await c.login(); sleep(1);`, duration: "1h", set: func(o *office) { o.lease = 300 * time.Millisecond }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t, func(o *office) {
				o.desktops = people
				if c.set != nil {
					c.set(o)
				}
			})
			k := newK6(t, writeScript(t, strings.NewReplacer("PEOPLE", strconv.Itoa(people), "LENGTH", c.duration, "BODY", c.body).Replace(`
import { sleep } from 'k6';
import exec from 'k6/execution';
import vdi from 'k6/x/vdi';
export const options = { scenarios: { s: { executor: 'per-vu-iterations', vus: PEOPLE, iterations: 1, maxDuration: 'LENGTH', gracefulStop: '200ms' } } };
export default async function () {
  const c = new vdi.ThinClient({ broker: __ENV.BROKER, user: 'anna', password: 'geheim', site: 'north' });
  BODY
}`)), "BROKER="+o.URL)
			require.NoError(t, k.Start())
			if c.interrupt {
				for range people {
					select {
					case <-o.asked:
					case <-time.After(time.Minute):
						t.Fatal("nobody has come: ", k.stderr.String())
					}
				}
				if !c.cutShort {
					keys := func() (n uint64) {
						for _, d := range o.farm.Desktops() {
							n += d.Stats().Keys
						}
						return n
					}
					require.Eventually(t, func() bool { return keys() > 0 }, time.Minute, 10*time.Millisecond)
				}
				require.NoError(t, k.Process.Signal(os.Interrupt))
			}
			require.Equal(t, c.code, k.code(), k.stderr.String())
			require.NotContains(t, k.stderr.String(), "geheim")
			made, open := o.counts()
			require.Zero(t, open, "sessions left of %d; %s", made, k.stderr.String())
			got := k.aggregates(t)
			require.Zero(t, got["vdi_logins_open"])
			require.Zero(t, got["vdi_logins_left count"])
			if o.deaf {
				require.Equal(t, people, made, "who was cut short was at a desktop, and was logged out")
			}
			if c.cutShort {
				require.Zero(t, got["vdi_login_failed count"])
				require.Zero(t, got["vdi_login_duration total count"])
				return
			}
			require.Equal(t, people, made)
			require.Equal(t, float64(people), got["vdi_login_failed count"])
			require.Equal(t, float64(people), got["vdi_login_duration total count"])
			require.Equal(t, float64(people), got["vdi_login_duration unaccounted count"])
			require.Contains(t, got, "vdi_logins_open")
			if o.lease > 0 {
				require.GreaterOrEqual(t, o.renewals, 2*people)
				require.Zero(t, got["vdi_renew_failed"])
			}
		})
	}
}

// TestScenarios runs the scripts as they are.
func TestScenarios(t *testing.T) {
	const storm, morning = "../scenarios/login-storm.js", "../scenarios/morning-shift.js"
	csv := filepath.Join(t.TempDir(), "users.csv")
	require.NoError(t, os.WriteFile(csv, []byte("\ufeffuser,password,site\r\nanna,\"a,\"\"b\"\"\",north\r\nbert,b,\r\n\r\n"), 0o600))
	twice := filepath.Join(t.TempDir(), "twice.csv")
	require.NoError(t, os.WriteFile(twice, []byte("user,password\nanna,a\nbert,b,c\n"), 0o600))
	columns := filepath.Join(t.TempDir(), "columns.csv")
	require.NoError(t, os.WriteFile(columns, []byte("user,passwort\nanna,a\n"), 0o600))
	for name, c := range map[string]struct {
		script    string
		variables []string
		fails     string // the user whose password is wrong
		code      int
		says      string
		check     func(*testing.T, *office, map[string]float64)
	}{
		"storm": {script: storm, variables: []string{"DESKSTORM_USERS=4", "DESKSTORM_WINDOW=1s", "DESKSTORM_HOLD=200ms", "DESKSTORM_SITES=N1, N2",
			"DESKSTORM_SEAT=seat-%d"}, check: func(t *testing.T, o *office, got map[string]float64) {
			require.Equal(t, 4.0, got["vdi_login_duration total count"])
			require.Equal(t, 4.0, got["vdi_wait count"])
			require.Equal(t, 4.0, got["vdi_first_key count"])
			require.Greater(t, got["vdi_first_key"], got["vdi_wait"])
			users := map[any]map[string]any{}
			for _, l := range o.logins {
				users[l["user"]] = l
			}
			require.Equal(t, map[string]any{"user": "agent0003", "password": "pass-agent0003", "seat": "seat-3", "site": "N1"}, users["agent0003"])
			require.Len(t, users, 4)
		}},
		"storm, one fails": {script: storm, variables: []string{"DESKSTORM_USERS=4", "DESKSTORM_WINDOW=1s", "DESKSTORM_HOLD=1ms"},
			fails: "agent0002", code: 99, says: "wrong-password", check: func(t *testing.T, _ *office, got map[string]float64) {
				require.Equal(t, 1.0, got["vdi_login_failed auth"])
				require.Equal(t, 4.0, got["vdi_arrivals"])
				require.Equal(t, 3.0, got["vdi_wait count"])
			}},
		"morning by file": {script: morning, variables: []string{"DESKSTORM_USERS=" + csv, "DESKSTORM_DURATION=3s", "DESKSTORM_PROFILE=office"},
			check: func(t *testing.T, o *office, got map[string]float64) {
				require.ElementsMatch(t, []map[string]any{{"user": "anna", "password": `a,"b"`, "site": "north"}, {"user": "bert", "password": "b"}}, o.logins)
				require.Equal(t, 2.0, got["vdi_wait count"])
			}},
		"no broker":     {script: storm, variables: []string{"DESKSTORM_BROKER="}, code: 107, says: "name the broker"},
		"no path":       {script: morning, variables: []string{"DESKSTORM_PATH=bus"}, code: 107, says: "not broker or cloud"},
		"bad window":    {script: storm, variables: []string{"DESKSTORM_WINDOW=soon"}, code: 107, says: `is not a duration such as`},
		"window":        {script: morning, variables: []string{"DESKSTORM_WINDOW=10m"}, code: 107, says: "longer than DESKSTORM_DURATION"},
		"nobody":        {script: morning, variables: []string{"DESKSTORM_USERS=0"}, code: 107, says: "DESKSTORM_USERS is 0"},
		"no file":       {script: storm, variables: []string{"DESKSTORM_USERS=/no/such.csv"}, code: 107, says: "/no/such.csv"},
		"bad line":      {script: storm, variables: []string{"DESKSTORM_USERS=" + twice}, code: 107, says: "line 3: 3 fields, not 2"},
		"bad columns":   {script: storm, variables: []string{"DESKSTORM_USERS=" + columns}, code: 107, says: "line 1: the columns are"},
		"bad threshold": {script: storm, variables: []string{"DESKSTORM_MAX_FAILED=5"}, code: 107, says: "not a number from 0 to 1"},
		"example": {script: "../examples/login.js", variables: []string{}, check: func(t *testing.T, o *office, got map[string]float64) {
			require.Contains(t, o.farm.Desktops()[0].Typed(), "Good morning.")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t, func(o *office) {
				o.desktops = 4
				o.problem = func(user string) (string, string) {
					if user == c.fails {
						return "wrong-password", "auth"
					}
					return "", ""
				}
			})
			k := newK6(t, c.script, append([]string{"BROKER=" + o.URL, "DESKSTORM_BROKER=" + o.URL}, c.variables...)...)
			require.NoError(t, k.Start())
			require.Equal(t, c.code, k.code(), k.stderr.String())
			require.Contains(t, k.stderr.String(), c.says)
			_, open := o.counts()
			require.Zero(t, open)
			if c.check != nil {
				c.check(t, o, k.aggregates(t))
			}
		})
	}
}

// TestStormOnTheOldPath: Keystone and Nova instead of a broker, by one option,
// and the desktops are idle again.
func TestStormOnTheOldPath(t *testing.T) {
	t.Parallel()
	const people = 3
	users, seeds := sim.StaticUsers{}, []sim.ServerSeed{}
	for i := range people {
		users[fmt.Sprintf("agent%04d", i+1)] = fmt.Sprintf("pass-agent%04d", i+1)
		seeds = append(seeds, sim.ServerSeed{Name: fmt.Sprintf("desktop-%d", i+1),
			Metadata: map[string]string{openstack.DesktopKey: openstack.Idle}})
	}
	lab, err := sim.Start(t.Context(), sim.Config{Users: users, Servers: seeds, MetadataFilter: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, lab.Close()) })
	yaml, err := lab.WriteCloudsYAML(t.TempDir())
	require.NoError(t, err)
	run := func(code int, variables ...string) (map[string]float64, string) {
		k := newK6(t, "../scenarios/login-storm.js", append([]string{"OS_CLIENT_CONFIG_FILE=" + yaml, "OS_CLOUD=" + sim.AdminCloud,
			"DESKSTORM_PATH=cloud", "DESKSTORM_DOMAIN=" + sim.UsersDomain, "DESKSTORM_USERS=3", "DESKSTORM_WINDOW=1s",
			"DESKSTORM_HOLD=300ms"}, variables...)...)
		require.NoError(t, k.Start())
		require.Equal(t, code, k.code(), k.stderr.String())
		for _, s := range lab.Servers() {
			require.Equal(t, openstack.Idle, s.Metadata[openstack.DesktopKey], s.Name)
		}
		return k.aggregates(t), k.stderr.String()
	}
	got, _ := run(0)
	for _, step := range []string{"auth", "match", "allocate", "boot", "console", "total", "unaccounted"} {
		require.Equal(t, float64(people), got["vdi_login_duration "+step+" count"], step)
	}
	require.Equal(t, float64(people), got["vdi_first_key count"])

	got, says := run(99, "DESKSTORM_PASSWORD=wrong")
	require.Equal(t, float64(people), got["vdi_login_failed auth"])
	require.Contains(t, says, "wrong-password")

	_, says = run(99, "OS_CLOUD=nowhere")
	require.Contains(t, says, "bad-request")
	require.NotContains(t, says, "admin")
}
