package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/lab/folder"
	"github.com/deskstorm/deskstorm/lab/netns/dhcptest"
	"github.com/deskstorm/deskstorm/lab/netns/netnstest"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	"github.com/deskstorm/deskstorm/lab/rabbitmq"
	"github.com/deskstorm/deskstorm/lab/rabbitmq/rabbitmqtest"
	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/lab/sim/directory"
	"github.com/deskstorm/deskstorm/lab/up"
	"github.com/deskstorm/deskstorm/runner"
	"github.com/deskstorm/deskstorm/runner/config"
	"github.com/deskstorm/deskstorm/runner/record"
	"github.com/deskstorm/deskstorm/runner/verdict"
	"github.com/deskstorm/deskstorm/scenarios"
)

// Each shipped experiment is read without a mistake, and is run by TestScenarios.
func TestScenariosAreValid(t *testing.T) {
	t.Parallel()
	names := scenarios.ExperimentNames()
	for _, test := range shipped() {
		require.Contains(t, names, test.name)
	}
	for _, name := range names {
		require.True(t, slices.ContainsFunc(shipped(), func(s scenario) bool { return s.name == name }), "%s is run by no test", name)
	}
	stdout, stderr, code := run(t, deskstorm(t, append([]string{"validate"}, names...)...))
	require.Zero(t, code, stderr)
	require.Equal(t, len(names), strings.Count(stdout, "has no mistakes"), stdout)
}

// The page about the shipped experiments names each of them and each of its variables, and its deskstorm.yaml has no mistakes.
func TestScenariosAreDescribed(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/scenarios.md")
	require.NoError(t, err)
	page := string(text)
	for _, name := range scenarios.ExperimentNames() {
		require.Contains(t, page, "| `"+name+"` |")
		loaded, err := runner.Load(name)
		require.NoError(t, err)
		for variable, value := range loaded.Configuration {
			require.Contains(t, page, "`"+variable+"`", name)
			require.Contains(t, page, "`"+value.Env+"`", name)
		}
	}
	_, example, ok := strings.Cut(page, "cat > deskstorm.yaml <<EOF\n")
	require.True(t, ok)
	example, _, ok = strings.Cut(example, "EOF\n")
	require.True(t, ok)
	_, err = config.Parse([]byte(os.Expand(example, func(string) string { return "http://127.0.0.1:1" })), "deskstorm.yaml")
	require.NoError(t, err)
}

// scenario is how a shipped experiment is run in a short form, and what shows that it can fail.
type scenario struct {
	name string
	run  func(t *testing.T)
}

func shipped() []scenario {
	return []scenario{
		// Those that take longest come first.
		{"amqp-idle", testAMQPIdle},
		{"soak-night", testSoakNight},
		{"compute-loss", testComputeLoss},
		{"broker-failover", testBrokerFailover},
		{"shift-change", testShiftChange},
		{"boot-storm", testBootStorm},
		{"power-restore", testPowerRestore},
		{"host-reboot", testHostReboot},
		{"version-matrix", testVersionMatrix},
		{"morning-shift", testMorningShift},
		{"ldap-slow", testLDAPSlow},
		{"dhcp-renewal", testDHCPRenewal},
		{"smoke", testSmoke},
	}
}

// scenariosAtOnce are more than there may be cores: they mostly wait.
const scenariosAtOnce = 4

// TestScenarios runs each shipped experiment as people do, against a simulated desktop cloud of its own, and again so that it must
// deviate: one that cannot fail says nothing.
func TestScenarios(t *testing.T) {
	if testing.Short() {
		t.Skip("takes two minutes, root and real programs")
	}
	var all sync.WaitGroup
	turn := make(chan struct{}, scenariosAtOnce)
	for _, s := range shipped() {
		turn <- struct{}{}
		all.Go(func() {
			defer func() { <-turn }()
			t.Run(s.name, s.run)
		})
	}
	all.Wait()
}

// desk is a simulated desktop cloud, and a deskstorm that may break all of it.
type desk struct {
	*up.Cloud
	config  string   // deskstorm.yaml
	mark    string   // NAME=value in the environment of all processes of its runs
	targets []string // more of the configuration's
	more    string   // more sections
	after   func()   // is called when a run has ended
}

