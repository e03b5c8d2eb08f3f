package target

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// remote runs scripts on another machine over SSH. Each has a connection of its own: faults cut connections, and one that was kept
// would be found out by waiting.
type remote struct{ config SSH }

func (r *remote) run(ctx context.Context, script, stdin string) (string, int, error) {
	client, err := r.dial(ctx)
	if err != nil {
		return "", 0, fmt.Errorf("logging in to %s at %s: %w", r.config.User, r.config.Address, err)
	}
	defer client.Close()
	opened := context.AfterFunc(ctx, func() { _ = client.Close() })
	session, err := client.NewSession()
	opened()
	if err != nil {
		return "", 0, fmt.Errorf("opening a session at %s: %w", r.config.Address, err)
	}
	output := &announced{}
	session.Stdin, session.Stdout, session.Stderr = strings.NewReader(stdin), output, output
	stop := context.AfterFunc(ctx, func() {
		r.kill(context.WithoutCancel(ctx), output.group())
		_ = client.Close()
	})
	defer stop()
	err = session.Run(r.command(ctx, announce+script))
	exit, ended := errors.AsType[*ssh.ExitError](err)
	switch {
	case err == nil:
		return output.String(), 0, nil
	case ended && exit.Signal() == "":
		return output.String(), exit.ExitStatus(), nil
	}
	return output.String(), 0, fmt.Errorf("it was not run to its end at %s: %w", r.config.Address, err)
}

// command is a script as a command for the user's shell. It ends with ctx's time even if nobody is there any more to end it.
func (r *remote) command(ctx context.Context, script string) string {
	limit := r.config.Step
	if end, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(end))
	}
	seconds := strconv.Itoa(int(max(limit, 0)/time.Second) + 3) // later than ctx, which says why
	command := "sh -c " + quoteAll([]string{
		`command -v timeout >/dev/null && exec timeout -k 1 "$1" sh -c "$0"; exec sh -c "$0"`, remotePath + script, seconds,
	})
	if r.config.Sudo {
		command = "sudo -n -- " + command
	}
	return command
}

// kill ends a group of processes there. sshd itself passes signals on only to users other than root.
func (r *remote) kill(ctx context.Context, group string) {
	if number, err := strconv.Atoi(group); err != nil || number < 2 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, killTime)
	defer cancel()
	client, err := r.dial(ctx)
	if err != nil {
		return // it ends by itself, with its time
	}
	defer client.Close()
	stop := context.AfterFunc(ctx, func() { _ = client.Close() })
	defer stop()
	session, err := client.NewSession()
	if err == nil {
		_ = session.Run(r.command(ctx, "kill -s KILL -- -"+group)) // fails if it has just ended
	}
}

// announce has a script say its process group first (field 5 of proc_pid_stat(5)).
const announce = `stat=$(cat /proc/$$/stat); echo "${stat##*) }" | cut -d' ' -f3
`

// announced is the output of a script that announces itself.
type announced struct {
	tail
	mu    sync.Mutex
	first []byte // line
	whole bool
}

func (a *announced) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	rest := p
	if !a.whole {
		var line []byte
		line, rest, a.whole = bytes.Cut(p, []byte("\n"))
		a.first = append(a.first, line...)
	}
	_, _ = a.tail.Write(rest)
	return len(p), nil
}

func (a *announced) group() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return string(a.first)
}

// killTime is how long killing a command may take, before its connection is closed.
const killTime = 5 * time.Second

// remotePath finds what is for administrators, which is often not in the PATH of a session without a terminal.
const remotePath = `PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin LC_ALL=C; export PATH LC_ALL
`

func (r *remote) dial(ctx context.Context) (*ssh.Client, error) {
	config, err := r.client()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, r.config.Timeout, fmt.Errorf("there was no answer within %s", r.config.Timeout))
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", r.config.Address)
	if err != nil {
		return nil, orCause(ctx, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	made, channels, requests, err := ssh.NewClientConn(conn, r.config.Address, config)
	if err != nil {
		_ = conn.Close()
		return nil, orCause(ctx, r.explain(err))
	}
	return ssh.NewClient(made, channels, requests), nil
}

func orCause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// explain says what to do about a host key.
func (r *remote) explain(err error) error {
	key, ok := errors.AsType[*knownhosts.KeyError](err)
	switch {
	case ok && len(key.Want) == 0:
		return fmt.Errorf("its host key is not in %s: add it there once you have made sure that it is the machine's", r.config.KnownHosts)
	case ok:
		return fmt.Errorf("its host key is another than the one in %s: either the machine has a new one, or this is not the machine",
			r.config.KnownHosts)
	}
	if revoked, ok := errors.AsType[*knownhosts.RevokedError](err); ok {
		return fmt.Errorf("its host key is revoked in %s:%d", revoked.Revoked.Filename, revoked.Revoked.Line)
	}
	return err
}

func (r *remote) client() (*ssh.ClientConfig, error) {
	signer, err := r.signer()
	if err != nil {
		return nil, err
	}
	check, err := knownhosts.New(r.config.KnownHosts)
	if err != nil {
		return nil, fmt.Errorf("reading the known hosts: %w", err)
	}
	return &ssh.ClientConfig{
		User: r.config.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: check,
		HostKeyAlgorithms: algorithms(check, r.config.Address), Timeout: r.config.Timeout,
	}, nil
}

func (r *remote) signer() (ssh.Signer, error) {
	text, err := os.ReadFile(r.config.Identity)
	if err != nil {
		return nil, fmt.Errorf("reading the identity: %w", err)
	}
	if r.config.Passphrase.Given() {
		passphrase, err := r.config.Passphrase.Read()
		if err != nil {
			return nil, err
		}
		signer, err := ssh.ParsePrivateKeyWithPassphrase(text, []byte(passphrase))
		if err != nil {
			return nil, fmt.Errorf("reading the identity %s: %w", r.config.Identity, err)
		}
		return signer, nil
	}
	signer, err := ssh.ParsePrivateKey(text)
	if _, encrypted := errors.AsType[*ssh.PassphraseMissingError](err); encrypted {
		return nil, fmt.Errorf("reading the identity %s: it needs a passphrase; name where that is", r.config.Identity)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the identity %s: %w", r.config.Identity, err)
	}
	return signer, nil
}

// algorithms are those of the host keys that are known: a server that has keys of several kinds shows the one that is asked for first,
// and one of another kind than the known one would be taken for a stranger's. Nil: none is known.
func algorithms(check ssh.HostKeyCallback, address string) []string {
	key, ok := errors.AsType[*knownhosts.KeyError](check(address, &net.TCPAddr{IP: net.IPv4zero}, noKey{}))
	if !ok {
		return nil
	}
	var all []string
	for _, known := range key.Want {
		switch kind := known.Key.Type(); kind {
		case ssh.KeyAlgoRSA:
			all = append(all, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		default:
			all = append(all, kind)
		}
	}
	return all
}

// noKey is a host key that nobody has.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return []byte("none") }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("it is no key") }
