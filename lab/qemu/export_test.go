package qemu

import "context"

var ErrPortTaken = errPortTaken

// StartOn starts a desktop on this port, free or not.
func StartOn(ctx context.Context, config Config, port int) (*Desktop, error) {
	return start(ctx, config, port, 0)
}

// Execute, PID and Dir show the tests what callers have no business with.
func (d *Desktop) Execute(ctx context.Context, command string, args, result any) error {
	return d.execute(ctx, command, args, result)
}

func (d *Desktop) PID() int { return d.process.Process.Pid }

func (d *Desktop) Dir() string { return d.dir }