// newDesk starts a cloud whose last person is whom the probe login logs in.
func newDesk(t *testing.T, o up.Options) *desk {
	t.Helper()
	o.Users++
	c, err := up.Sim(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	require.NoError(t, c.Await(t.Context(), func(int, int) {}))
	dir := t.TempDir()
	return &desk{Cloud: c, config: filepath.Join(dir, "deskstorm.yaml"), mark: "DESKSTORM_TEST_MARK=" + dir}
}

// configure writes deskstorm.yaml. The broker is that of the address.
func (d *desk) configure(t *testing.T, broker string) {
	t.Helper()
	dir := filepath.Dir(d.config)
	who := d.Users[len(d.Users)-1]
	require.NoError(t, os.WriteFile(filepath.Join(dir, "password"), []byte(who.Password+"\n"), 0o600))
	text := fmt.Sprintf(`state: state
broker: {url: %q}
cloud: {name: %s, file: %q}
logins:
  - {name: probe, user: %s, password: {file: password}, seat: %s, site: %s, timeout: 20s}
desktops: {flavor: desktop.small, image: desktop, networks: [desktops], most: 4}
limits: {longest: 10m, desktops: 200, hosts: 1}
verdict: {harness: {cpu: 100%%}} # tests of other packages keep the machine busy
targets:
  lab: {faults: ["*"], http: {url: %q}}
  cloud: {faults: ["desktops.*"], cloud: {name: %s, file: %q}}
%s%s`, broker, sim.AdminCloud, filepath.Join(d.Dir, folder.CloudsFile), who.Name, who.Seat, who.Site, d.Control, sim.AdminCloud,
		filepath.Join(d.Dir, folder.CloudsFile), strings.Join(d.targets, ""), d.more)
	require.NoError(t, os.WriteFile(d.config, []byte(text), 0o600))
}

// outcome is what a run came to.
type outcome struct {
	Run     record.Run      `json:"run"`
	Verdict verdict.Verdict `json:"verdict"`
	Folder  string          `json:"folder"`
}

// runs runs a shipped experiment, whose outcome must be as expected, and finds what it has left behind.
func (d *desk) runs(t *testing.T, name string, expected verdict.Outcome, variables map[string]string) outcome {
	t.Helper()
	if _, err := os.Stat(d.config); err != nil {
		d.configure(t, d.Broker)
	}
	args := []string{"run", "--config.file", d.config, "--json"}
	for name, value := range variables {
		args = append(args, "--var", name+"="+value)
	}
	cmd := deskstorm(t, append(args, name)...)
	cmd.Env = append(slices.DeleteFunc(cmd.Env, func(v string) bool {
		return strings.HasPrefix(v, "DESKSTORM_") && !strings.HasPrefix(v, asDeskstorm) || strings.HasPrefix(v, "OS_")
	}), "DESKSTORM_BROKER="+d.Broker, d.mark)
	began := time.Now()
	stdout, stderr, code := run(t, cmd)
	if d.after != nil {
		d.after()
	}
	var o outcome
	require.NoError(t, json.Unmarshal([]byte(stdout), &o), "%d: %s%s", code, stdout, stderr)
	t.Logf("%s, %.1f s: %s: %s", name, time.Since(began).Seconds(), o.Verdict.Outcome, o.Verdict.Reason)
	if o.Verdict.Outcome != expected {
		text, _ := os.ReadFile(filepath.Join(o.Folder, "report.md"))
		t.Logf("%s\n%s", stderr, text)
		for _, g := range o.Run.Generators {
			t.Logf("k6 of %q: %s", g.Activity, g.Stderr)
		}
	}
	require.Equal(t, expected, o.Verdict.Outcome)
	require.Equal(t, expected.ExitCode(), code)

	// The Chaos Toolkit's journal, and reports for people and programs.
	var journal struct {
		Status     string            `json:"status"`
		Experiment map[string]any    `json:"experiment"`
		Run        []json.RawMessage `json:"run"`
	}
	text, err := os.ReadFile(filepath.Join(o.Folder, "journal.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &journal))
	require.Equal(t, o.Run.Title, journal.Experiment["title"])
	require.NotEmpty(t, journal.Status)
	for _, file := range []string{"run.json", "report.md", "junit.xml"} {
		require.FileExists(t, filepath.Join(o.Folder, file))
	}

	// Nothing is left behind: no fault, no desktop, no process.
	for _, f := range o.Run.Faults {
		require.False(t, f.Undone.IsZero(), "%+v", f)
		require.Empty(t, f.Error)
	}
	require.Empty(t, d.faults(t))
	for _, s := range d.Sim.Servers() {
		require.NotContains(t, s.Tags, cloud.RunTag+"="+o.Run.ID, s.Name)
	}
	require.Empty(t, d.processes(t))
	return o
}

// faults are those that the lab has still.
func (d *desk) faults(t *testing.T) (types []string) {
	t.Helper()
	answer, err := http.Get(d.Control + "/v1/state")
	require.NoError(t, err)
	defer answer.Body.Close()
	var state struct{ Faults []struct{ Type string } }
	require.NoError(t, json.NewDecoder(answer.Body).Decode(&state))
	for _, f := range state.Faults {
		types = append(types, f.Type)
	}
	return types
}

// processes are the command lines of those that a run has left: k6, watchdogs.
func (d *desk) processes(t *testing.T) (found []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	require.NoError(t, err)
	for _, f := range files {
		text, _ := os.ReadFile(f) // it may have ended
		if slices.Contains(strings.Split(string(text), "\x00"), d.mark) {
			command, _ := os.ReadFile(filepath.Join(filepath.Dir(f), "cmdline"))
			found = append(found, strings.ReplaceAll(string(command), "\x00", " "))
		}
	}
	return found
}

// finding is what the verdict found of a name.
func (o outcome) finding(t *testing.T, name string) verdict.Finding {
	t.Helper()
	for _, f := range o.Verdict.Findings {
		if strings.HasPrefix(f.Name, name) {
			return f
		}
	}
	t.Fatalf("no finding %q in %+v", name, o.Verdict.Findings)
	return verdict.Finding{}
}

// output is what a probe of the method found.
func (o outcome) output(t *testing.T, name string) (value any) {
	t.Helper()
	for _, a := range o.Run.Activities {
		if a.Phase == "method" && a.Name == name {
			require.NoError(t, json.Unmarshal(a.Output, &value))
			return value
		}
	}
	t.Fatalf("no activity %q", name)
	return nil
}

// injected checks that the faults were these, in their order.
func (o outcome) injected(t *testing.T, names ...string) {
	t.Helper()
	var faults []string
	for _, f := range o.Run.Faults {
		require.False(t, f.Injected.IsZero(), "%+v", f)
		faults = append(faults, f.Fault)
	}
	require.Equal(t, names, faults)
}

func testSmoke(t *testing.T) {
	d := newDesk(t, up.Options{Users: 1, Desktops: 2, Ready: 2})
	o := d.runs(t, "smoke", verdict.Passed, nil)
	o.injected(t)
	require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(d.config), "password"), []byte("wrong\n"), 0o600))
	o = d.runs(t, "smoke", verdict.Deviated, nil)
	require.Equal(t, verdict.Bad, o.finding(t, "a person logs in and types").Result)
}

