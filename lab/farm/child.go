package farm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	started "github.com/deskstorm/deskstorm/internal/child"
)

// socket is the descriptor over which a process is told what to do: the first of exec.Cmd.ExtraFiles.
const socket = 3

// startTimeout bounds what a process takes to answer.
const startTimeout = 30 * time.Second

// child is a process with desktops.
type child struct {
	process  *started.Process
	client   *rpc.Client
	desktops int // Farm.mu guards it
	closed   sync.Once
}

func startChild(ctx context.Context, c Config) (*child, error) {
	own, its, err := pair()
	if err != nil {
		return nil, fmt.Errorf("making the socket of a process for desktops: %w", err)
	}
	cmd := exec.Command(c.Command[0], c.Command[1:]...)
	cmd.ExtraFiles = []*os.File{its}
	process, err := started.Start(cmd)
	_ = its.Close() // the process's copy must be the last one, for its end to be seen
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting a process for desktops: %w", err), own.Close())
	}
	born := &child{process: process, client: rpc.NewClient(own)}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := born.call(ctx, "Configure", settings(c.Screen), nil); err != nil {
		process.Kill()
		born.close()
		if said := process.Said.String(); said != "" {
			err = fmt.Errorf("%w; it wrote:\n%s", err, said)
		}
		return nil, fmt.Errorf("starting a process for desktops, %q: %w", c.Command, err)
	}
	return born, nil
}

// pair is a connection and the other end of it.
func pair() (own net.Conn, its *os.File, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	file := os.NewFile(uintptr(fds[0]), "desktops")
	defer file.Close()
	its = os.NewFile(uintptr(fds[1]), "desktops")
	if own, err = net.FileConn(file); err != nil {
		return nil, nil, errors.Join(err, its.Close())
	}
	return own, its, nil
}

// call asks the process to do something. answer may be nil.
func (c *child) call(ctx context.Context, method string, argument, answer any) error {
	if answer == nil {
		answer = new(struct{})
	}
	call := c.client.Go("Desktops."+method, argument, answer, make(chan *rpc.Call, 1))
	select {
	case <-call.Done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if call.Error == nil {
		return nil
	}
	if _, answered := call.Error.(rpc.ServerError); answered {
		return call.Error
	}
	if errors.Is(call.Error, rpc.ErrShutdown) || errors.Is(call.Error, io.ErrUnexpectedEOF) {
		return errors.New("the process with the desktop has ended")
	}
	return fmt.Errorf("asking the process with the desktop: %w", call.Error)
}

func (c *child) ended() bool {
	select {
	case <-c.process.Done:
		return true
	default:
		return false
	}
}

// close ends the process: by the end of its socket, or if that does not help by a signal.
func (c *child) close() {
	c.closed.Do(func() {
		_ = c.client.Close()
		select {
		case <-c.process.Done:
		case <-time.After(closeTimeout):
			c.process.Kill()
		}
	})
}

// closeTimeout is far more than a process takes to close its sockets.
const closeTimeout = 5 * time.Second
