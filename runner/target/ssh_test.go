package target_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/deskstorm/deskstorm/internal/child"
	"github.com/deskstorm/deskstorm/internal/configfile"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	"github.com/deskstorm/deskstorm/runner/target"
)

// server is a real sshd of the test's own.
type server struct {
	dir     string
	address string
	keys    map[string]ssh.PublicKey // host keys by kind
	config  target.SSH               // reaches it, with all its host keys known
}

const sshd = "/usr/sbin/sshd"

func startSSHD(t *testing.T) *server {
	t.Helper()
	qemutest.RequireProgram(t, sshd, "openssh-server")
	if os.Geteuid() != 0 {
		t.Skip("sshd without PAM needs root")
	}
	s := &server{dir: t.TempDir(), keys: map[string]ssh.PublicKey{}}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	s.keys["rsa"] = s.write(t, "host_rsa", rs, "")
	s.keys["ed25519"] = s.write(t, "host_ed25519", ed, "")
	_, mine, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	public := s.write(t, "identity", mine, "")
	s.write(t, "identity_encrypted", mine, "open sesame")
	require.NoError(t, os.WriteFile(s.file("authorized_keys"), ssh.MarshalAuthorizedKey(public), 0o600))

	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.address = free.Addr().String()
	require.NoError(t, free.Close())
	_, port, err := net.SplitHostPort(s.address)
	require.NoError(t, err)
	config := fmt.Sprintf("ListenAddress 127.0.0.1:%s\nHostKey %s\nHostKey %s\nPidFile none\nUsePAM no\nStrictModes no\n"+
		"AuthorizedKeysFile %s\nPasswordAuthentication no\nPermitRootLogin yes\nPrintMotd no\n",
		port, s.file("host_rsa"), s.file("host_ed25519"), s.file("authorized_keys"))
	require.NoError(t, os.WriteFile(s.file("sshd_config"), []byte(config), 0o600))
	require.NoError(t, os.MkdirAll("/run/sshd", 0o755)) // sshd insists on it
	p, err := child.Start(exec.Command(sshd, "-D", "-e", "-f", s.file("sshd_config")))
	require.NoError(t, err)
	t.Cleanup(p.Kill)
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", s.address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, 10*time.Second, 10*time.Millisecond, "%s", p.Said)
	s.config = target.SSH{
		Machine: target.Machine{RunDir: s.file("run"), Step: 20 * time.Second},
		Address: s.address, User: "root", Identity: s.file("identity"), KnownHosts: s.known(t, s.address, "rsa", "ed25519"), Timeout: 10 * time.Second,
	}
	return s
}

func (s *server) file(name string) string { return filepath.Join(s.dir, name) }

func (s *server) write(t *testing.T, name string, key any, passphrase string) ssh.PublicKey {
	t.Helper()
	var block *pem.Block
	var err error
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(key, "")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(passphrase))
	}
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(s.file(name), pem.EncodeToMemory(block), 0o600))
	signer, err := ssh.NewSignerFromKey(key)
	require.NoError(t, err)
	return signer.PublicKey()
}

// known writes a file of known hosts that has the server's keys of these kinds, at an address.
func (s *server) known(t *testing.T, address string, kinds ...string) string {
	t.Helper()
	text := ""
	for _, kind := range kinds {
		text += knownhosts.Line([]string{address}, s.keys[kind]) + "\n"
	}
	f, err := os.CreateTemp(s.dir, "known_hosts")
	require.NoError(t, err)
	_, err = f.WriteString(text)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	return f.Name()
}

func over(c target.SSH) *target.Targets { return target.New(target.Config{"here": {SSH: &c}}) }

