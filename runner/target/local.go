package target

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// local runs scripts on this machine.
type local struct{}

// environment is what programs see of this one's: no secrets.
func environment() []string {
	// Programs that change a machine are often not in a person's PATH.
	return []string{"PATH=" + os.Getenv("PATH") + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin", "HOME=/", "LC_ALL=C"}
}

// run runs the script in a process group of its own, which is killed when ctx ends. The kernel kills the script when this program
// dies: what is undone for it must not be done after that.
func (local) run(ctx context.Context, script, stdin string) (string, int, error) {
	var output tail
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", script)
	cmd.Env, cmd.Dir = environment(), "/"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &output, &output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	// A program that the script left behind may hold its output open.
	cmd.WaitDelay = time.Second
	done := make(chan error)
	go func() {
		// The kernel sends Pdeathsig when the thread that started the child ends (prctl(2)); this one stays as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		done <- cmd.Run()
	}()
	err := <-done
	exit, failed := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil || errors.Is(err, exec.ErrWaitDelay):
		return output.String(), 0, nil
	case failed && exit.Exited():
		return output.String(), exit.ExitCode(), nil
	}
	return output.String(), 0, fmt.Errorf("it was not run to its end: %w", err)
}
