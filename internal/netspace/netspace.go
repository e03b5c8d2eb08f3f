// Package netspace makes sockets in another network namespace: a probe's place on a network that this process is not on.
package netspace

import (
	"context"
	"fmt"
	"net"
	"runtime"

	"github.com/vishvananda/netns"
)

// Do runs f in a thread that is in the network namespace of a file, /run/netns/NAME; empty: this process's. Sockets that f makes stay
// there; goroutines that it starts are outside. The thread ends with f and is never used for anything else. It needs CAP_SYS_ADMIN.
func Do(path string, f func() error) error {
	if path == "" {
		return f()
	}
	var err error
	var panicked any
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { panicked = recover() }()
		runtime.LockOSThread() // for good
		err = inThread(path, f)
	}()
	<-done
	if panicked != nil {
		panic(panicked) // where the caller may recover
	}
	return err
}

func inThread(path string, f func() error) error {
	handle, err := netns.GetFromPath(path)
	if err != nil {
		return fmt.Errorf("opening the network namespace %s: %w", path, err)
	}
	defer handle.Close()
	if err := netns.Set(handle); err != nil {
		return fmt.Errorf("entering the network namespace %s (it needs CAP_SYS_ADMIN): %w", path, err)
	}
	return f()
}

// Dialer connects from a namespace. Names are looked up outside it, with this process's name servers.
func Dialer(path string) func(ctx context.Context, network, address string) (net.Conn, error) {
	if path == "" {
		return new(net.Dialer).DialContext
	}
	return func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		if err != nil {
			return nil, err
		}
		for _, ip := range found {
			// An address alone is dialled in the calling goroutine, and so in the thread.
			err = Do(path, func() (err error) {
				conn, err = new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(ip.Unmap().String(), port))
				return err
			})
			if err == nil {
				return conn, nil
			}
		}
		return nil, err
	}
}
