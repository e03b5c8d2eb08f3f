package qemu

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// errPortTaken says that another program listens on a port QEMU was told to use.
var errPortTaken = errors.New("a port was taken by another program")

// process is a QEMU that was started.
type process struct {
	cmd    *exec.Cmd
	stderr tail
	done   chan struct{} // closed when the process has ended and been reaped
}

// startProcess starts cmd in a process group of its own, to be killed by the kernel when this process dies.
func startProcess(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, done: make(chan struct{})}
	cmd.Stderr = &p.stderr
	cmd.WaitDelay = time.Second // for a child of QEMU that keeps stderr open
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go func() {
		// The kernel sends Pdeathsig when the thread that started the child ends (prctl(2)), and the Go runtime ends
		// threads when it likes. This one stays as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended does not matter: what it wrote says why
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// kill ends the process with SIGKILL and waits until it is reaped.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // fails only when it has ended
	<-p.done
}

// explain kills the process and returns err with the end of what it wrote.
func (p *process) explain(err error) error {
	p.kill()
	said := p.stderr.String()
	// spice-server, reds.cpp: "binding socket to HOST:PORT failed".
	if strings.Contains(said, "binding socket to") {
		err = errors.Join(errPortTaken, err)
	}
	if said == "" {
		return err
	}
	return fmt.Errorf("%w; QEMU wrote: %s", err, said)
}

// tail is a writer that keeps the last tailSize bytes.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailSize = 4096

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	t.buf = t.buf[max(0, len(t.buf)-tailSize):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.buf))
}
