// Package netns makes network namespaces: hosts of a network of their own, inside this one, for labs and tests. They need root
// (CAP_SYS_ADMIN and CAP_NET_ADMIN) and leave nothing behind that Close does not remove.
package netns

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// folder is where iproute2's ip netns looks for namespaces too (ip-netns(8)).
const folder = "/run/netns"

// Namespace is a network namespace that New made. Its methods may be called by many goroutines at once.
type Namespace struct{ name string }

// counter tells this process's namespaces apart.
var counter atomic.Uint32

// New makes a namespace whose loopback is up and that has no other link. Its name is ds-LABEL-PID-NUMBER, so that programs that
// run at the same time, and what a killed one left behind, are never in each other's way.
func New(label string) (*Namespace, error) {
	for {
		n := &Namespace{name: fmt.Sprintf("ds-%s-%d-%d", label, os.Getpid(), counter.Add(1))}
		err := inThread(func() error {
			handle, err := netns.NewNamed(n.name)
			if err != nil {
				return err
			}
			return handle.Close()
		})
		switch {
		case errors.Is(err, fs.ErrExist):
			continue // left behind by a process that had this one's number
		case err != nil:
			_ = os.Remove(n.Path()) // there if the file was made and mounting failed
			return nil, fmt.Errorf("making the network namespace %s (it needs root): %w", n.name, err)
		}
		if err := n.SetUp("lo"); err != nil {
			return nil, errors.Join(err, n.Close())
		}
		return n, nil
	}
}

// Name is what ip netns calls the namespace.
func (n *Namespace) Name() string { return n.name }

// Path is the file that stands for the namespace.
func (n *Namespace) Path() string { return filepath.Join(folder, n.name) }

// Close removes the namespace's name. Its links go with it when the last process and socket inside has ended. A second call
// does nothing.
func (n *Namespace) Close() error {
	err := netns.DeleteNamed(n.name)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("removing the network namespace %s: %w", n.name, err)
}

// Do runs f inside the namespace: sockets that f makes belong to it ever after. It is another goroutine that runs f, and the
// goroutines that f starts are outside.
func (n *Namespace) Do(f func() error) error {
	return inThread(func() error {
		handle, err := netns.GetFromPath(n.Path())
		if err != nil {
			return fmt.Errorf("opening the network namespace %s: %w", n.name, err)
		}
		defer handle.Close()
		if err := netns.Set(handle); err != nil {
			return fmt.Errorf("entering the network namespace %s: %w", n.name, err)
		}
		return f()
	})
}

// Command is exec.CommandContext for a program inside the namespace. Its process is the program's own: nsenter(1) becomes it.
// The program sees the links outside where it looks for them in /sys.
func (n *Namespace) Command(ctx context.Context, program string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "nsenter", append([]string{"--net=" + n.Path(), "--", program}, args...)...)
}

// inThread runs f in a thread that may change its namespace, and changes it back.
func inThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		err := errors.New("the function ended its goroutine") // as testing's FailNow does
		defer func() { done <- err }()
		runtime.LockOSThread()
		before, errBefore := netns.Get()
		if errBefore != nil {
			err = fmt.Errorf("opening the thread's network namespace: %w", errBefore)
			return
		}
		defer func() {
			// A thread that stays in the wrong namespace is not given back: it ends with this goroutine.
			if unix.Setns(int(before), unix.CLONE_NEWNET) == nil {
				runtime.UnlockOSThread()
			}
			before.Close()
		}()
		err = f()
	}()
	return <-done
}
