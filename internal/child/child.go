// Package child runs programs that must not outlive this one.
package child

import (
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
)

// Process is a program that was started.
type Process struct {
	*exec.Cmd
	// Said is the end of what it wrote to standard error and to standard
	// output, of each if the command had none.
	Said *Tail
	// Done is closed when it has ended and been reaped; Err is then how.
	Done <-chan struct{}
	Err  error
}

// Start starts cmd in a process group of its own, so that a terminal's Ctrl-C
// reaches only this program, and has the kernel kill it if this program dies.
func Start(cmd *exec.Cmd) (*Process, error) {
	done := make(chan struct{})
	p := &Process{Cmd: cmd, Said: &Tail{}, Done: done}
	if cmd.Stdout == nil {
		cmd.Stdout = p.Said
	}
	if cmd.Stderr == nil {
		cmd.Stderr = p.Said
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid, cmd.SysProcAttr.Pdeathsig = true, syscall.SIGKILL
	started := make(chan error, 1)
	go func() {
		// The kernel sends Pdeathsig when the thread that started the child
		// ends (prctl(2)), and the Go runtime ends threads when it likes. This
		// one stays as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.Err = cmd.Wait()
			close(done)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// Kill ends the process with SIGKILL and waits until it is reaped.
func (p *Process) Kill() {
	_ = p.Process.Kill() // fails only when it has ended
	<-p.Done
}

// Tail is a writer that keeps the last 4 KiB.
type Tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailSize = 4096

// Write never fails.
func (t *Tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	t.buf = t.buf[max(0, len(t.buf)-tailSize):]
	return len(p), nil
}

// String is what was kept, without white space around it.
func (t *Tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.buf))
}
