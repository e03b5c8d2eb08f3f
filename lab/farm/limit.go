package farm

import (
	"fmt"
	"syscall"

	"github.com/deskstorm/deskstorm/spice/screen"
)

const (
	connections = 4  // of a thin client: main, display, inputs and cursor
	batch       = 64 // sim.Screens begins so many desktops at once, with one timer
	// reserved is for desktops of a batch that are not used yet, and for the process's own files.
	reserved = batch + 64
)

// RaiseLimit raises the limit of open files of this process to the hard one, which needs no rights, and returns it.
func RaiseLimit() (int, error) {
	var limit syscall.Rlimit
	err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	if err == nil && limit.Cur < limit.Max {
		limit.Cur = limit.Max
		err = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	}
	if err != nil {
		return 0, fmt.Errorf("raising the limit of open files: %w", err)
	}
	const enough = 1 << 30 // where there is no limit
	return int(min(limit.Cur, enough)), nil
}

// Holds is how many desktops, each with its thin client, a process with a limit of open files holds beside nothing else.
func Holds(limit int, c screen.Config) int {
	each := 1 + connections
	if c.TLS != nil {
		each++ // a second port
	}
	return max(0, limit-reserved) * batch / (each*batch + 1)
}
