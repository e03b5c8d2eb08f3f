package screen

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/deskstorm/deskstorm/spice/wire"
)

func TestFarmSharesOneKey(t *testing.T) {
	f, err := NewFarm(3, Config{})
	require.NoError(t, err)
	defer f.Close()
	var keys [][]byte
	for _, d := range f.Desktops() {
		conn, err := net.Dial("tcp", d.Addr().String())
		require.NoError(t, err)
		reply, _, err := tryLink(conn, wire.LinkRequest{Channel: wire.ChannelID{Type: wire.Main}, Common: testCommon}, "")
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		keys = append(keys, reply.PubKey)
		require.Nil(t, d.TLSAddr())
	}
	require.Equal(t, keys[0], keys[1])
	require.Equal(t, keys[0], keys[2])
}

// benchDesktops is how many desktops BenchmarkFarm has.
const benchDesktops = 1000

// clientsEnv makes TestBenchmarkClients the benchmark's other process.
const clientsEnv = "SCREEN_BENCHMARK_CLIENTS"

// BenchmarkFarm measures what desktops cost the process that serves them; their
// clients are another process on the same machine. Run it with -benchtime 1x.
//
//	idle     no clients
//	carets   a client each, which only looks: carets blink
//	typing   a client each, which types a key a second: how much later than
//	         the guest's latency the client sees it
func BenchmarkFarm(b *testing.B) {
	b.Run("idle", func(b *testing.B) {
		benchFarm(b, Config{}, func() {})
	})
	b.Run("carets", func(b *testing.B) {
		benchFarm(b, Config{}, func() { time.Sleep(10 * time.Second) }, "look")
	})
	for _, latency := range []time.Duration{0, 5 * time.Millisecond, 50 * time.Millisecond} {
		b.Run(fmt.Sprintf("typing/%v", latency), func(b *testing.B) {
			benchFarm(b, Config{GuestLatency: latency}, func() { time.Sleep(15 * time.Second) }, "type", latency.String())
		})
	}
}

func benchFarm(b *testing.B, c Config, wait func(), clients ...string) {
	for b.Loop() {
		before := heapAndStacks()
		f, err := NewFarm(benchDesktops, c)
		require.NoError(b, err)
		var other *exec.Cmd
		var in io.WriteCloser
		var out *bufio.Reader
		if len(clients) > 0 {
			other = exec.CommandContext(b.Context(), os.Args[0], "-test.run=^TestBenchmarkClients$")
			other.Env = append(os.Environ(), clientsEnv+"="+strings.Join(clients, " "))
			other.Stderr = os.Stderr
			in, err = other.StdinPipe()
			require.NoError(b, err)
			stdout, err := other.StdoutPipe()
			require.NoError(b, err)
			out = bufio.NewReader(stdout)
			require.NoError(b, other.Start())
			for _, d := range f.Desktops() {
				_, err := fmt.Fprintln(in, d.Addr())
				require.NoError(b, err)
			}
			line, err := out.ReadString('\n') // connected
			require.NoError(b, err)
			var rate float64
			_, err = fmt.Sscanf(line, "connects/s %f", &rate)
			require.NoError(b, err)
			b.ReportMetric(rate, "connects/s")
		}
		goroutines := runtime.NumGoroutine()
		memory := heapAndStacks() - before
		cpu, began := cpuTime(b), time.Now()
		wait()
		if other != nil {
			b.ReportMetric(100*float64(cpuTime(b)-cpu)/float64(time.Since(began)), "%CPU")
			require.NoError(b, in.Close())
			for {
				line, err := out.ReadString('\n')
				if err != nil {
					break
				}
				var name string
				var value float64
				if n, _ := fmt.Sscanf(line, "%s %g", &name, &value); n == 2 {
					b.ReportMetric(value, name)
				}
			}
			require.NoError(b, other.Wait())
		}
		b.ReportMetric(float64(memory)/benchDesktops, "B/desktop")
		b.ReportMetric(float64(goroutines)/benchDesktops, "goroutines/desktop")
		f.Close()
	}
	b.ReportMetric(0, "ns/op")
}

