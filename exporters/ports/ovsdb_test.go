package ports

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/exporters/collector"
	"github.com/deskstorm/deskstorm/lab/netns"
	"github.com/deskstorm/deskstorm/lab/netns/netnstest"
	"github.com/deskstorm/deskstorm/lab/ovs"
	"github.com/deskstorm/deskstorm/lab/ovs/ovstest"
)

// serve accepts connections on the loopback until the test ends, and lets each handle them. It returns its address as the
// exporter takes it.
func serve(t *testing.T, each func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var open sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	open.Add(1)
	go func() {
		defer open.Done()
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			open.Add(1)
			go func() {
				defer open.Done()
				defer conn.Close()
				each(conn)
			}()
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		mu.Lock()
		for _, conn := range conns {
			conn.Close()
		}
		mu.Unlock()
		open.Wait()
	})
	return "tcp:" + listener.Addr().String()
}

// relay connects two connections until either ends.
func relay(a, b net.Conn) {
	defer b.Close()
	go func() {
		_, _ = io.Copy(b, a)
		b.Close()
	}()
	_, _ = io.Copy(a, b)
}

// leaksNothing fails the test if there are more goroutines after f than before.
func leaksNothing(t *testing.T, f func()) {
	t.Helper()
	before := runtime.NumGoroutine()
	f()
	for end := time.Now().Add(20 * time.Second); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines were left: %s", runtime.NumGoroutine()-before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// startSwitch starts an Open vSwitch with an integration bridge in a namespace of its own.
func startSwitch(t *testing.T, ctx context.Context) (*ovs.Switch, *netns.Namespace) {
	t.Helper()
	ovstest.Require(t)
	space := netnstest.New(t, "ovsdb")
	s := ovstest.StartT(t, ovs.Config{Namespace: space.Path()})
	require.NoError(t, s.AddBridge(ctx, "br-int"))
	return s, space
}

func TestDatabaseRestarts(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, space := startSwitch(t, ctx)
	overTCP := serve(t, func(conn net.Conn) {
		if socket, err := net.Dial("unix", s.Socket); err == nil {
			relay(conn, socket)
		}
	})
	for _, database := range []string{"unix:" + s.Socket, overTCP} {
		e := newExporter(t, Config{Database: database, Namespace: space.Path(), Timeout: 5 * time.Second}, Sources{})
		healthy := func() {
			t.Helper()
			leaksNothing(t, func() {
				values, err := ask(t, e, "ovsdb")
				require.NoError(t, err)
				require.Equal(t, map[string]float64{"br-int": 1, "other": 0}, values[records])
				require.Empty(t, positive(values[faulty]))
				require.Len(t, values[faulty], 2*len(recordFaults), "faults are 0, not absent")
			})
		}
		healthy()
		s.KillDatabase()
		leaksNothing(t, func() {
			values, err := ask(t, e, "ovsdb")
			require.ErrorContains(t, err, "reading Open vSwitch's database at "+database)
			require.Empty(t, values)
		})
		require.NoError(t, s.StartDatabase(ctx))
		healthy()
	}
}

func TestBadDatabases(t *testing.T) {
	row := func(value string) func(net.Conn) {
		return answering(`{"id":1,"error":null,"result":[{"rows":[{"_uuid":` + value + `}]},{"rows":[]},{"rows":[]}]}`)
	}
	for name, test := range map[string]struct {
		each func(net.Conn)
		says string
	}{
		"silent":           {answering(""), "context deadline exceeded"},
		"closing":          {func(net.Conn) {}, "reading"},
		"no JSON":          {answering("HTTP/1.1 400 Bad Request"), "invalid character"},
		"another answer":   {answering(`{"id":1,"result":{"a":1},"error":null}`), "malformed"},
		"no answer":        {answering(`{"id":1,"result":null,"error":null}`), "only 0 results received"},
		"another database": {answering(`{"id":1,"result":null,"error":{"error":"unknown database"}}`), "unknown database"},
		"another schema": {answering(`{"id":1,"result":[{"error":"syntax error","details":"No column tag in table Port."},null,null],"error":null}`),
			"No column tag"},
		"half a UUID": {row(`["uuid"]`), "malformed"},
		"half a set":  {row(`["set",5]`), "malformed"},
		"half a map":  {row(`["map",[[{},1]]]`), "malformed"},
		"only echoes": {answering(`{"method":"echo","id":"echo","params":[]}`), "context deadline exceeded"},
		"an endless text": {func(c net.Conn) {
			_, _ = c.Write([]byte(`{"id":"`))
			for junk := bytes.Repeat([]byte("x"), 1<<16); ; {
				if _, err := c.Write(junk); err != nil {
					return
				}
			}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			database := serve(t, test.each)
			e := newExporter(t, Config{Database: database, Timeout: 500 * time.Millisecond}, Sources{})
			leaksNothing(t, func() {
				values, err := ask(t, e, "ovsdb")
				require.ErrorContains(t, err, test.says)
				require.Empty(t, values)
			})
		})
	}
}

// answering writes a text and keeps the connection open.
func answering(text string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = c.Write([]byte(text))
		_, _ = io.Copy(io.Discard, c)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`[{"rows":[{"_uuid":["uuid","a"],"ports":["set",[["uuid","b"]]],"name":"br-int"}]},{"rows":[]},{"rows":[]}]`))
	f.Add([]byte(`[{"rows":[{"external_ids":["map",[["iface-id","x"]]]}]},{},{}]`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		if results, err := decode(answer); err == nil && len(results) >= 3 {
			join(results[0].Rows, results[1].Rows, results[2].Rows)
		}
	})
}

