package debian

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// tool is a command that runs once, with the environment that all of the lab's programs have.
func (l *Lab) tool(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = l.environment()
	return cmd
}

// environment is the same whoever starts the lab. Debian's Python comes first: a user's own lacks OpenStack.
func (l *Lab) environment(more ...string) []string {
	return append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "HOME=" + l.data()}, more...)
}

// logged runs a command to its end, what it says going to the end of a log; an error names the log and has its last words.
func (l *Lab) logged(cmd *exec.Cmd, log string) error {
	file := l.logs(log + ".log")
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w; its last words, in %s: %s", filepath.Base(cmd.Path), err, file, tail(file))
	}
	return nil
}

// tail is the end of a file.
func tail(file string) string {
	const much = 800
	f, err := os.Open(file)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > much {
		_, _ = f.Seek(-much, 2)
	}
	text := make([]byte, much)
	n, _ := f.Read(text)
	return string(text[:n])
}
