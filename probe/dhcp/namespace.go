package dhcp

import (
	"fmt"
	"runtime"

	"github.com/vishvananda/netns"
)

// inNamespace runs f in a thread that is in the network namespace of a file; empty: this process's. Sockets that f makes stay
// there. The thread ends with f and is never used for anything else.
func inNamespace(path string, f func() error) error {
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
		err = func() error {
			if err := missing([]Capability{SysAdmin}); err != nil {
				return err
			}
			handle, err := netns.GetFromPath(path)
			if err != nil {
				return fmt.Errorf("opening the network namespace %s: %w", path, err)
			}
			defer handle.Close()
			if err := netns.Set(handle); err != nil {
				return fmt.Errorf("entering the network namespace %s: %w", path, err)
			}
			return f()
		}()
	}()
	<-done
	if panicked != nil {
		panic(panicked) // where the caller may recover
	}
	return err
}
