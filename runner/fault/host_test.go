package fault_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"

	"github.com/deskstorm/deskstorm/lab/netns/dhcptest"
	"github.com/deskstorm/deskstorm/lab/netns/netnstest"
	"github.com/deskstorm/deskstorm/lab/ovs"
	"github.com/deskstorm/deskstorm/lab/ovs/ovstest"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	"github.com/deskstorm/deskstorm/lab/rabbitmq"
	"github.com/deskstorm/deskstorm/lab/rabbitmq/rabbitmqtest"
	"github.com/deskstorm/deskstorm/probe/amqp"
	"github.com/deskstorm/deskstorm/probe/dhcp"
	"github.com/deskstorm/deskstorm/runner/fault"
	"github.com/deskstorm/deskstorm/runner/native"
	"github.com/deskstorm/deskstorm/runner/target"
)

// withServices are a host's services, each a dnsmasq with a pid file of its own.
func withServices(t testing.TB, lab *dhcptest.Lab, names ...string) (target.Target, func(name string) int) {
	t.Helper()
	at := local(t, lab.Host)
	at.Services = map[string]target.Service{}
	dir := t.TempDir()
	pidFile := func(name string) string { return filepath.Join(dir, name+".pid") }
	pid := func(name string) int {
		text, err := os.ReadFile(pidFile(name))
		if err != nil {
			return 0
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		require.NoError(t, err)
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err != nil {
			return 0
		}
		return pid
	}
	for k, name := range names {
		start := []string{"dnsmasq", "--conf-file=/dev/null", "--port=0", "--no-ping", "--user=root", "--pid-file=" + pidFile(name),
			"--leasefile-ro", "--bind-interfaces", "--interface=" + dhcptest.Bridge(k),
			fmt.Sprintf("--dhcp-range=%s,%s,255.255.255.0,120s", dhcptest.Address(k, 10), dhcptest.Address(k, 250))}
		at.Services[name] = target.Service{
			Start: append([]string{"sh", "-c", `kill -0 "$(cat "$0" 2>/dev/null)" 2>/dev/null || exec "$@"`, pidFile(name)}, start...),
			Stop: []string{"sh", "-c", `pid=$(cat "$0" 2>/dev/null) && kill "$pid" 2>/dev/null || exit 0
				while kill -0 "$pid" 2>/dev/null; do sleep 0.02; done`, pidFile(name)},
		}
		out, err := lab.Host.Command(t.Context(), start[0], start[1:]...).CombinedOutput()
		require.NoError(t, err, string(out))
		t.Cleanup(func() {
			if pid := pid(name); pid != 0 {
				process, err := os.FindProcess(pid)
				require.NoError(t, err)
				_ = process.Kill()
			}
		})
	}
	return at, pid
}

func TestServices(t *testing.T) {
	t.Parallel()
	lab := dhcptest.New(t, 2)
	host, pid := withServices(t, lab, "dhcp", "other")
	w := newWorld(t, target.Config{"node": host})
	ask := func() dhcp.Outcome {
		got, err := dhcp.Probe(t.Context(), dhcp.Target{Interface: dhcptest.Link, Namespace: lab.Clients[0].Path(), Timeout: time.Second,
			Attempts: 2, Window: 100 * time.Millisecond, Renewals: 1})
		require.NoError(t, err)
		return got.DORA.Outcome
	}
	require.Equal(t, dhcp.Acknowledged, ask())
	w.breaks("host.stop_service", native.Arguments{"target": "node", "for": "1m", "service": "dhcp"}, func(fault.Plan) {
		require.Equal(t, dhcp.NoAnswer, ask())
		require.NotZero(t, pid("other"))
	})
	require.Equal(t, dhcp.Acknowledged, ask())

	w.breaks("compute.down", native.Arguments{"target": "node", "for": "1m", "services": []any{"dhcp", "other"}}, func(fault.Plan) {
		require.Zero(t, pid("dhcp"))
		require.Zero(t, pid("other"))
	})
	require.Equal(t, dhcp.Acknowledged, ask())
	require.NotZero(t, pid("other"))

	before := pid("dhcp")
	w.undoAlone("host.reboot_order", native.Arguments{"target": "node", "for": "1m", "ovs": "dhcp", "libvirt": "other"})
	require.Equal(t, before, pid("dhcp"), "an undo without the fault restarts nothing")
	w.breaks("host.reboot_order", native.Arguments{"target": "node", "for": "1m", "ovs": "dhcp", "libvirt": "other"}, func(p fault.Plan) {
		require.NotEqual(t, before, pid("dhcp"))
		before = pid("dhcp")
	})
	require.NotEqual(t, before, pid("dhcp"))
	require.NotZero(t, pid("other"))

	// A unit that systemd has not started, or a machine without systemd.
	_, err := call(t, fault.Table(w.env()), "fault.host.stop_service",
		native.Arguments{"target": "node", "for": "1m", "service": "nobodys.service"})
	require.ErrorContains(t, err, "nobodys.service")
	for _, name := range []string{"-x", "a b", "../x"} {
		_, err := call(t, fault.Table(w.env()), "fault.host.stop_service",
			native.Arguments{"target": "node", "for": "1m", "service": name})
		require.ErrorContains(t, err, "expected the name of a service")
	}
}

// systemctl is one of a test's own, for machines without systemd: of the only unit dhcp.service, a dnsmasq.
const systemctl = `#!/bin/sh
echo "$@" >> "$FOLDER/calls"
unit=$2; [ "$1" = kill ] && unit=$4; [ "$2" = --quiet ] && unit=$3
[ "$unit" = dhcp.service ] || exit 4
pid=$(cat "$FOLDER/pid" 2>/dev/null)
runs() { [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; }
case $1 in
is-active) runs || exit 3 ;;
start) runs || dnsmasq --conf-file=/dev/null --port=0 --user=root --pid-file="$FOLDER/pid" --interface=lo --bind-interfaces ;;
stop) ! runs || kill "$pid" ;;
kill) kill -s "$3" "$pid" ;;
esac
`

// TestSystemctl: what is said to systemctl; a unit that does not run is refused.
func TestSystemctl(t *testing.T) {
	qemutest.RequireProgram(t, "dnsmasq", "dnsmasq-base")
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "systemctl"), []byte(strings.ReplaceAll(systemctl, "$FOLDER", dir)), 0o755))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	n := netnstest.New(t, "systemctl")
	w := newWorld(t, target.Config{"node": local(t, n)})
	told := func() []string {
		text, err := os.ReadFile(filepath.Join(dir, "calls"))
		require.NoError(t, err)
		require.NoError(t, os.Remove(filepath.Join(dir, "calls")))
		return strings.Split(strings.TrimSpace(string(text)), "\n")
	}
	stop := native.Arguments{"target": "node", "for": "1m", "service": "dhcp.service"}
	_, err := call(t, fault.Table(w.env()), "fault.host.stop_service", stop)
	require.ErrorContains(t, err, "the service dhcp.service does not run: there is nothing to stop, and the undo would start it")
	require.NoError(t, exec.CommandContext(t.Context(), filepath.Join(dir, "systemctl"), "start", "dhcp.service").Run())
	t.Cleanup(func() { _ = exec.Command(filepath.Join(dir, "systemctl"), "stop", "dhcp.service").Run() })
	told()
	w.breaks("host.stop_service", stop, func(fault.Plan) {
		require.Equal(t, []string{"is-active --quiet dhcp.service", "start dhcp.service", "is-active --quiet dhcp.service",
			"stop dhcp.service"}, told())
	})
	w.breaks("broker.kill", native.Arguments{"target": "node", "for": "1m", "service": "dhcp.service"}, func(fault.Plan) {
		require.Contains(t, told(), "kill --signal KILL dhcp.service")
	})
	require.Equal(t, []string{"start dhcp.service", "start dhcp.service", "start dhcp.service"}, told())
}

