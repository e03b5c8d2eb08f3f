// Package sshdtest gives tests a real SSH server, and a way to it that can be cut.
package sshdtest

import (
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
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	"github.com/deskstorm/deskstorm/runner/target"
)

// Server is a real sshd of the test's own, on this machine's loopback.
type Server struct {
	Dir     string
	Address string
	Config  target.SSH // reaches it, with all its host keys known

	keys map[string]ssh.PublicKey // host keys by kind
}

const sshd = "/usr/sbin/sshd"

// Start starts a server with host keys of the kinds rsa and ed25519, which ends with the test. The files identity and, with the passphrase
// "open sesame", identity_encrypted are of who may log in as root. Without sshd or root it skips the test, but not in continuous integration.
func Start(t *testing.T) *Server {
	t.Helper()
	qemutest.RequireProgram(t, sshd, "openssh-server")
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" || os.Getenv("DESKSTORM_REQUIRE_PROGRAMS") == "1" {
			t.Fatal("sshd needs root; run the test as root")
		}
		t.Skip("sshd needs root")
	}
	s := &Server{Dir: t.TempDir(), keys: map[string]ssh.PublicKey{}}
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
	require.NoError(t, os.WriteFile(s.File("authorized_keys"), ssh.MarshalAuthorizedKey(public), 0o600))

	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.Address = free.Addr().String()
	require.NoError(t, free.Close())
	_, port, err := net.SplitHostPort(s.Address)
	require.NoError(t, err)
	config := fmt.Sprintf("ListenAddress 127.0.0.1:%s\nHostKey %s\nHostKey %s\nPidFile none\nUsePAM no\nStrictModes no\n"+
		"AuthorizedKeysFile %s\nPasswordAuthentication no\nPermitRootLogin yes\nPrintMotd no\n",
		port, s.File("host_rsa"), s.File("host_ed25519"), s.File("authorized_keys"))
	require.NoError(t, os.WriteFile(s.File("sshd_config"), []byte(config), 0o600))
	require.NoError(t, os.MkdirAll("/run/sshd", 0o755)) // sshd insists on it
	p, err := child.Start(exec.Command(sshd, "-D", "-e", "-f", s.File("sshd_config")))
	require.NoError(t, err)
	t.Cleanup(p.Kill)
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", s.Address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, 10*time.Second, 10*time.Millisecond, "%s", p.Said)
	s.Config = target.SSH{
		Machine: target.Machine{RunDir: s.File("run"), Step: 20 * time.Second},
		Address: s.Address, User: "root", Identity: s.File("identity"), KnownHosts: s.Known(t, s.Address, "rsa", "ed25519"), Timeout: 10 * time.Second,
	}
	return s
}

// File is the path of one of the server's files.
func (s *Server) File(name string) string { return filepath.Join(s.Dir, name) }

func (s *Server) write(t *testing.T, name string, key any, passphrase string) ssh.PublicKey {
	t.Helper()
	var block *pem.Block
	var err error
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(key, "")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(passphrase))
	}
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(s.File(name), pem.EncodeToMemory(block), 0o600))
	signer, err := ssh.NewSignerFromKey(key)
	require.NoError(t, err)
	return signer.PublicKey()
}

// Known writes a file of known hosts that has the server's keys of these kinds, at an address.
func (s *Server) Known(t *testing.T, address string, kinds ...string) string {
	t.Helper()
	text := ""
	for _, kind := range kinds {
		text += knownhosts.Line([]string{address}, s.keys[kind]) + "\n"
	}
	f, err := os.CreateTemp(s.Dir, "known_hosts")
	require.NoError(t, err)
	_, err = f.WriteString(text)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	return f.Name()
}

// Cable is a way to a server that can be cut.
type Cable struct {
	Address  string
	listener net.Listener
	mu       sync.Mutex
	conns    []net.Conn
}

// Lay lays a cable to an address.
func Lay(t *testing.T, to string) *Cable {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &Cable{Address: l.Addr().String(), listener: l}
	t.Cleanup(c.Cut)
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

// Cut ends all connections, and there are no new ones.
func (c *Cable) Cut() {
	_ = c.listener.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}