func TestSSH(t *testing.T) {
	s := startSSHD(t)
	t.Run("command", func(t *testing.T) {
		do := over(s.config)
		out, err := do.Do(t.Context(), command("printf", "%s|", `it's "a" $HOME`, "", "*"))
		require.NoError(t, err)
		require.Equal(t, `it's "a" $HOME||*|`, out)
		step := command("sh", "-c", "cat; exit 3")
		step.Command.Stdin = "what is sent\n"
		_, err = do.Do(t.Context(), step)
		require.EqualError(t, err, "running sh -c cat; exit 3 at here: exit code 3: what is sent")
		step.Command.Fine = []int{3}
		_, err = do.Do(t.Context(), step)
		require.NoError(t, err)
	})
	t.Run("bounded", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		began := time.Now()
		_, err := over(s.config).Do(ctx, command("sleep", "60"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Less(t, time.Since(began), 5*time.Second)
	})
	t.Run("start and signal", func(t *testing.T) {
		do := over(s.config)
		pid := filepath.Join(s.config.RunDir, "it.pid")
		_, err := do.Do(t.Context(), target.Step{Target: "here", Start: &target.Start{Argv: []string{"sleep", "60.75"}, PidFile: pid}})
		require.NoError(t, err)
		require.True(t, alive(t, pid), "it outlives the connection")
		_, err = do.Do(t.Context(), target.Step{Target: "here", Signal: &target.Signal{PidFile: pid, Program: "sleep", Signal: "TERM"}})
		require.NoError(t, err)
		require.NoFileExists(t, pid)
	})
	for name, kind := range map[string]string{"only its RSA key is known": "rsa", "only its Ed25519 key is known": "ed25519"} {
		t.Run(name, func(t *testing.T) {
			c := s.config
			c.KnownHosts = s.known(t, s.address, kind)
			_, err := over(c).Do(t.Context(), command("true"))
			require.NoError(t, err)
		})
	}
	for name, test := range map[string]struct {
		change func(*target.SSH)
		err    string
	}{
		"unknown host": {func(c *target.SSH) { c.KnownHosts = s.known(t, s.address) }, "its host key is not in "},
		"another host": {func(c *target.SSH) {
			_, other, err := ed25519.GenerateKey(rand.Reader)
			require.NoError(t, err)
			signer, err := ssh.NewSignerFromKey(other)
			require.NoError(t, err)
			c.KnownHosts = s.file("another")
			require.NoError(t, os.WriteFile(c.KnownHosts, []byte(knownhosts.Line([]string{s.address}, signer.PublicKey())+"\n"), 0o600))
		}, "its host key is another than the one in "},
		"no known_hosts":     {func(c *target.SSH) { c.KnownHosts = s.file("none") }, "reading the known hosts: "},
		"no identity":        {func(c *target.SSH) { c.Identity = s.file("none") }, "reading the identity: "},
		"not an identity":    {func(c *target.SSH) { c.Identity = s.file("sshd_config") }, "reading the identity " + s.file("sshd_config")},
		"wrong identity":     {func(c *target.SSH) { c.Identity = s.file("host_ed25519") }, "unable to authenticate"},
		"needs a passphrase": {func(c *target.SSH) { c.Identity = s.file("identity_encrypted") }, "it needs a passphrase"},
		"nobody there":       {func(c *target.SSH) { c.Address = "127.0.0.1:1" }, "connection refused"},
		"silence":            {func(c *target.SSH) { c.Address = silent(t); c.Timeout = 300 * time.Millisecond }, "there was no answer within 300ms"},
	} {
		t.Run(name, func(t *testing.T) {
			c := s.config
			test.change(&c)
			_, err := over(c).Do(t.Context(), command("true"))
			require.ErrorContains(t, err, test.err)
			require.ErrorContains(t, err, "logging in to root at 127.0.0.1")
		})
	}
	t.Run("passphrase", func(t *testing.T) {
		t.Setenv("DESKSTORM_TEST_PASSPHRASE", "open sesame")
		c := s.config
		c.Identity, c.Passphrase = s.file("identity_encrypted"), configfile.Secret{Env: "DESKSTORM_TEST_PASSPHRASE"}
		_, err := over(c).Do(t.Context(), command("true"))
		require.NoError(t, err)
	})
}

// silent is an address that takes connections and never says anything.
func silent(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

// cable is a way to a server that can be cut.
type cable struct {
	listener net.Listener
	mu       sync.Mutex
	conns    []net.Conn
}

func lay(t *testing.T, to string) *cable {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &cable{listener: l}
	t.Cleanup(c.cut)
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			c.mu.Lock()
			c.conns = append(c.conns, in, out)
			c.mu.Unlock()
			go func() { _, _ = io.Copy(in, out); _ = in.Close() }()
			go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
		}
	}()
	return c
}