// shortShift is long enough for the office's first round trips, which come within 15 s.
const shortShift = "17s"

func testMorningShift(t *testing.T) {
	d := newDesk(t, up.Options{Users: 6, Desktops: 8, Ready: 8})
	variables := map[string]string{"users": "6", "shift": shortShift, "window": "2s", "profile": "office", "sites": "north,south"}
	o := d.runs(t, "morning-shift", verdict.Passed, variables)
	require.Equal(t, int64(6), o.finding(t, "from the password to the picture").Samples)

	variables["users"], variables["shift"] = "9", "4s" // two of them are nobody's
	o = d.runs(t, "morning-shift", verdict.Deviated, variables)
	require.Equal(t, verdict.Bad, o.finding(t, "share of vdi_login_failed").Result)
}

func testShiftChange(t *testing.T) {
	variables := map[string]string{"users": "8", "old_shift": shortShift, "old_window": "2s", "lead": "6", "new_window": "4s", "new_shift": "15s",
		"profile": "office"}
	d := newDesk(t, up.Options{Users: 8, Desktops: 10, Ready: 10})
	o := d.runs(t, "shift-change", verdict.Passed, variables)
	require.Equal(t, int64(8), o.finding(t, "share of vdi_login_failed").Samples)
	require.Len(t, o.Run.Generators, 2)
	old, young := o.Run.Generators[0], o.Run.Generators[1]
	if young.Began.Before(old.Began) {
		old, young = young, old
	}
	require.True(t, young.Began.Before(old.Ended), "the shifts overlap")

	small := newDesk(t, up.Options{Users: 8, Desktops: 5, Ready: 5, Wait: time.Second})
	o = small.runs(t, "shift-change", verdict.Deviated, variables)
	require.Equal(t, verdict.Bad, o.finding(t, "share of vdi_login_failed").Result)
}