// TestBrokerKill: RabbitMQ dies, and is there again.
func TestBrokerKill(t *testing.T) {
	t.Parallel()
	n := netnstest.New(t, "broker")
	broker := rabbitmqtest.StartConfigT(t, rabbitmq.Config{Namespace: n})
	address := strings.TrimSuffix(strings.TrimPrefix(broker.URL, "amqp://guest:guest@"), "/")
	files, err := filepath.Glob(filepath.Join(os.TempDir(), "deskstorm-rabbitmq-*", "pid"))
	require.NoError(t, err)
	var pidFile string
	var environment []string
	for _, f := range files { // of this one among others
		text, _ := os.ReadFile(f)
		env, _ := os.ReadFile("/proc/" + strings.TrimSpace(string(text)) + "/environ")
		if strings.Contains(string(env), "RABBITMQ_NODE_PORT="+address[strings.LastIndex(address, ":")+1:]+"\x00") {
			pidFile, environment = f, strings.Split(strings.TrimSuffix(string(env), "\x00"), "\x00")
		}
	}
	require.NotEmpty(t, pidFile)
	// Started by the script that init scripts of it call, in the environment that the broker had.
	start := append([]string{"sh", "-c", `pid=$(cat "$0"); kill -0 "$pid" 2>/dev/null && exit 0
		exec "$@" </dev/null >/dev/null 2>&1 &
		for i in $(seq 600); do new=$(cat "$0"); [ "$new" != "$pid" ] && exit 0; sleep 0.1; done; exit 1`, pidFile, "env", "-i"}, environment...)
	start = append(start, rabbitmq.Program())
	at := local(t, n)
	at.Services = map[string]target.Service{"rabbitmq": {Start: start, Stop: []string{"false"}}}
	w := newWorld(t, target.Config{"broker": at})
	t.Cleanup(func() {
		text, _ := os.ReadFile(pidFile)
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			process, err := os.FindProcess(pid)
			require.NoError(t, err)
			_ = process.Kill()
		}
	})
	to := amqp.Target{Address: address, User: "guest", Password: "guest", Patience: 3 * time.Second}
	trip := func() amqp.Outcome {
		var got amqp.Result
		require.NoError(t, n.Do(func() error { got = amqp.RoundTrip(t.Context(), to); return nil }))
		return got.Outcome
	}
	require.Equal(t, amqp.Delivered, trip())
	arguments := native.Arguments{"target": "broker", "for": "2m", "service": "rabbitmq", "pid_file": pidFile, "program": "beam.smp"}
	w.breaks("broker.kill", arguments, func(fault.Plan) {
		require.NotEqual(t, amqp.Delivered, trip())
		require.Eventually(t, func() bool { return trip() == amqp.Refused }, 10*time.Second, 10*time.Millisecond)
	})
	require.Eventually(t, func() bool { return trip() == amqp.Delivered }, time.Minute, 100*time.Millisecond)
	arguments["program"] = "slapd"
	_, err = call(t, fault.Table(w.env()), "fault.broker.kill", arguments)
	require.ErrorContains(t, err, `is "beam.smp" and not slapd`)
}

