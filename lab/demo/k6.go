package demo

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

// stopTimeout is what k6 gets between its SIGINT and its SIGKILL.
const stopTimeout = 10 * time.Second

// k6 is the process with the thin clients.
type k6 struct {
	lines <-chan line // its results, closed when it has ended them
	stop  context.CancelFunc

	process *child.Process
}

// startK6 starts k6 with a script on its standard input, variables for the script, and its results in a pipe. The end of ctx
// stops it by SIGINT.
func startK6(ctx context.Context, command []string, script []byte, variables []string) (*k6, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("starting k6: %w", err)
	}
	defer writer.Close() // k6's copy must be the last one, for its end to be seen
	ctx, stop := context.WithCancel(ctx)
	args := append(command[1:len(command):len(command)], "run", "--quiet", "--no-color", "--summary-mode=disabled",
		"--no-thresholds", // what is broken on purpose would break them
		"--no-usage-report", "--include-system-env-vars", "--out", "vdi=fd:3", "-")
	cmd := exec.CommandContext(ctx, command[0], args...)
	cmd.Stdin = bytes.NewReader(script)
	cmd.ExtraFiles = []*os.File{writer} // descriptor 3
	cmd.Env = append(append(withoutK6(os.Environ()), "K6_VDI_WINDOW="+window.String()), variables...)
	// In a process group of its own, a terminal's Ctrl-C does not reach k6 beside this SIGINT: it takes a second one as
	// "at once".
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = stopTimeout
	process, err := child.Start(cmd)
	if err != nil {
		stop()
		return nil, errors.Join(fmt.Errorf("starting k6: %w", err), reader.Close())
	}
	return &k6{lines: readLines(reader), stop: stop, process: process}, nil
}

// window is how fine the picture is in time: what happens is seen two or three windows later.
const window = 500 * time.Millisecond

// withoutK6 leaves out what would change the script's options, or point it at another cloud.
func withoutK6(environment []string) []string {
	scripts := []string{"BROKER", "BROKER_CA", "DOMAIN", "DURATION", "FIRST", "LOGIN_P95", "MAX_FAILED", "PASSWORD", "PATH", "PROFILE", "SEAT", "SEED", "SITES", "USER", "USERS", "WINDOW"}
	return slices.DeleteFunc(slices.Clone(environment), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		of, ours := strings.CutPrefix(name, "DESKSTORM_")
		return ours && slices.Contains(scripts, of) || strings.HasPrefix(name, "K6_") || strings.HasPrefix(name, "OS_")
	})
}

// readLines reads results to their end and closes r. An error is the last line, except that of a process that was killed
// in the middle of one.
func readLines(r io.ReadCloser) <-chan line {
	lines := make(chan line, 64)
	go func() {
		defer close(lines)
		defer r.Close()
		decoder := results.NewDecoder(r)
		for {
			a, err := decoder.Decode()
			if errors.Is(err, io.EOF) {
				return
			}
			lines <- line{a, err}
			if err != nil {
				_, _ = io.Copy(io.Discard, r) // nobody is to block on the pipe
				return
			}
		}
	}()
	return lines
}

// wait returns how k6 ended.
func (k *k6) wait() error {
	<-k.process.Done
	k.stop()
	if k.process.Err != nil {
		return fmt.Errorf("k6 ended with %w", k.process.Err)
	}
	return nil
}

// explain ends k6 and returns err with what k6 wrote last.
func (k *k6) explain(err error) error {
	k.stop()
	for range k.lines { // so that it does not block on the pipe
	}
	<-k.process.Done
	if said := k.process.Said.String(); said != "" {
		return fmt.Errorf("%w; k6 wrote:\n%s", err, said)
	}
	return err
}

// usage is what the demo has cost so far, to be called when k6 has ended.
func (k *k6) usage() Harness {
	h := Harness{K6CPUSeconds: (k.process.ProcessState.UserTime() + k.process.ProcessState.SystemTime()).Seconds()}
	if usage, ok := k.process.ProcessState.SysUsage().(*syscall.Rusage); ok {
		h.K6MemoryBytes = usage.Maxrss * 1024 // in KiB on Linux, getrusage(2)
	}
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err == nil {
		h.CloudCPUSeconds = time.Duration(own.Utime.Nano() + own.Stime.Nano()).Seconds()
	}
	return h
}