// hardware is a cloud whose desktops boot as long as their hosts' disks let them: some 70 s, in a second.
func hardware() up.Options { return up.Options{Users: 4, Desktops: 6, Ready: 6, Speed: 60} }

func testBootStorm(t *testing.T) {
	d := newDesk(t, hardware())
	variables := map[string]string{"users": "4", "window": "4s", "count": "5", "within": "2m"}
	o := d.runs(t, "boot-storm", verdict.Passed, variables)
	o.injected(t, "desktops.reboot")
	require.Greater(t, o.output(t, "all run again"), 0.5, "seconds: it takes as long as disks let it")
	variables["gate"] = "1"
	gated := d.runs(t, "boot-storm", verdict.Passed, variables)
	require.Greater(t, duration(t, gated, "desktops lose their power and boot"), duration(t, o, "desktops lose their power and boot"))

	variables["within"] = "100ms"
	variables["gate"] = ""
	o = d.runs(t, "boot-storm", verdict.Deviated, variables)
	require.Equal(t, verdict.Bad, o.finding(t, "all run again").Result)
}

// duration is how long an activity of the method took.
func duration(t *testing.T, o outcome, name string) time.Duration {
	t.Helper()
	for _, a := range o.Run.Activities {
		if a.Phase == "method" && a.Name == name {
			return a.Ended.Sub(a.Began)
		}
	}
	t.Fatalf("no activity %q", name)
	return 0
}

func testPowerRestore(t *testing.T) {
	d := newDesk(t, hardware())
	variables := map[string]string{"users": "4", "window": "4s", "count": "5", "outage": "3", "within": "2m", "host": d.Sim.Hosts()[0].Name}
	o := d.runs(t, "power-restore", verdict.Passed, variables)
	o.injected(t, "desktops.stop")
	require.Greater(t, o.output(t, "all run again"), 0.5, "seconds")
	variables["within"] = "100ms"
	o = d.runs(t, "power-restore", verdict.Deviated, variables)
	require.Equal(t, verdict.Bad, o.finding(t, "all run again").Result)
}

func testHostReboot(t *testing.T) {
	d := newDesk(t, up.Options{Users: 4, Desktops: 5, Ready: 5})
	host := d.Sim.Hosts()[0].Name
	variables := map[string]string{"users": "4", "window": "3s", "target": "lab", "lab_host": host, "host": host, "settle": "2"}
	o := d.runs(t, "host-reboot", verdict.Passed, variables)
	o.injected(t, "host.reboot_order")
	network := o.output(t, "desktops have network, if the host heals by itself").(map[string]any)
	require.Equal(t, false, network["ok"])
	require.NotEmpty(t, network["dead"])
	variables["heals"] = "true"
	o = d.runs(t, "host-reboot", verdict.Deviated, variables)
	require.Equal(t, verdict.Bad, o.finding(t, "desktops have network, if the host heals").Result)
}

