package engine

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/deskstorm/deskstorm/internal/child"
	"github.com/deskstorm/deskstorm/runner/experiment"
)

// leftBehind is how long the output of a process that was killed is waited for. Processes that left its group may hold it open.
const leftBehind = 2 * time.Second

// process does what an activity of the provider process asks for. Its output has status, stdout and stderr. The process and all
// of its group are killed when its time is over or ctx ends.
func (r *run) process(ctx context.Context, p *experiment.Process, arguments any) (any, error) {
	path, err := exec.LookPath(p.Path)
	if err != nil {
		return nil, fmt.Errorf("there is no program %s that may be run", p.Path)
	}
	if !r.values.Empty() {
		arguments = r.values.Substitute(arguments)
	}
	argv := vector(path, arguments)
	cmd := exec.Command(argv[0], argv[1:]...)
	var stdout, stderr output
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// A program of an experiment's does not go on when nobody is left who would undo what it did.
	started, err := child.Start(cmd)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", p.Path, err)
	}
	var late <-chan time.Time
	if p.Timeout > 0 {
		timer := time.NewTimer(p.Timeout)
		defer timer.Stop()
		late = timer.C
	}
	kill := func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		select {
		case <-started.Done:
		case <-time.After(leftBehind):
		}
	}
	select {
	case <-started.Done:
		err = started.Err
	case <-late:
		kill()
		return nil, failedf("process activity took too long to complete")
	case <-ctx.Done():
		kill()
		return nil, fmt.Errorf("%s was ended: %w", p.Path, context.Cause(ctx))
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return nil, fmt.Errorf("waiting for %s: %w", p.Path, err)
	}
	if stdout.over() || stderr.over() {
		return nil, failedf("%s wrote more than %d bytes", p.Path, maxOutput)
	}
	code := int64(cmd.ProcessState.ExitCode())
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		code = -int64(status.Signal()) // as Python has it
	}
	return map[string]any{"status": code, "stdout": stdout.text(), "stderr": stderr.text()}, nil
}

// vector makes an argument vector as the toolkit does: a text is read by a shell, and what is empty is left out of a list.
func vector(path string, arguments any) []string {
	argv := []string{path}
	switch a := arguments.(type) {
	case string:
		return []string{"/bin/sh", "-c", path + " " + a}
	case []any:
		for _, value := range a {
			if value != nil && value != "" {
				argv = append(argv, experiment.Text(value))
			}
		}
	}
	return argv
}

// output keeps the beginning of what a process writes. The process is never stopped by it.
type output struct {
	mutex sync.Mutex
	data  []byte
}

func (o *output) Write(b []byte) (int, error) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.data = append(o.data, b[:min(len(b), maxOutput+1-len(o.data))]...)
	return len(b), nil
}

func (o *output) over() bool {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return len(o.data) > maxOutput
}

func (o *output) text() string {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return decode(o.data, "")
}
