// Package farm has simulated desktops in further processes, for labs with more of them than one process may hold descriptors for: a
// desktop takes a listening socket, and four connections while a thin client is at it, and RLIMIT_NOFILE bounds a process, not a
// machine.
//
// The processes are this program itself, run by a command of it that calls Serve, as many as it takes: one more is started when the
// others are full. They are told what to do over a socket each, and end with it, also if this program is killed. This process keeps
// one descriptor for each of them and none for desktops.
package farm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/spice/screen"
)

// Config says how desktops and processes are.
type Config struct {
	Command []string      // runs this program so that it calls Serve, such as {"/usr/bin/deskstorm", "lab", "screens"}
	Screen  screen.Config // of all desktops; without TLS
	// PerProcess is how many desktops a process has at most: as many as its descriptors allow if 0.
	PerProcess int
}

// Farm is desktops in further processes. It implements sim.Desktops, and what else a sim.Screens can.
type Farm struct {
	config Config

	mu       sync.Mutex
	closed   bool
	children []*child
	desktops map[string]*child // by the server's id
}

// New makes a farm, which Close ends. No process is started before its first desktop is booted.
func New(c Config) (*Farm, error) {
	if len(c.Command) == 0 {
		return nil, errors.New("a farm of desktops needs the command of its processes")
	}
	if c.Screen.TLS != nil {
		return nil, errors.New("desktops in further processes have no TLS: its key would have to be told to them")
	}
	if c.PerProcess == 0 {
		limit, err := RaiseLimit()
		if err != nil {
			return nil, err
		}
		c.PerProcess = Holds(limit, c.Screen)
	}
	if c.PerProcess < 1 {
		return nil, errors.New("the limit of open files is too low for a single desktop: raise it, such as by ulimit -n")
	}
	return &Farm{config: c, desktops: map[string]*child{}}, nil
}

// Boot implements sim.Desktops.
func (f *Farm) Boot(ctx context.Context, serverID string) (sim.Console, error) {
	f.Shutdown(serverID) // one that was killed
	c, err := f.take(ctx, serverID)
	if err != nil {
		return sim.Console{}, fmt.Errorf("booting the screen of server %s: %w", serverID, err)
	}
	var console sim.Console
	if err := c.call(ctx, "Boot", serverID, &console); err != nil {
		f.Shutdown(serverID)
		return sim.Console{}, fmt.Errorf("booting the screen of server %s: %w", serverID, err)
	}
	return console, nil
}

// take gives a desktop its place in a process.
func (f *Farm) take(ctx context.Context, serverID string) (*child, error) {
	f.mu.Lock()
	defer f.mu.Unlock() // also while a process starts: others would need it too
	if f.closed {
		return nil, errors.New("the lab is being closed")
	}
	f.children = slices.DeleteFunc(f.children, func(c *child) bool { return c.ended() })
	for _, c := range f.children {
		if c.desktops < f.config.PerProcess {
			c.desktops++
			f.desktops[serverID] = c
			return c, nil
		}
	}
	c, err := startChild(ctx, f.config)
	if err != nil {
		return nil, err
	}
	c.desktops = 1
	f.children = append(f.children, c)
	f.desktops[serverID] = c
	return c, nil
}

// Shutdown implements sim.Desktops.
func (f *Farm) Shutdown(serverID string) {
	c := f.of(serverID)
	if c == nil {
		return
	}
	_ = c.call(context.Background(), "Shutdown", serverID, nil) // fails only if the process has ended, and the desktop with it
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.desktops[serverID] == c {
		delete(f.desktops, serverID)
		c.desktops--
	}
}

// Kill implements sim.Desktops.
func (f *Farm) Kill(serverID string) bool {
	killed := false
	c := f.of(serverID)
	return c != nil && c.call(context.Background(), "Kill", serverID, &killed) == nil && killed
}

// SetGuestLatency sets how long a desktop takes to answer a key; it tells whether there is such a desktop.
func (f *Farm) SetGuestLatency(serverID string, latency time.Duration) bool {
	found := false
	c := f.of(serverID)
	return c != nil && c.call(context.Background(), "SetGuestLatency", Latency{serverID, latency}, &found) == nil && found
}

func (f *Farm) of(serverID string) *child {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.desktops[serverID]
}

// Processes are the pids of the processes that run.
func (f *Farm) Processes() []int {
	f.mu.Lock()
	defer f.mu.Unlock()
	var pids []int
	for _, c := range f.children {
		if !c.ended() {
			pids = append(pids, c.process.Process.Pid)
		}
	}
	return pids
}

// Close ends all processes and waits for their ends. There are no more desktops.
func (f *Farm) Close() error {
	f.mu.Lock()
	children := f.children
	f.closed, f.children, f.desktops = true, nil, map[string]*child{}
	f.mu.Unlock()
	var closing sync.WaitGroup
	for _, c := range children {
		closing.Go(c.close)
	}
	closing.Wait()
	return nil
}