func testComputeLoss(t *testing.T) {
	// Four hosts, whose nova-compute is down after a minute, which is 3 s here. A login is offered three desktops: those of a host
	// must be fewer.
	d := newDesk(t, up.Options{Users: 5, Desktops: 90, Ready: 8, Speed: 20})
	ready := map[string]int{}
	for _, s := range d.Sim.Servers() {
		if slices.Contains(s.Tags, cloud.OwnerTag+"=lab") {
			ready[s.Host]++
		}
	}
	host := slices.MinFunc(slices.Collect(maps.Keys(ready)), func(a, b string) int { return cmp.Compare(ready[a], ready[b]) })
	require.LessOrEqual(t, ready[host], 2, "%v", ready)
	variables := map[string]string{"users": "5", "window": "5s", "target": "lab", "lab_host": host, "noticed": "7", "back": "7"}
	o := d.runs(t, "compute-loss", verdict.Passed, variables)
	o.injected(t, "compute.down")
	variables["noticed"] = "0" // before Nova can know
	o = d.runs(t, "compute-loss", verdict.Deviated, variables)
	require.Equal(t, verdict.Bad, o.finding(t, "Nova sees that it is gone").Result)
}

func testLDAPSlow(t *testing.T) {
	d := newDesk(t, up.Options{Users: 5, Desktops: 6, Ready: 6, DirectoryTimeout: 2 * time.Second})
	variables := map[string]string{"users": "5", "window": "2s", "directory": "lab", "delay": "200ms"}
	o := d.runs(t, "ldap-slow", verdict.Passed, variables)
	o.injected(t, "ldap.slow")
	require.Greater(t, o.output(t, "half of them waited for the directory, in ms"), 200.)
	variables["delay"] = "3s" // longer than the broker waits
	o = d.runs(t, "ldap-slow", verdict.Deviated, variables)
	require.Equal(t, verdict.Bad, o.finding(t, "share of vdi_login_failed").Result)
}

func testVersionMatrix(t *testing.T) {
	d := newDesk(t, up.Options{Users: 5, Desktops: 6, Ready: 6})
	variables := map[string]string{"users": "5", "desktops": "2", "shift": shortShift, "window": "2s"}
	o := d.runs(t, "version-matrix", verdict.Passed, variables)
	require.NotEmpty(t, o.Run.Versions["kernel"], "%v", o.Run.Versions)
	steps := map[string]bool{}
	for _, f := range o.Verdict.Figures {
		steps[f.Metric+" "+f.Step] = true
	}
	for _, of := range []string{"vdi_login_duration total", "vdi_login_duration auth", "vdi_connect_duration picture", "vdi_round_trip visible"} {
		require.Contains(t, steps, of)
	}
	variables["within"], variables["shift"] = "20ms", "4s"
	o = d.runs(t, "version-matrix", verdict.Deviated, variables)
	require.Equal(t, verdict.Bad, o.finding(t, "how many seconds they take").Result)
}

func testSoakNight(t *testing.T) {
	d := newDesk(t, up.Options{Users: 5, Desktops: 6, Ready: 6, Lease: 9 * time.Second})
	broker := rabbitmqtest.StartT(t)
	d.more = rabbit(t, d, strings.TrimSuffix(strings.TrimPrefix(broker.URL, "amqp://guest:guest@"), "/"), "")
	variables := map[string]string{"users": "5", "night": "20s", "window": "3s", "silences": "[1s, 4s]"}
	o := d.runs(t, "soak-night", verdict.Passed, variables)
	require.GreaterOrEqual(t, o.finding(t, "share of vdi_renew_failed").Samples, int64(5))
	require.EqualValues(t, 4, o.output(t, "no silence is too long for a connection").(map[string]any)["survived_seconds"])

	// In the morning the directory is away.
	variables["night"], variables["silences"] = "8s", "[]"
	var undo func()
	timer := time.AfterFunc(8*time.Second, func() { undo = d.breaks(t, `{"type": "ldap.down"}`) })
	d.after = func() {
		require.False(t, timer.Stop(), "the run was too short")
		undo()
	}
	o = d.runs(t, "soak-night", verdict.Deviated, variables)
	require.Equal(t, verdict.Bad, o.finding(t, "the broker serves, after the method").Result)
}

// breaks injects a fault that no run knows, and returns what ends it.
func (d *desk) breaks(t *testing.T, fault string) (undo func()) {
	answer, err := http.Post(d.Control+"/v1/faults", "application/json", strings.NewReader(fault))
	if err != nil {
		t.Error(err)
		return func() {}
	}
	defer answer.Body.Close()
	address := d.Control + answer.Header.Get("Location")
	return func() {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, address, nil)
		require.NoError(t, err)
		answer, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
	}
}

