package figures

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/spice"
)

// sessionsOpen is how many sessions the figures are taken with.
const sessionsOpen = 1000

// BenchmarkSession reports what an open session takes of its process, as
// resident memory and as the heap and stacks that Go counts, and how many
// connects a second there are, each to the first picture, with the desktops on
// the same machine.
func BenchmarkSession(b *testing.B) {
	for name, secure := range map[string]bool{"plain": false, "TLS": true} {
		b.Run(name, func(b *testing.B) {
			d := startDesktops(b, sessionsOpen, secure)
			closeAll(d.openAll(b)) // what the first connect loads is not a session's
			for b.Loop() {
				residentBefore, goBefore := memory(b, os.Getpid()), goMemory()
				start := time.Now()
				sessions := d.openAll(b)
				b.ReportMetric(sessionsOpen/time.Since(start).Seconds(), "connects/s")
				resident, goes := memory(b, os.Getpid()), goMemory()
				b.ReportMetric(float64(resident-residentBefore)/sessionsOpen/1024, "RSS-KiB/session")
				b.ReportMetric(float64(goes-goBefore)/sessionsOpen/1024, "heap+stack-KiB/session")
				closeAll(sessions)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkRoundTripError reports how far measured round trips are from the
// latency that the desktops were told to add, with all sessions open and each
// probing all three every 5 s. On a virtual machine the tail is the hypervisor's
// as much as the program's, so the share of CPU time that it took away stands
// beside it.
func BenchmarkRoundTripError(b *testing.B) {
	d := startDesktops(b, sessionsOpen, false)
	sessions := d.openAll(b)
	defer closeAll(sessions)
	for _, latency := range []time.Duration{0, 20 * time.Millisecond, 200 * time.Millisecond} {
		b.Run(latency.String(), func(b *testing.B) {
			d.setLatency(b, latency)
			for b.Loop() {
				before := cpuTimes(b)
				samples := probeAll(b, sessions)
				b.ReportMetric(cpuTimes(b).stolenSince(before), "stolen-CPU-%")
				for _, trip := range []spice.Trip{spice.ServerTrip, spice.GuestTrip, spice.VisibleTrip} {
					errs := samples.errors(trip, latency)
					name := string(trip)
					b.ReportMetric(quantile(errs, 0.5), name+"-p50-ms")
					b.ReportMetric(quantile(errs, 0.99), name+"-p99-ms")
					b.ReportMetric(float64(samples.lost[trip]), name+"-lost")
				}
				b.ReportMetric(float64(samples.count()), "probes")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

const (
	probeEvery = 5 * time.Second
	probeFor   = 30 * time.Second
)

// measured are all sessions' samples.
type measured struct {
	mu   sync.Mutex
	rtts map[spice.Trip][]time.Duration
	lost map[spice.Trip]int
}

func probeAll(b *testing.B, sessions []*spice.Session) *measured {
	m := &measured{rtts: map[spice.Trip][]time.Duration{}, lost: map[spice.Trip]int{}}
	ctx, cancel := context.WithTimeout(b.Context(), probeFor)
	defer cancel()
	var wg sync.WaitGroup
	for i, s := range sessions {
		phase := probeEvery * time.Duration(i) / time.Duration(len(sessions))
		wg.Go(func() {
			err := s.Monitor(ctx, probeEvery, phase, []spice.Trip{spice.ServerTrip, spice.GuestTrip, spice.VisibleTrip}, m.add)
			if err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
	return m
}

func (m *measured) add(x spice.Sample) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if x.Err != nil {
		m.lost[x.Trip]++
		return
	}
	m.rtts[x.Trip] = append(m.rtts[x.Trip], x.RTT)
}

func (m *measured) count() (n int) {
	for _, rtts := range m.rtts {
		n += len(rtts)
	}
	return n
}

// errors are the measured round trips less the added latency, sorted.
func (m *measured) errors(trip spice.Trip, latency time.Duration) []time.Duration {
	errs := slices.Clone(m.rtts[trip])
	for i := range errs {
		errs[i] -= latency
	}
	slices.Sort(errs)
	return errs
}

// quantile is of sorted values, in milliseconds.
func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return -1
	}
	return float64(sorted[int(q*float64(len(sorted)-1))]) / 1e6
}

// BenchmarkVirtualUser reports what a whole virtual user of k6 takes, with a
// small script, without and with a session: resident memory of the k6 process.
func BenchmarkVirtualUser(b *testing.B) {
	d := startDesktops(b, sessionsOpen, false)
	deskstorm := filepath.Join(b.TempDir(), "deskstorm")
	build := exec.Command("go", "build", "-o", deskstorm, "github.com/deskstorm/deskstorm/cmd/deskstorm")
	out, err := build.CombinedOutput()
	require.NoError(b, err, string(out))
	ports := make([]string, len(d.ports))
	for i, p := range d.ports {
		ports[i] = strconv.Itoa(p)
	}
	script := filepath.Join(b.TempDir(), "vu.js")
	require.NoError(b, os.WriteFile(script, []byte(`
import vdi from 'k6/x/vdi';
import exec from 'k6/execution';
import { SharedArray } from 'k6/data';
import { sleep } from 'k6';
const ports = new SharedArray('ports', () => '`+strings.Join(ports, ",")+`'.split(','));
export default async function () {
  if (__ENV.CONNECT === '1') {
    await vdi.connect({ host: '127.0.0.1', port: Number(ports[exec.vu.idInTest - 1]) });
  }
  console.log('ready');
  sleep(3600);
}`), 0o600))
	for b.Loop() {
		one := vuMemory(b, deskstorm, script, 1, false)
		bare := vuMemory(b, deskstorm, script, sessionsOpen, false)
		with := vuMemory(b, deskstorm, script, sessionsOpen, true)
		b.ReportMetric(float64(bare-one)/(sessionsOpen-1)/1000, "RSS-kB/VU")
		b.ReportMetric(float64(with-one)/(sessionsOpen-1)/1000, "RSS-kB/VU+session")
	}
	b.ReportMetric(0, "ns/op")
}

// vuMemory runs k6 until all virtual users are ready and returns its resident
// memory.
func vuMemory(b *testing.B, deskstorm, script string, vus int, connect bool) int {
	ready := &counter{want: vus, done: make(chan struct{})}
	cmd := exec.Command(deskstorm, "k6", "run", "--quiet", "--vus", strconv.Itoa(vus), "--iterations", strconv.Itoa(vus),
		"-e", "CONNECT="+map[bool]string{true: "1", false: "0"}[connect], script)
	cmd.Stderr = ready // console.log
	require.NoError(b, cmd.Start())
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	select {
	case <-ready.done:
	case <-time.After(2 * time.Minute):
		b.Fatalf("%d of %d virtual users are ready: %s", ready.seen, vus, ready.rest)
	}
	return memory(b, cmd.Process.Pid)
}

// counter counts the virtual users that said they are ready.
type counter struct {
	want, seen int
	rest       string
	done       chan struct{}
}

func (c *counter) Write(p []byte) (int, error) {
	before := c.seen
	c.seen += strings.Count(string(p), "msg=ready")
	if !strings.Contains(string(p), "msg=ready") {
		c.rest += string(p)
	}
	if before < c.want && c.seen >= c.want {
		close(c.done)
	}
	return len(p), nil
}

// memory is a process's resident memory in bytes. This process's garbage is
// collected and given back first.
func memory(tb testing.TB, pid int) int {
	if pid == os.Getpid() {
		collect()
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(tb, err)
	for line := range strings.Lines(string(status)) {
		if kb, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.Atoi(strings.Fields(kb)[0])
			require.NoError(tb, err)
			return n * 1024
		}
	}
	tb.Fatal("no VmRSS")
	return 0
}

// goMemory is what Go has in use: heap objects and stacks.
func goMemory() int {
	collect()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapInuse + m.StackInuse)
}

func collect() {
	runtime.GC()
	debug.FreeOSMemory()
}

// processorTimes are all processors' times since the start, in ticks.
type processorTimes struct{ worked, stolen int }

// cpuTimes reads /proc/stat (proc(5)): user, nice, system, idle, iowait, irq,
// softirq, steal.
func cpuTimes(tb testing.TB) processorTimes {
	stat, err := os.ReadFile("/proc/stat")
	require.NoError(tb, err)
	line, _, _ := strings.Cut(string(stat), "\n")
	fields := strings.Fields(line)
	require.GreaterOrEqual(tb, len(fields), 9, line)
	tick := func(i int) int {
		n, err := strconv.Atoi(fields[i])
		require.NoError(tb, err)
		return n
	}
	return processorTimes{worked: tick(1) + tick(2) + tick(3) + tick(6) + tick(7), stolen: tick(8)}
}

// stolenSince is how much of the time that the machine wanted to work the
// hypervisor gave to others, in percent.
func (t processorTimes) stolenSince(before processorTimes) float64 {
	worked, stolen := t.worked-before.worked, t.stolen-before.stolen
	if worked+stolen == 0 {
		return 0
	}
	return 100 * float64(stolen) / float64(worked+stolen)
}
