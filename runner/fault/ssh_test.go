package fault_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/deskstorm/deskstorm/internal/child"
	"github.com/deskstorm/deskstorm/lab/netns"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	"github.com/deskstorm/deskstorm/runner/fault"
	"github.com/deskstorm/deskstorm/runner/native"
	"github.com/deskstorm/deskstorm/runner/target"
)

// overSSH is a target in a namespace that is reached through a real sshd of the test's own.
func overSSH(t testing.TB, n *netns.Namespace) target.Target {
	t.Helper()
	const sshd = "/usr/sbin/sshd"
	qemutest.RequireProgram(t, sshd, "openssh-server")
	dir := t.TempDir()
	file := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, text, 0o600))
		return path
	}
	key := func(name string) (path string, public ssh.PublicKey) {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		require.NoError(t, err)
		block, err := ssh.MarshalPrivateKey(private, "")
		require.NoError(t, err)
		signer, err := ssh.NewSignerFromKey(private)
		require.NoError(t, err)
		return file(name, pem.EncodeToMemory(block)), signer.PublicKey()
	}
	hostKey, host := key("host")
	identity, mine := key("identity")
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := free.Addr().String()
	require.NoError(t, free.Close())
	config := fmt.Sprintf("ListenAddress %s\nHostKey %s\nPidFile none\nUsePAM no\nStrictModes no\nAuthorizedKeysFile %s\n"+
		"PasswordAuthentication no\nPermitRootLogin yes\n", address, hostKey, file("authorized", ssh.MarshalAuthorizedKey(mine)))
	require.NoError(t, os.MkdirAll("/run/sshd", 0o755)) // sshd insists on it
	p, err := child.Start(exec.Command(sshd, "-D", "-e", "-f", file("config", []byte(config))))
	require.NoError(t, err)
	t.Cleanup(p.Kill)
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, 10*time.Second, 10*time.Millisecond, "%s", p.Said)
	known := file("known", []byte(knownhosts.Line([]string{address}, host)+"\n"))
	return target.Target{SSH: &target.SSH{
		Machine: target.Machine{RunDir: filepath.Join(dir, "run"), Step: time.Minute, Namespace: n.Path()},
		Address: address, User: "root", Identity: identity, KnownHosts: known, Timeout: 10 * time.Second,
	}}
}

// TestOverSSH: the same steps work over SSH, where the undo is armed as a timer besides.
func TestOverSSH(t *testing.T) {
	t.Parallel()
	w, _ := newWire(t)
	w.echo(t, 7)
	w.listen(t, 8, echoAll)
	exe, err := os.Executable()
	require.NoError(t, err)
	world := newWorld(t, target.Config{"router": overSSH(t, w.router)})
	world.relay = []string{exe, asRelay}
	loss := native.Arguments{"target": "router", "for": "1m", "address": serverAddress, "percent": 50, "direction": "to"}
	world.breaks("net.loss", loss, func(fault.Plan) {
		require.InDelta(t, 0.5, w.answered(t, 7, 2000), 0.08)
	})
	require.InDelta(t, 1, w.answered(t, 7, 200), 0)
	delay := native.Arguments{"target": "router", "for": "1m", "address": serverAddress, "port": 8, "delay": "50ms"}
	world.breaks("net.delay", delay, func(fault.Plan) {
		require.GreaterOrEqual(t, trip(t, w.dial(t, w.client, 8)), 100*time.Millisecond)
	})
	require.Less(t, trip(t, w.dial(t, w.client, 8)), 80*time.Millisecond)
	world.breaks("net.rate", native.Arguments{"target": "router", "for": "1m", "device": "eth0", "kbit": 1000}, func(fault.Plan) {})
	clean(t, w.router)
	out, err := exec.CommandContext(t.Context(), "ip", "netns", "pids", w.router.Name()).Output()
	require.NoError(t, err)
	require.Empty(t, string(out))
}