// rabbit is the section rabbitmq of one broker.
func rabbit(t *testing.T, d *desk, address, namespace string) string {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(d.config), "guest"), []byte("guest\n"), 0o600))
	where := ""
	if namespace != "" {
		where = fmt.Sprintf(", namespace: %q", namespace)
	}
	return fmt.Sprintf("rabbitmq: {brokers: [{name: bus, address: %q, user: guest, password: {file: guest}, patience: 3s%s}]}\n", address, where)
}

// testAMQPIdle has a real RabbitMQ behind a real firewall.
func testAMQPIdle(t *testing.T) {
	qemutest.RequireProgram(t, "nft", "nftables")
	client, router, server := netnstest.New(t, "client"), netnstest.New(t, "router"), netnstest.New(t, "server")
	for i, end := range []interface {
		AddAddress(link, prefix string) error
		AddRoute(prefix, via string) error
	}{client, server} {
		link := fmt.Sprintf("eth%d", i)
		namespace := client
		if i == 1 {
			namespace = server
		}
		require.NoError(t, router.AddVeth(link, namespace, "eth0"))
		require.NoError(t, router.AddAddress(link, fmt.Sprintf("10.75.%d.1/24", i+1)))
		require.NoError(t, end.AddAddress("eth0", fmt.Sprintf("10.75.%d.2/24", i+1)))
		require.NoError(t, end.AddRoute("0.0.0.0/0", fmt.Sprintf("10.75.%d.1", i+1)))
	}
	require.NoError(t, router.SetSysctl("net.ipv4.ip_forward", "1"))
	broker := rabbitmqtest.StartConfigT(t, rabbitmq.Config{Namespace: server, Address: "10.75.2.2"})
	address := strings.TrimSuffix(strings.TrimPrefix(broker.URL, "amqp://guest:guest@"), "/")
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)

	d := newDesk(t, up.Options{Users: 1, Desktops: 2, Ready: 2})
	d.more = rabbit(t, d, address, client.Path())
	d.targets = []string{fmt.Sprintf("  bus: {faults: [amqp.*], local: {namespace: %q, run_dir: %q}}\n", router.Path(), t.TempDir())}
	variables := map[string]string{"address": "10.75.2.2", "port": port, "after": "4s", "silence": "8s", "heartbeat": "2s", "desktops": "2", "within": "1m"}
	o := d.runs(t, "amqp-idle", verdict.Passed, variables)
	o.injected(t, "amqp.idle_drop")
	rules := func() string {
		out, err := router.Command(t.Context(), "nft", "list", "ruleset").CombinedOutput()
		require.NoError(t, err, string(out))
		return strings.TrimSpace(string(out))
	}
	require.Empty(t, rules())

	variables["heartbeat"] = "20s" // the firewall forgets in between
	o = d.runs(t, "amqp-idle", verdict.Deviated, variables)
	require.Equal(t, verdict.Bad, o.finding(t, "a silent connection with heartbeats").Result)
	require.Empty(t, rules())
}

// testDHCPRenewal has a real dnsmasq, and a real firewall in its host.
func testDHCPRenewal(t *testing.T) {
	qemutest.RequireProgram(t, "nft", "nftables")
	lab := dhcptest.New(t, 2)
	for k := range 2 {
		lab.MustStart(t, k, dhcptest.Dnsmasq{Args: []string{"--bind-interfaces", "--interface=" + dhcptest.Bridge(k)}})
	}
	d := newDesk(t, up.Options{Users: 1, Desktops: 1})
	d.targets = []string{fmt.Sprintf("  dhcp: {faults: [dhcp.*], local: {namespace: %q, run_dir: %q}}\n", lab.Host.Path(), t.TempDir())}
	d.more = fmt.Sprintf("dhcp: {timeout: 1500ms, window: 300ms, networks: [{name: desktops, interface: %s, namespace: %q}]}\n", dhcptest.Link,
		lab.Clients[0].Path())
	o := d.runs(t, "dhcp-renewal", verdict.Passed, map[string]string{"device": dhcptest.Bridge(0)})
	o.injected(t, "dhcp.drop_renewals")
	// A fault that does not reach the network is one that the probe does not see.
	o = d.runs(t, "dhcp-renewal", verdict.Deviated, map[string]string{"device": dhcptest.Bridge(1)})
	require.Equal(t, verdict.Bad, o.finding(t, "the probe sees").Result)
	out, err := lab.Host.Command(t.Context(), "nft", "list", "ruleset").CombinedOutput()
	require.NoError(t, err)
	require.Empty(t, strings.TrimSpace(string(out)))
}