func heapAndStacks() uint64 {
	runtime.GC()
	runtime.GC() // stacks shrink by half each time
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

func cpuTime(t testing.TB) time.Duration {
	var r unix.Rusage
	require.NoError(t, unix.Getrusage(unix.RUSAGE_SELF, &r))
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// TestBenchmarkClients is the clients' process of BenchmarkFarm: it reads
// addresses, connects, prints "connects/s N", looks or types until its input
// ends, and prints what it measured.
func TestBenchmarkClients(t *testing.T) {
	task := strings.Fields(os.Getenv(clientsEnv))
	if len(task) == 0 {
		return // no part of the tests
	}
	var clients []*benchClient
	lines := bufio.NewScanner(os.Stdin)
	var addrs []string
	for len(addrs) < benchDesktops && lines.Scan() {
		addrs = append(addrs, lines.Text())
	}
	began := time.Now()
	for _, addr := range addrs {
		clients = append(clients, newBenchClient(t, addr))
	}
	fmt.Printf("connects/s %.0f\n", float64(len(clients))/time.Since(began).Seconds())
	end := make(chan struct{})
	go func() {
		defer close(end)
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	if task[0] == "type" {
		latency, err := time.ParseDuration(task[1])
		require.NoError(t, err)
		var typing sync.WaitGroup
		for i, c := range clients {
			typing.Go(func() { c.typeUntil(end, time.Duration(i)*time.Second/benchDesktops, latency) })
		}
		typing.Wait()
		var late []time.Duration
		for _, c := range clients {
			late = append(late, c.late...)
		}
		slices.Sort(late)
		fmt.Printf("keys %d\n", len(late))
		for _, q := range []float64{0.5, 0.99} {
			fmt.Printf("µs-late-p%g %.0f\n", q*100, float64(late[int(q*float64(len(late)-1))])/1e3)
		}
	}
	<-end
}

// benchClient is as little of a client as can be, so that it does not slow
// down what it measures.
type benchClient struct {
	inputs net.Conn
	echoes chan time.Time
	late   []time.Duration
}

func newBenchClient(t *testing.T, addr string) *benchClient {
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		return conn
	}
	c := &benchClient{echoes: make(chan time.Time, 16)}
	main := openChannel(t, dial, 0, wire.Main, "")
	init, err := wire.ParseInit(main.expect(wire.MsgMainInit).body)
	require.NoError(t, err)
	cursor := openChannel(t, dial, init.SessionID, wire.Cursor, "")
	inputs := openChannel(t, dial, init.SessionID, wire.Inputs, "")
	display := openChannel(t, dial, init.SessionID, wire.Display, "")
	display.send(wire.MsgcDisplayInit, wire.AppendDisplayInit(nil))
	display.expect(wire.MsgDisplaySurfaceCreate)
	c.inputs = inputs.conn
	for _, other := range []*rawChannel{main, cursor, inputs} {
		go func() {
			for range other.messages {
			}
		}()
	}
	go func() {
		for m := range display.messages {
			// A glyph's pixels are in the cell's upper rows, the caret's are not.
			const upper = wire.DrawCopyFixed + 18 + 18
			if m.typ == wire.MsgDisplayDrawCopy && len(m.body) > upper &&
				slices.ContainsFunc(m.body[upper:upper+CellWidth*14*4], func(b byte) bool { return b != 0 }) {
				c.echoes <- m.at
			}
		}
	}()
	return c
}

func (c *benchClient) typeUntil(end <-chan struct{}, phase, latency time.Duration) {
	next := time.Now().Add(phase)
	for {
		select {
		case <-end:
			return
		case <-time.After(time.Until(next)):
		}
		next = next.Add(time.Second)
		down := append(wire.AppendHeader(nil, wire.MsgcInputsKeyDown, 4), wire.AppendKey(nil, 0x1e)...)
		up := append(wire.AppendHeader(nil, wire.MsgcInputsKeyUp, 4), wire.AppendKey(nil, 0x9e)...)
		sent := time.Now()
		if _, err := c.inputs.Write(append(down, up...)); err != nil {
			return
		}
		select {
		case at := <-c.echoes:
			c.late = append(c.late, at.Sub(sent)-latency)
		case <-end:
			return
		}
	}
}
