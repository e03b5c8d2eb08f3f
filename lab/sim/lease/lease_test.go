package lease_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	"github.com/deskstorm/deskstorm/lab/sim/lease"
)

var begin = time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)

// clock is a lab's, moved by hand.
type clock struct{ time.Time }

func (c *clock) now() time.Time     { return c.Time }
func (c *clock) at(d time.Duration) { c.Time = begin.Add(d) }

func table(t testing.TB) (*lease.Table, *clock) {
	t.Helper()
	times, err := lease.Times{}.WithDefaults()
	require.NoError(t, err)
	c := &clock{begin}
	table, err := lease.New(times, c.now)
	require.NoError(t, err)
	return table, c
}

var port = lease.Port{Server: "s", Network: "n", MAC: "fa:16:3e:00:00:01", Address: "10.20.0.2"}

const h = time.Hour

func TestTimes(t *testing.T) {
	times, err := lease.Times{}.WithDefaults()
	require.NoError(t, err)
	require.Equal(t, lease.Times{Lease: 24 * h, T1: 12 * h, T2: 21 * h}, times)
	times, err = lease.Times{Lease: 8 * time.Second}.WithDefaults()
	require.NoError(t, err)
	require.Equal(t, lease.Times{Lease: 8 * time.Second, T1: 4 * time.Second, T2: 7 * time.Second}, times)
	for _, wrong := range []lease.Times{{Lease: -1}, {T1: 22 * h}, {T2: 24 * h}, {Lease: 1}} {
		_, err := wrong.WithDefaults()
		require.ErrorContains(t, err, "in the order T1, T2, lease", wrong)
	}
}

// TestLeases: what is done to a server that boots at 0, and when its lease was renewed last, as seen at some time.
func TestLeases(t *testing.T) {
	const gone = -1 // no lease
	type act struct {
		at time.Duration
		do func(*lease.Table)
	}
	fault := func(at time.Duration, f lease.Fault) act {
		return act{at, func(t *lease.Table) { t.SetFault("s", f) }}
	}
	cut := func(at time.Duration, c bool) act { return act{at, func(t *lease.Table) { t.SetCut("s", c) }} }
	stop := func(at time.Duration) act { return act{at, func(t *lease.Table) { t.Stopped("s") }} }
	start := func(at time.Duration) act { return act{at, func(t *lease.Table) { t.Started("s") }} }
	for name, test := range map[string]struct {
		acts    []act
		seen    map[time.Duration]time.Duration // at: renewed
		missing bool                            // where it is gone: it runs at the end
	}{
		"healthy":                       {nil, map[time.Duration]time.Duration{0: 0, 12*h - 1: 0, 12 * h: 12 * h, 100 * h: 96 * h}, true},
		"starting twice":                {[]act{start(h)}, map[time.Duration]time.Duration{2 * h: 0}, true},
		"stuck":                         {[]act{fault(13*h, lease.Stuck)}, map[time.Duration]time.Duration{20 * h: 12 * h, 36*h - 1: 12 * h, 36 * h: gone}, true},
		"stuck and healed early":        {[]act{fault(h, lease.Stuck), fault(2*h, lease.Healthy)}, map[time.Duration]time.Duration{3 * h: 0, 12 * h: 12 * h}, true},
		"stuck and healed late":         {[]act{fault(h, lease.Stuck), fault(14*h, lease.Healthy)}, map[time.Duration]time.Duration{15 * h: 14 * h, 26 * h: 26 * h}, true},
		"healed after it was gone":      {[]act{fault(h, lease.Stuck), fault(30*h, lease.Healthy)}, map[time.Duration]time.Duration{29 * h: gone, 31 * h: 30 * h}, true},
		"stuck, and booted again":       {[]act{fault(h, lease.Stuck), stop(2 * h), start(3 * h)}, map[time.Duration]time.Duration{4 * h: 3 * h, 26 * h: 3 * h, 27 * h: gone}, true},
		"late":                          {[]act{fault(h, lease.Late)}, map[time.Duration]time.Duration{21*h - 1: 0, 21 * h: 21 * h, 50 * h: 42 * h}, true},
		"none":                          {[]act{fault(h, lease.None), fault(5*h, lease.Healthy)}, map[time.Duration]time.Duration{2 * h: gone, 6 * h: 5 * h}, true},
		"none, and booted again":        {[]act{fault(h, lease.None), stop(2 * h), start(3 * h)}, map[time.Duration]time.Duration{4 * h: gone}, true},
		"cut":                           {[]act{cut(h, true), cut(13*h, false)}, map[time.Duration]time.Duration{12 * h: 0, 14 * h: 13 * h}, true},
		"cut, and booted again":         {[]act{cut(h, true), stop(2 * h), start(3 * h)}, map[time.Duration]time.Duration{4 * h: 0, 24 * h: gone}, true},
		"stopped":                       {[]act{stop(13 * h)}, map[time.Duration]time.Duration{35 * h: 12 * h, 36 * h: gone}, false},
		"stopped, and started the same": {[]act{stop(h), start(2 * h)}, map[time.Duration]time.Duration{3 * h: 2 * h}, true},
	} {
		t.Run(name, func(t *testing.T) {
			for at, renewed := range test.seen {
				table, clock := table(t)
				table.Started("s")
				for _, a := range test.acts {
					if a.at <= at {
						clock.at(a.at)
						a.do(table)
					}
				}
				clock.at(at)
				leases, missing := table.Leases([]lease.Port{port})
				if renewed == gone {
					require.Empty(t, leases, at)
					require.Equal(t, test.missing, len(missing) == 1, at)
					continue
				}
				require.Empty(t, missing)
				require.Equal(t, []lease.Lease{{port, begin.Add(renewed), begin.Add(renewed + 24*h), test.missing}}, leases, at)
			}
		})
	}
}