// testBrokerFailover has a broker in a process of its own, which dies.
func testBrokerFailover(t *testing.T) {
	const users = 20
	d := newDesk(t, up.Options{Users: users, Desktops: 1}) // its own broker has no desktops
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	listen := listener.Addr().String()
	require.NoError(t, listener.Close())
	dir := t.TempDir()
	for _, name := range []string{folder.CloudsFile} {
		text, err := os.ReadFile(filepath.Join(d.Dir, name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	agents, supervisors := folder.Shares(users+1, users+4, users+4)
	file, err := folder.Broker{
		Listen: listen, Cloud: sim.AdminCloud, LDAP: d.Directory.URL, People: directory.Callcenter(users + 1), Token: "operator",
		Agents: agents, Supervisors: supervisors, Lease: 9 * time.Second,
	}.Write(dir)
	require.NoError(t, err)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(string(text), "owner: lab", "owner: other", 1)), 0o600))

	self, err := os.Executable()
	require.NoError(t, err)
	pid := filepath.Join(dir, "pid")
	start := filepath.Join(dir, "start")
	require.NoError(t, os.WriteFile(start, fmt.Appendf(nil, `#!/bin/sh
readlink "/proc/$(cat %[1]s 2>/dev/null)/exe" >/dev/null && exit 0 # a zombie has none
%[2]s=1 setsid %[3]s broker --config.file %[4]s >>%[5]s/log 2>&1 </dev/null &
echo $! > %[1]s
`, pid, asDeskstorm, self, file, dir), 0o700))
	stop := filepath.Join(dir, "stop")
	require.NoError(t, os.WriteFile(stop, fmt.Appendf(nil, `#!/bin/sh
kill -KILL "$(cat %s 2>/dev/null)" 2>/dev/null; exit 0
`, pid), 0o700))
	begin := func() {
		t.Helper()
		out, err := commandOutput(t.Context(), start)
		require.NoError(t, err, out)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for up.AwaitPools(ctx, "http://"+listen, dir, func(int, int) {}) != nil {
			require.NoError(t, ctx.Err())
			time.Sleep(50 * time.Millisecond)
		}
	}
	t.Cleanup(func() {
		_, _ = commandOutput(context.Background(), stop)
		if said, err := os.ReadFile(filepath.Join(dir, "log")); err == nil && t.Failed() {
			t.Logf("the broker: %s", said)
		}
	})
	begin()
	d.targets = []string{fmt.Sprintf("  broker: {faults: [broker.kill], local: {run_dir: %q}, services: {works: {start: [%q], stop: [%q]}, "+
		"broken: {start: [\"true\"], stop: [\"true\"]}}}\n", t.TempDir(), start, stop)}
	d.Broker = "http://" + listen
	// A window of 10 s in which people came ends before it dies.
	variables := map[string]string{"users": "20", "window": "30s", "hold": "8s", "service": "works", "pid_file": pid, "program": filepath.Base(self),
		"dies": "22", "outage": "1", "back": "5"}
	o := d.runs(t, "broker-failover", verdict.Passed, variables)
	o.injected(t, "broker.kill")
	require.Equal(t, int64(20), o.finding(t, "who came without a broker, of all").Samples)

	variables["service"], variables["window"], variables["dies"] = "broken", "5s", "2"
	o = d.runs(t, "broker-failover", verdict.Deviated, variables)
	require.Equal(t, verdict.Bad, o.finding(t, "the broker serves again").Result)
}

func commandOutput(ctx context.Context, name string) (string, error) {
	out, err := exec.CommandContext(ctx, name).CombinedOutput()
	return string(out), err
}
