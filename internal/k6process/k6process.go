// Package k6process runs k6 as a child that dies with this program, and reads the aggregates that its output vdi writes.
package k6process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/deskstorm/deskstorm/internal/child"
	"github.com/deskstorm/deskstorm/results"
)

// Config says how to run k6.
type Config struct {
	Command []string // k6's program and its first arguments: deskstorm and "k6"
	Args    []string // more of `k6 run`
	Script  Script
	Env     []string      // see Environment
	Window  time.Duration // of the results; 0: that of the output vdi, 10 s
	Grace   time.Duration // between SIGINT and SIGKILL
}

// Script is what k6 runs.
type Script struct {
	Path   string // empty: Source
	Source []byte // given to k6 on its standard input, as a script that is in no file
	Dir    string // where relative paths of such a script begin; empty: in this program's folder
}

// apply has a command of k6's read the script.
func (s Script) apply(cmd *exec.Cmd) {
	cmd.Dir = s.Dir
	if s.Path != "" {
		cmd.Args = append(cmd.Args, s.Path)
		return
	}
	cmd.Args = append(cmd.Args, "-")
	cmd.Stdin = bytes.NewReader(s.Source)
}

// Process is a k6 that runs.
type Process struct {
	// Results are what it measured, closed after the last. An error is the last: what comes after it is thrown away.
	Results <-chan Result
	process *child.Process
	stop    context.CancelFunc
}

// Result is an aggregate, or why there is none, which is then a *results.LineError.
type Result struct {
	*results.Aggregate
	Err error
}

// Exit is how a k6 ended, and what it took.
type Exit struct {
	Code   int            // k6's, see Meaning; -1: a signal ended it
	Signal syscall.Signal // that ended it; 0: none
	Said   string         // the end of what it wrote to standard error
	CPU    time.Duration  // of user and system
	MaxRSS int64          // the most memory that it held, in bytes
}

// Start starts k6. The end of ctx stops it: by SIGINT, at which scripts log out and outputs write what is left, and when the grace is
// over by SIGKILL.
func Start(ctx context.Context, c Config) (*Process, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("starting k6: %w", err)
	}
	defer writer.Close() // k6's copy must be the last one, for its end to be seen
	ctx, stop := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, c.Command[0], slices.Concat(c.Command[1:], []string{"run", "--quiet", "--no-color",
		"--summary-mode=disabled", "--no-usage-report", "--include-system-env-vars", "--out", "vdi=fd:3"}, c.Args)...)
	c.Script.apply(cmd)
	cmd.ExtraFiles = []*os.File{writer} // descriptor 3
	cmd.Env = c.Env
	if c.Window > 0 {
		cmd.Env = append(slices.Clone(c.Env), "K6_VDI_WINDOW="+c.Window.String())
	}
	// In a process group of its own, a terminal's Ctrl-C does not reach k6 beside this SIGINT: it takes a second one as
	// "at once".
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = c.Grace
	process, err := child.Start(cmd)
	if err != nil {
		stop()
		return nil, errors.Join(fmt.Errorf("starting k6: %w", err), reader.Close())
	}
	return &Process{Results: read(reader), process: process, stop: stop}, nil
}

// read reads results to their end and closes r.
func read(r io.ReadCloser) <-chan Result {
	all := make(chan Result, 64)
	go func() {
		defer close(all)
		defer r.Close()
		decoder := results.NewDecoder(r)
		for {
			a, err := decoder.Decode()
			if errors.Is(err, io.EOF) {
				return
			}
			all <- Result{a, err}
			if err != nil {
				_, _ = io.Copy(io.Discard, r) // nobody is to block on the pipe
				return
			}
		}
	}()
	return all
}

// Stop stops it, as the end of the context does, and does not wait.
func (p *Process) Stop() { p.stop() }

// Wait returns how it ended. Its Results must be read to their end by somebody: until then it may block.
func (p *Process) Wait() Exit {
	<-p.process.Done
	p.stop()
	state := p.process.ProcessState
	e := Exit{Code: state.ExitCode(), Said: p.process.Said.String(), CPU: state.UserTime() + state.SystemTime()}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		e.Signal = status.Signal()
	}
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
		e.MaxRSS = usage.Maxrss * 1024 // in KiB on Linux, getrusage(2)
	}
	return e
}

// Err is nil if k6 ended well, and else says how it ended.
func (e Exit) Err() error {
	if e.Code == 0 {
		return nil
	}
	text := "k6 ended with exit status " + fmt.Sprint(e.Code)
	if e.Signal != 0 {
		text = "k6 was ended by the signal " + e.Signal.String()
	} else if meaning := Meaning(e.Code); meaning != "" {
		text += " (" + meaning + ")"
	}
	return errors.New(text)
}

// scriptVariables are those of the shipped scripts, after DESKSTORM_.
func scriptVariables() []string {
	return []string{"BROKER", "BROKER_CA", "CA", "DESKTOPS", "DOMAIN", "DURATION", "HOLD", "LOGIN_P95", "MAX_FAILED", "PART", "PASSWORD",
		"PATH", "PROFILE", "RAMP", "SEAT", "SEED", "SITES", "TICKET", "USER", "USERS", "WINDOW"}
}

// Environment leaves out of an environment what would change k6's options (K6_...) or what a shipped script is told
// (DESKSTORM_...), and, unless the cloud is to be that of the environment, OpenStack's OS_... It adds variables, NAME=value.
func Environment(environment []string, cloud bool, variables ...string) []string {
	scripts := scriptVariables()
	kept := slices.DeleteFunc(slices.Clone(environment), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		of, ours := strings.CutPrefix(name, "DESKSTORM_")
		return ours && slices.Contains(scripts, of) || strings.HasPrefix(name, "K6_") || !cloud && strings.HasPrefix(name, "OS_")
	})
	return append(kept, variables...)
}