// The whole of it: a Set polls a database that comes, goes and comes back.
func TestSet(t *testing.T) {
	ovstest.Require(t)
	space := netnstest.New(t, "ovsdb")
	s := ovstest.StartT(t, ovs.Config{Namespace: space.Path()})
	e := newExporter(t, Config{Database: "unix:" + filepath.Clean(s.Socket), Namespace: space.Path(), Interval: time.Second}, Sources{})
	set := collector.NewSet([]collector.Exporter{e}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- set.Run(ctx) }()
	require.Eventually(t, set.Ready, patience, 10*time.Millisecond)
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(set))
	problems, err := testutil.GatherAndLint(registry)
	require.NoError(t, err)
	require.Empty(t, problems)
	n, err := testutil.GatherAndCount(registry, faulty.Name)
	require.NoError(t, err)
	require.Equal(t, 2*len(recordFaults), n)
	cancel()
	require.NoError(t, <-ended)
}

// How long a refresh takes at a real database of a host, and of one with more desktops than any has.
func TestScale(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, space := startSwitch(t, ctx)
	s.KillDaemon() // which would look for each device
	e := newExporter(t, Config{Database: "unix:" + s.Socket, Namespace: space.Path(), Namespaces: t.TempDir()}, Sources{})
	ports := 0
	for _, n := range []int{100, 500} {
		for ports < n {
			args := []string{"--no-wait"}
			for range 100 {
				device := fmt.Sprintf("vnet%d", ports)
				args = append(args, "--", "add-port", "br-int", device, "--", "set", "Interface", device, "external_ids:iface-id="+device)
				ports++
			}
			_, err := s.Vsctl(ctx, args...)
			require.NoError(t, err)
		}
		var values map[*collector.Family]map[string]float64
		took := time.Hour
		for range 3 {
			begun := time.Now()
			var err error
			values, err = ask(t, e, "ovsdb")
			require.NoError(t, err)
			took = min(took, time.Since(begun))
		}
		t.Logf("%d ports: %s", n, took.Round(100*time.Microsecond))
		require.Equal(t, float64(n), values[faulty]["br-int,"+noDevice])
	}
}

func TestDomains(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, space := startSwitch(t, ctx)
	require.NoError(t, s.Plug(ctx, "br-int", "vnet0", "a"))
	var domains []DomainInterface
	e := newExporter(t, Config{Database: "unix:" + s.Socket, Namespace: space.Path()},
		Sources{Domains: func(context.Context) ([]DomainInterface, error) { return domains, nil }})
	for device, want := range map[string]map[string]float64{"vnet0": {}, "vnet1": {noPort: 1}} {
		domains = []DomainInterface{{Domain: "n2-117", Device: device, Bridge: "br-int", InterfaceID: "a", VirtualPort: "openvswitch"}}
		values, err := ask(t, e, "libvirt")
		require.NoError(t, err)
		require.Equal(t, map[string]float64{"": 1}, values[interfaces])
		require.Equal(t, want, positive(values[faultyInterfaces]))
		faults, _ := served(t, e)
		require.Len(t, faults, len(want))
	}
	s.KillDatabase()
	_, err := ask(t, e, "libvirt")
	require.ErrorContains(t, err, "reading Open vSwitch's database")
}