func TestForgets(t *testing.T) {
	table, _ := table(t)
	table.Started("s")
	table.Stopped("s")
	leases, _ := table.Leases([]lease.Port{port})
	require.Len(t, leases, 1, "its port is there")
	leases, _ = table.Leases(nil)
	require.Empty(t, leases)
	leases, missing := table.Leases([]lease.Port{port})
	require.Empty(t, leases, "another server of its id, if there could be one")
	require.Empty(t, missing)
}

func TestFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dhcp")
	files := lease.NewFiles(dir)
	one := lease.Lease{Port: port, Renewed: begin, Expires: begin.Add(24 * h)}
	require.NoError(t, files.Write([]lease.Lease{one}))
	read := func() string {
		text, err := os.ReadFile(filepath.Join(dir, "n", "leases"))
		require.NoError(t, err)
		return string(text)
	}
	require.Equal(t, "1795680000 fa:16:3e:00:00:01 10.20.0.2 host-10-20-0-2 01:fa:16:3e:00:00:01\n", read())

	// What does not change is not written again.
	require.NoError(t, os.Remove(filepath.Join(dir, "n", "leases")))
	require.NoError(t, files.Write([]lease.Lease{one}))
	require.NoFileExists(t, filepath.Join(dir, "n", "leases"))
	require.NoError(t, files.Write(nil))
	require.Empty(t, read())
	require.NoError(t, files.Remove())
	require.NoDirExists(t, dir)
	require.NoError(t, files.Remove())

	require.NoError(t, os.WriteFile(dir, nil, 0o600))
	require.ErrorContains(t, files.Write([]lease.Lease{one}), "writing the leases of network n")
}

// TestDnsmasq: dnsmasq reads the file as its own: it tells its script of each lease that it finds there.
func TestDnsmasq(t *testing.T) {
	qemutest.RequireProgram(t, "dnsmasq", "dnsmasq-base")
	if os.Geteuid() != 0 {
		t.Skip("dnsmasq serves DHCP as root only")
	}
	dir := t.TempDir()
	l := lease.Lease{Port: port, Renewed: time.Now(), Expires: time.Now().Add(24 * h)}
	require.NoError(t, lease.NewFiles(dir).Write([]lease.Lease{l}))
	told, script := filepath.Join(dir, "told"), filepath.Join(dir, "script")
	require.NoError(t, os.WriteFile(script, []byte("#!/bin/sh\necho \"$@\" $DNSMASQ_CLIENT_ID $DNSMASQ_LEASE_EXPIRES >> "+told+"\n"), 0o700))
	cmd := exec.CommandContext(t.Context(), "dnsmasq", "--conf-file=/dev/null", "--keep-in-foreground", "--user=root", "--pid-file=", "--log-facility=-",
		"--port=0", "--interface=lo", "--bind-interfaces", "--dhcp-alternate-port=10067,10068", "--dhcp-range=10.20.0.0,static",
		"--dhcp-leasefile="+filepath.Join(dir, "n", "leases"), "--dhcp-script="+script)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	require.NoError(t, cmd.Start())
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	want := "old fa:16:3e:00:00:01 10.20.0.2 host-10-20-0-2 01:fa:16:3e:00:00:01 " + strconv.FormatInt(l.Expires.Unix(), 10) + "\n"
	var text []byte
	require.Eventually(t, func() bool {
		text, _ = os.ReadFile(told)
		return strings.HasSuffix(string(text), "\n")
	}, 10*time.Second, 10*time.Millisecond, "dnsmasq wrote: %s", &said)
	require.Equal(t, want, string(text))
}

func BenchmarkLeases(b *testing.B) {
	table, clock := table(b)
	ports := make([]lease.Port, 10_000)
	for i := range ports {
		ports[i] = port
		ports[i].Server = strconv.Itoa(i)
		table.Started(ports[i].Server)
	}
	b.ReportAllocs()
	for b.Loop() {
		clock.Time = clock.Add(time.Hour)
		if leases, _ := table.Leases(ports); len(leases) != len(ports) {
			b.Fatal("some are missing")
		}
	}
}