func TestMemoryPressure(t *testing.T) {
	w := newWorld(t, target.Config{"host": local(t, nil)})
	const mib = 200
	var file string
	w.breaks("host.memory_pressure", native.Arguments{"target": "host", "for": "1m", "mib": mib}, func(p fault.Plan) {
		argv := p.Undo[0].Command.Argv
		file = argv[len(argv)-1]
		taken, err := os.Stat(file)
		require.NoError(t, err)
		require.EqualValues(t, mib<<20, taken.Sys().(*syscall.Stat_t).Blocks*512)
	})
	require.NoFileExists(t, file)
	for _, a := range []native.Arguments{{"mib": 1 << 30}, {"percent": 95}, {}, {"mib": 1, "percent": 1}, {"mib": -5}} {
		a["target"], a["for"] = "host", "1m"
		_, err := call(t, fault.Table(w.env()), "fault.host.memory_pressure", a)
		require.Error(t, err)
		t.Log(err)
	}
}

// TestOVSStalePort: with a stale tag packets of a port reach nobody, and no error says so; a port without its device has ofport -1.
func TestOVSStalePort(t *testing.T) {
	t.Parallel()
	ovstest.Require(t)
	host, a, b := netnstest.New(t, "ovs"), netnstest.New(t, "a"), netnstest.New(t, "b")
	ctx := t.Context()
	s := ovstest.StartT(t, ovs.Config{Namespace: host.Path()})
	require.NoError(t, s.AddBridge(ctx, "br-int"))
	require.NoError(t, host.AddVeth("vnet0", a, "eth0"))
	require.NoError(t, host.AddVeth("vnet1", b, "eth0"))
	require.NoError(t, a.AddAddress("eth0", "10.75.0.1/24"))
	require.NoError(t, b.AddAddress("eth0", "10.75.0.2/24"))
	for _, port := range []string{"vnet0", "vnet1"} {
		_, err := s.Vsctl(ctx, "add-port", "br-int", port, "tag=10")
		require.NoError(t, err)
	}
	pings := func() (answered bool) {
		require.NoError(t, a.Do(func() error {
			conn, err := net.ListenPacket("ip4:icmp", "10.75.0.1")
			if err != nil {
				return err
			}
			defer conn.Close()
			// Not UDP: the kernel leaves its checksum to the device, and a switch in user space sends it on unfinished.
			request, err := (&icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: 1, Seq: 1, Data: []byte("hello")}}).Marshal(nil)
			if err != nil {
				return err
			}
			for try := 0; try < 3 && !answered; try++ {
				if _, err := conn.WriteTo(request, &net.IPAddr{IP: net.IPv4(10, 75, 0, 2)}); err != nil {
					return err
				}
				answer := make([]byte, 1500)
				if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
					return err
				}
				for {
					n, from, err := conn.ReadFrom(answer)
					if err != nil {
						break
					}
					if n > 0 && from.String() == "10.75.0.2" && answer[0] == byte(ipv4.ICMPTypeEchoReply) {
						answered = true
						break
					}
				}
			}
			return nil
		}))
		return answered
	}
	get := func(record, name, column string) string {
		out, err := s.Vsctl(ctx, "--if-exists", "get", record, name, column)
		require.NoError(t, err)
		return out
	}
	require.True(t, pings())
	w := newWorld(t, target.Config{"host": local(t, host)})
	arguments := func(more native.Arguments) native.Arguments {
		more["target"], more["for"], more["database"] = "host", "1m", "unix:"+s.Socket
		return more
	}
	w.breaks("ovs.stale_port", arguments(native.Arguments{"port": "vnet0"}), func(fault.Plan) {
		require.False(t, pings())
		require.Equal(t, "4094", get("Port", "vnet0", "tag"))
		require.NotEqual(t, "-1", get("Interface", "vnet0", "ofport"))
	})
	require.True(t, pings())
	require.Equal(t, "10", get("Port", "vnet0", "tag"))

	_, err := s.Vsctl(ctx, "clear", "Port", "vnet0", "tag", "--", "clear", "Port", "vnet1", "tag")
	require.NoError(t, err)
	w.breaks("ovs.stale_port", arguments(native.Arguments{"port": "vnet0", "tag": 20}), func(fault.Plan) { require.False(t, pings()) })
	require.Equal(t, "[]", get("Port", "vnet0", "tag"))
	require.True(t, pings())

	w.breaks("ovs.stale_port", arguments(native.Arguments{"port": "vnet0", "tag": 20}), func(fault.Plan) { // the guest goes meanwhile
		_, err := s.Vsctl(ctx, "del-port", "vnet0")
		require.NoError(t, err)
	})
	_, err = s.Vsctl(ctx, "add-port", "br-int", "vnet0")
	require.NoError(t, err)

	w.breaks("ovs.stale_port", arguments(native.Arguments{"bridge": "br-int"}), func(p fault.Plan) {
		argv := p.Apply[0].Command.Argv
		require.Eventually(t, func() bool { return get("Interface", argv[len(argv)-1], "ofport") == "-1" }, 10*time.Second, 50*time.Millisecond)
	})
	out, err := s.Vsctl(ctx, "list-ports", "br-int")
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"vnet0", "vnet1"}, strings.Fields(out))
	for _, a := range []native.Arguments{{"port": "vnet7"}, {"bridge": "br-ex"}, {}, {"port": "-x"}, {"port": "a", "tag": 5000},
		{"port": "vnet0", "bridge": "br-int"}} {
		_, err := call(t, fault.Table(w.env()), "fault.ovs.stale_port", arguments(a))
		require.Error(t, err)
		t.Log(err)
	}
}