func (c *cable) cut() {
	_ = c.listener.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

// TestArmedUndo: the machine undoes by itself what nobody can reach it for any more.
func TestArmedUndo(t *testing.T) {
	s := startSSHD(t)
	way := lay(t, s.address)
	c := s.config
	c.Address = way.listener.Addr().String()
	c.KnownHosts = s.known(t, c.Address, "ed25519")
	do := over(c)
	pid, mark := filepath.Join(c.RunDir, "it.pid"), s.file("mark")
	_, err := do.Do(t.Context(), target.Step{Target: "here", Start: &target.Start{Argv: []string{"sleep", "61"}, PidFile: pid}})
	require.NoError(t, err)
	undo := []target.Step{
		{Target: "elsewhere", Command: &target.Command{Argv: []string{"touch", s.file("not here")}}},
		// Fails once, and is tried again.
		{Target: "here", Command: &target.Command{Argv: []string{"sh", "-c", "cat >> " + mark + "; [ $(wc -l < " + mark + ") -gt 1 ] && exit 4"},
			Stdin: "it's undone\n", Fine: []int{4}}},
		{Target: "here", Signal: &target.Signal{PidFile: pid, Program: "sleep", Signal: "KILL"}},
	}
	require.True(t, do.Arms("here"))
	require.NoError(t, do.Arm(t.Context(), "here", "fault-1", time.Second, undo))
	way.cut()
	_, err = do.Do(t.Context(), command("true"))
	require.ErrorContains(t, err, "connection refused")
	require.Eventually(t, func() bool {
		text, _ := os.ReadFile(mark)
		return string(text) == "it's undone\nit's undone\n"
	}, 20*time.Second, 20*time.Millisecond)
	require.NoFileExists(t, pid)
	require.NoFileExists(t, s.file("not here"))

	straight := over(s.config)
	require.Eventually(t, func() bool {
		_, err := os.Stat(filepath.Join(c.RunDir, "undo-fault-1.fired"))
		return err == nil
	}, 10*time.Second, 10*time.Millisecond)
	fired, err := straight.Disarm(t.Context(), "here", "fault-1")
	require.NoError(t, err)
	require.True(t, fired)
	fired, err = straight.Disarm(t.Context(), "here", "fault-1")
	require.NoError(t, err)
	require.False(t, fired, "there is nothing left")
	left, err := filepath.Glob(filepath.Join(c.RunDir, "undo-*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestDisarmedUndo(t *testing.T) {
	s := startSSHD(t)
	do := over(s.config)
	mark := s.file("mark")
	undo := []target.Step{{Target: "here", Command: &target.Command{Argv: []string{"touch", mark}}}}
	require.NoError(t, do.Arm(t.Context(), "here", "fault-1", 2*time.Second, undo))
	armed, err := os.ReadFile(filepath.Join(s.config.RunDir, "undo-fault-1.armed"))
	require.NoError(t, err)
	var who int
	_, err = fmt.Sscanf(string(armed), "process %d", &who)
	require.NoError(t, err)
	fired, err := do.Disarm(t.Context(), "here", "fault-1")
	require.NoError(t, err)
	require.False(t, fired)
	require.Eventually(t, func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/%d", who))
		return os.IsNotExist(err)
	}, 5*time.Second, 10*time.Millisecond)
	time.Sleep(2500 * time.Millisecond) // the time at which it would have come
	require.NoFileExists(t, mark)
}
