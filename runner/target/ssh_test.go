package target_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/deskstorm/deskstorm/internal/configfile"
	"github.com/deskstorm/deskstorm/runner/target"
	"github.com/deskstorm/deskstorm/runner/target/sshdtest"
)

func over(c target.SSH) *target.Targets { return target.New(target.Config{"here": {SSH: &c}}) }

func TestSSH(t *testing.T) {
	s := sshdtest.Start(t)
	t.Run("command", func(t *testing.T) {
		do := over(s.Config)
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
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second) // with the login
		defer cancel()
		began := time.Now()
		pid := s.File("bounded")
		_, err := over(s.Config).Do(ctx, command("sh", "-c", "echo $$ > "+pid+"; sleep 60"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Less(t, time.Since(began), 20*time.Second)
		require.Eventually(t, func() bool { return !alive(t, pid) }, 10*time.Second, 10*time.Millisecond)
	})
	t.Run("start and signal", func(t *testing.T) {
		do := over(s.Config)
		pid := filepath.Join(s.Config.RunDir, "it.pid")
		_, err := do.Do(t.Context(), target.Step{Target: "here", Start: &target.Start{Argv: []string{"sleep", "60.75"}, PidFile: pid}})
		require.NoError(t, err)
		require.True(t, alive(t, pid), "it outlives the connection")
		_, err = do.Do(t.Context(), target.Step{Target: "here", Signal: &target.Signal{PidFile: pid, Program: "sleep", Signal: "TERM"}})
		require.NoError(t, err)
		require.NoFileExists(t, pid)
	})
	for name, kind := range map[string]string{"only its RSA key is known": "rsa", "only its Ed25519 key is known": "ed25519"} {
		t.Run(name, func(t *testing.T) {
			c := s.Config
			c.KnownHosts = s.Known(t, s.Address, kind)
			_, err := over(c).Do(t.Context(), command("true"))
			require.NoError(t, err)
		})
	}
	for name, test := range map[string]struct {
		change func(*target.SSH)
		err    string
	}{
		"unknown host": {func(c *target.SSH) { c.KnownHosts = s.Known(t, s.Address) }, "its host key is not in "},
		"another host": {func(c *target.SSH) {
			_, other, err := ed25519.GenerateKey(rand.Reader)
			require.NoError(t, err)
			signer, err := ssh.NewSignerFromKey(other)
			require.NoError(t, err)
			c.KnownHosts = s.File("another")
			require.NoError(t, os.WriteFile(c.KnownHosts, []byte(knownhosts.Line([]string{s.Address}, signer.PublicKey())+"\n"), 0o600))
		}, "its host key is another than the one in "},
		"no known_hosts":     {func(c *target.SSH) { c.KnownHosts = s.File("none") }, "reading the known hosts: "},
		"no identity":        {func(c *target.SSH) { c.Identity = s.File("none") }, "reading the identity: "},
		"not an identity":    {func(c *target.SSH) { c.Identity = s.File("sshd_config") }, "reading the identity " + s.File("sshd_config")},
		"wrong identity":     {func(c *target.SSH) { c.Identity = s.File("host_ed25519") }, "unable to authenticate"},
		"needs a passphrase": {func(c *target.SSH) { c.Identity = s.File("identity_encrypted") }, "it needs a passphrase"},
		"nobody there":       {func(c *target.SSH) { c.Address = "127.0.0.1:1" }, "connection refused"},
		"silence":            {func(c *target.SSH) { c.Address = silent(t); c.Timeout = 300 * time.Millisecond }, "there was no answer within 300ms"},
	} {
		t.Run(name, func(t *testing.T) {
			c := s.Config
			test.change(&c)
			_, err := over(c).Do(t.Context(), command("true"))
			require.ErrorContains(t, err, test.err)
			require.ErrorContains(t, err, "logging in to root at 127.0.0.1")
		})
	}
	t.Run("passphrase", func(t *testing.T) {
		t.Setenv("DESKSTORM_TEST_PASSPHRASE", "open sesame")
		c := s.Config
		c.Identity, c.Passphrase = s.File("identity_encrypted"), configfile.Secret{Env: "DESKSTORM_TEST_PASSPHRASE"}
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

// TestArmedUndo: the machine undoes by itself what nobody can reach it for any more.
func TestArmedUndo(t *testing.T) {
	s := sshdtest.Start(t)
	way := sshdtest.Lay(t, s.Address)
	c := s.Config
	c.Address = way.Address
	c.KnownHosts = s.Known(t, c.Address, "ed25519")
	do := over(c)
	pid, mark := filepath.Join(c.RunDir, "it.pid"), s.File("mark")
	_, err := do.Do(t.Context(), target.Step{Target: "here", Start: &target.Start{Argv: []string{"sleep", "61"}, PidFile: pid}})
	require.NoError(t, err)
	undo := []target.Step{
		{Target: "elsewhere", Command: &target.Command{Argv: []string{"touch", s.File("not here")}}},
		// Fails once, and is tried again.
		{Target: "here", Command: &target.Command{Argv: []string{"sh", "-c", "cat >> " + mark + "; [ $(wc -l < " + mark + ") -gt 1 ] && exit 4"},
			Stdin: "it's undone\n", Fine: []int{4}}},
		{Target: "here", Signal: &target.Signal{PidFile: pid, Program: "sleep", Signal: "KILL"}},
	}
	require.True(t, do.Arms("here"))
	require.NoError(t, do.Arm(t.Context(), "here", "fault-1", time.Second, undo))
	way.Cut()
	_, err = do.Do(t.Context(), command("true"))
	require.ErrorContains(t, err, "connection refused")
	require.Eventually(t, func() bool {
		text, _ := os.ReadFile(mark)
		return string(text) == "it's undone\nit's undone\n"
	}, 20*time.Second, 20*time.Millisecond)
	require.NoFileExists(t, pid)
	require.NoFileExists(t, s.File("not here"))

	straight := over(s.Config)
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
	s := sshdtest.Start(t)
	do := over(s.Config)
	mark := s.File("mark")
	undo := []target.Step{{Target: "here", Command: &target.Command{Argv: []string{"touch", mark}}}}
	require.NoError(t, do.Arm(t.Context(), "here", "fault-1", 2*time.Second, undo))
	armed, err := os.ReadFile(filepath.Join(s.Config.RunDir, "undo-fault-1.armed"))
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
