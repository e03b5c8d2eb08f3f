package undo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// guard is a run's watchdog as its runner sees it.
type guard struct {
	command []string
	run     string
	logFile string
	beat    time.Duration
	log     *slog.Logger
	scope   bool // in a scope of systemd's

	start  sync.Once
	stop   chan struct{}
	ended  chan struct{}
	mu     sync.Mutex
	pipe   *os.File      // the runner's end; nil: there is no watchdog
	up     chan struct{} // closed while there is one
	failed error         // why there is none
	deaths int           // of watchdogs that were at work
}

const (
	defaultBeat = 5 * time.Second
	// readyTime is how long a watchdog may take to read its configuration and begin.
	readyTime = 15 * time.Second
	// endTime is how long one may take that has nothing left to do.
	endTime = 10 * time.Second
)

func newGuard(o Options, j journal) *guard {
	_, err := os.Stat("/run/systemd/system") // sd_booted(3)
	return &guard{
		command: o.Watchdog, run: filepath.Base(j.dir), logFile: j.path(watchdogLog), beat: o.beat, log: o.Log, scope: err == nil,
		stop: make(chan struct{}), ended: make(chan struct{}), up: make(chan struct{}),
	}
}

// ready waits until there is a watchdog; the first call starts it.
func (g *guard) ready(ctx context.Context) error {
	g.start.Do(func() { go g.loop() })
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	g.mu.Lock()
	up := g.up
	g.mu.Unlock()
	select {
	case <-up:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failed != nil {
		return fmt.Errorf("no fault is injected without a watchdog: %w (see %s)", g.failed, g.logFile)
	}
	return fmt.Errorf("no fault is injected without a watchdog, which does not begin: %w (see %s)", context.Cause(ctx), g.logFile)
}

// loop starts the watchdog as often as it dies.
func (g *guard) loop() {
	defer close(g.ended)
	for attempts := 0; ; attempts++ {
		cmd, pipe, err := g.begin()
		worked := err == nil
		if worked {
			attempts = 0
			g.serve(cmd, pipe)
			err = errors.New("the watchdog died, and is being started again")
		} else if g.scope { // not permitted, it may be
			g.log.Warn("starting the watchdog in a scope of systemd's; it goes without", "error", err)
			g.scope = false
			continue
		}
		select {
		case <-g.stop:
			return
		default:
		}
		g.log.Warn("the run's watchdog", "error", err)
		g.mu.Lock()
		g.failed = err
		if worked {
			g.deaths++
		}
		g.mu.Unlock()
		select {
		case <-g.stop:
			return
		case <-time.After(backoff(attempts) / 4):
		}
	}
}

// begin starts a watchdog and waits until it is at work. The pipe is its standard input: it ends with this process.
func (g *guard) begin() (cmd *exec.Cmd, pipe *os.File, err error) {
	fail := func(err error) (*exec.Cmd, *os.File, error) {
		return nil, nil, fmt.Errorf("starting the watchdog: %w", err)
	}
	log, err := os.OpenFile(g.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fail(err)
	}
	defer log.Close()
	in, pipe, err := os.Pipe()
	if err != nil {
		return fail(err)
	}
	defer in.Close()
	said, out, err := os.Pipe()
	if err != nil {
		return fail(errors.Join(err, pipe.Close()))
	}
	defer said.Close()
	argv := g.command
	if g.scope {
		argv = append(scope(g.run), argv...)
	}
	cmd = exec.Command(argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Dir = in, out, log, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	_ = out.Close()
	if err != nil {
		return fail(errors.Join(err, pipe.Close()))
	}
	_ = said.SetReadDeadline(time.Now().Add(readyTime))
	begun := make(chan struct{})
	go func() {
		select {
		case <-g.stop:
			_ = said.SetReadDeadline(time.Now())
		case <-begun:
		}
	}()
	_, err = io.ReadFull(said, make([]byte, 1))
	close(begun)
	if err != nil {
		_ = cmd.Process.Kill()
		_ = pipe.Close()
		return fail(fmt.Errorf("it did not begin: %w", errors.Join(err, cmd.Wait())))
	}
	return cmd, pipe, nil
}

// scope is systemd's command for a scope of the watchdog's own, so that it is not stopped with the service that the runner is.
func scope(run string) []string {
	argv := []string{"systemd-run", "--scope", "--quiet", "--collect", fmt.Sprintf("--unit=deskstorm-watchdog-%s-%d", run, time.Now().UnixNano())}
	if os.Geteuid() != 0 {
		argv = append(argv, "--user")
	}
	return append(argv, "--")
}

// serve beats for a watchdog until it ends.
func (g *guard) serve(cmd *exec.Cmd, pipe *os.File) {
	g.mu.Lock()
	g.pipe, g.failed = pipe, nil
	close(g.up)
	g.mu.Unlock()
	died := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(died)
	}()
	tick := time.NewTicker(g.beat)
	defer tick.Stop()
	stop := g.stop
	for {
		select {
		case <-tick.C:
			g.poke()
			continue
		case <-stop:
			g.mu.Lock()
			_ = pipe.Close()
			g.pipe = nil
			g.mu.Unlock()
			stop = nil
			continue
		case <-died:
		}
		g.mu.Lock()
		if g.pipe != nil {
			_ = g.pipe.Close()
			g.pipe = nil
		}
		g.up = make(chan struct{})
		g.mu.Unlock()
		return
	}
}

// poke tells the watchdog that the runner lives, and that the journal may have something new.
func (g *guard) poke() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pipe == nil {
		return
	}
	_ = g.pipe.SetWriteDeadline(time.Now().Add(time.Second)) // a watchdog that is stopped does not stop the runner
	_, _ = g.pipe.Write([]byte{'.'})
}

// close lets the watchdog go, and waits for its end if it has nothing left to do.
func (g *guard) close(wait bool) {
	close(g.stop)
	g.start.Do(func() { close(g.ended) }) // it never began
	if !wait {
		return
	}
	select {
	case <-g.ended:
	case <-time.After(endTime):
		g.log.Warn("the watchdog takes long to end")
	}
}
