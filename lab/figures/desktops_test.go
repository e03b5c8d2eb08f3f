package figures

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	"github.com/deskstorm/deskstorm/spice"
	"github.com/deskstorm/deskstorm/spice/screen"
)

// desktopsVariable makes the test's own program serve that many desktops, so
// that their memory and garbage are not the client's.
const desktopsVariable = "DESKSTORM_FIGURES_DESKTOPS"

// certificatesVariable names the folder of the desktops' certificates; they are
// then served over TLS.
const certificatesVariable = "DESKSTORM_FIGURES_CERTIFICATES"

func TestMain(m *testing.M) {
	if dir := os.Getenv(cloudVariable); dir != "" {
		if err := serveCloud(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	n, err := strconv.Atoi(os.Getenv(desktopsVariable))
	if err != nil {
		os.Exit(m.Run())
	}
	if err := serve(n); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serve prints the desktops' ports on a line, then obeys a latency a line,
// until standard input ends.
func serve(n int) error {
	var config screen.Config
	if dir := os.Getenv(certificatesVariable); dir != "" {
		pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "server-cert.pem"), filepath.Join(dir, "server-key.pem"))
		if err != nil {
			return err
		}
		config.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	}
	farm, err := screen.NewFarm(n, config)
	if err != nil {
		return err
	}
	defer farm.Close()
	for _, d := range farm.Desktops() {
		addr := d.Addr()
		if config.TLS != nil {
			addr = d.TLSAddr()
		}
		fmt.Print(addr.(*net.TCPAddr).Port, " ")
	}
	fmt.Println()
	commands := bufio.NewScanner(os.Stdin)
	for commands.Scan() {
		latency, err := time.ParseDuration(commands.Text())
		if err != nil {
			return err
		}
		for _, d := range farm.Desktops() {
			d.SetGuestLatency(latency)
			d.SetServerLatency(latency)
		}
		fmt.Println("ok")
	}
	return commands.Err()
}

// desktops are simulated desktops in a process of their own.
type desktops struct {
	ports []int
	ca    *x509.CertPool // of desktops over TLS
	stdin io.WriteCloser
	out   *bufio.Reader
}

func startDesktops(tb testing.TB, n int, secure bool) *desktops {
	tb.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), desktopsVariable+"="+strconv.Itoa(n))
	cmd.Stderr = os.Stderr
	var ca *x509.CertPool
	if secure {
		files, authority := qemutest.TLSFiles(tb)
		cmd.Env = append(cmd.Env, certificatesVariable+"="+files.Dir)
		ca = x509.NewCertPool()
		ca.AppendCertsFromPEM(authority)
	}
	stdin, err := cmd.StdinPipe()
	require.NoError(tb, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(tb, err)
	require.NoError(tb, cmd.Start())
	d := &desktops{ca: ca, stdin: stdin, out: bufio.NewReader(stdout)}
	tb.Cleanup(func() {
		stdin.Close()
		cmd.Wait()
	})
	line, err := d.out.ReadString('\n')
	require.NoError(tb, err)
	for _, p := range strings.Fields(line) {
		port, err := strconv.Atoi(p)
		require.NoError(tb, err)
		d.ports = append(d.ports, port)
	}
	require.Len(tb, d.ports, n)
	return d
}

// setLatency makes all desktops answer after a latency, server and guest alike.
func (d *desktops) setLatency(tb testing.TB, latency time.Duration) {
	fmt.Fprintln(d.stdin, latency)
	line, err := d.out.ReadString('\n')
	require.NoError(tb, err)
	require.Equal(tb, "ok\n", line)
}

func (d *desktops) config(i int) spice.Config {
	if d.ca != nil {
		return spice.Config{Host: "127.0.0.1", TLSPort: d.ports[i], CA: d.ca}
	}
	return spice.Config{Host: "127.0.0.1", Port: d.ports[i]}
}

// openAll opens a session to every desktop, a few at a time.
func (d *desktops) openAll(tb testing.TB) []*spice.Session {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	defer cancel()
	sessions := make([]*spice.Session, len(d.ports))
	errs := make(chan error, len(d.ports))
	slots := make(chan struct{}, connectsAtOnce)
	for i := range d.ports {
		go func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			var err error
			sessions[i], err = spice.Dial(ctx, d.config(i))
			errs <- err
		}()
	}
	for range d.ports {
		require.NoError(tb, <-errs)
	}
	return sessions
}

const connectsAtOnce = 16

func closeAll(sessions []*spice.Session) {
	var wg sync.WaitGroup
	for _, s := range sessions {
		wg.Go(func() { s.Close() })
	}
	wg.Wait()
}