// TestMemoryOfControlGroup runs TestMemoryPressureInside in a control group that has less memory than the host.
func TestMemoryOfControlGroup(t *testing.T) {
	const limit = 600 << 20
	for _, hierarchy := range []struct{ folder, limit string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}, // version 1
		{"/sys/fs/cgroup", "memory.max"},
	} {
		group := filepath.Join(hierarchy.folder, fmt.Sprintf("deskstorm-test-%d", os.Getpid()))
		if os.Mkdir(group, 0o755) != nil {
			continue
		}
		t.Cleanup(func() {
			require.Eventually(t, func() bool { return os.Remove(group) == nil }, 10*time.Second, 50*time.Millisecond)
		})
		if os.WriteFile(filepath.Join(group, hierarchy.limit), []byte(strconv.Itoa(limit)), 0) != nil {
			continue // its memory is not controlled
		}
		exe, err := os.Executable()
		require.NoError(t, err)
		cmd := exec.CommandContext(t.Context(), "sh", "-c", `echo $$ > "$0/cgroup.procs" && exec "$@"`, group, exe,
			"-test.run=^TestMemoryPressureInside$", "-test.v", "-test.count=1")
		cmd.Env = append(os.Environ(), insideNamespace+"="+group)
		out, err := cmd.CombinedOutput()
		t.Logf("%s", out)
		require.NoError(t, err)
		require.Contains(t, string(out), "--- PASS: TestMemoryPressureInside")
		return
	}
	if os.Getenv("CI") == "true" || os.Getenv("DESKSTORM_REQUIRE_PROGRAMS") == "1" {
		t.Fatal("no control group with a limit of memory can be made; run the test as root")
	}
	t.Skip("needs a control group with a limit of memory; run it as root")
}

func TestMemoryPressureInside(t *testing.T) {
	group := os.Getenv(insideNamespace)
	if !strings.HasPrefix(group, "/") {
		return // it is a part of TestMemoryOfControlGroup
	}
	w := newWorld(t, target.Config{"host": local(t, nil)})
	_, err := call(t, fault.Table(w.env()), "fault.host.memory_pressure", native.Arguments{"target": "host", "for": "1m", "mib": 500})
	require.ErrorContains(t, err, "may be taken so that the host lives")
	t.Log(err)
	w.breaks("host.memory_pressure", native.Arguments{"target": "host", "for": "1m", "mib": 200}, func(fault.Plan) {
		for _, name := range []string{"memory.usage_in_bytes", "memory.current"} {
			if text, err := os.ReadFile(filepath.Join(group, name)); err == nil {
				used := number(t, strings.TrimSpace(string(text))) >> 20
				t.Logf("the group uses %d MiB", used)
				require.Greater(t, used, 200)
			}
		}
	})
}
