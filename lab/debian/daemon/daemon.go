// Package daemon runs programs that outlive the one that started them, and finds them again: a daemon is known by its process
// number and the moment at which the kernel started it, so that a number given to another program since is never signalled.
//
// Each daemon is in a session of its own; what it starts belongs to it as long as it stays in that session.
package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Record is what is kept of a daemon in its file.
type Record struct {
	Name    string    `json:"name"`
	PID     int       `json:"pid"`
	Ticks   uint64    `json:"ticks"` // when the kernel started it, in clock ticks since the machine booted: field 22 of proc_pid_stat(5)
	Boot    string    `json:"boot"`  // which boot of the machine that was: boot_id of proc_sys_kernel(5)
	Began   time.Time `json:"began"`
	Command []string  `json:"command"`
	Log     string    `json:"log"` // what it writes to standard output and standard error
}

// Folder holds the records of daemons, a file each.
type Folder string

// Start starts a command as a daemon and records it. The command's Stdout and Stderr go to the log, at whose end it is appended.
// A daemon of this name that runs already is an error.
func (f Folder) Start(name string, cmd *exec.Cmd, log string) (Record, error) {
	if r, err := f.Find(name); err == nil && r.Alive() {
		return r, fmt.Errorf("starting %s: it runs already, as process %d", name, r.PID)
	}
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return Record{}, fmt.Errorf("starting %s: %w", name, err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setsid = true
	if err := cmd.Start(); err != nil {
		return Record{}, fmt.Errorf("starting %s: %w", name, err)
	}
	r, err := f.record(name, cmd, log)
	if err != nil {
		_ = cmd.Process.Kill() // nobody would find it again
		err = fmt.Errorf("starting %s: %w", name, err)
	}
	go func() { _ = cmd.Wait() }() // reaps it, if this program lives so long
	return r, err
}

// record writes down a command that was started and has not been waited for.
func (f Folder) record(name string, cmd *exec.Cmd, log string) (Record, error) {
	fields, err := stat(cmd.Process.Pid) // also if it has ended
	if err != nil {
		return Record{}, err
	}
	boot, err := bootID()
	if err != nil {
		return Record{}, err
	}
	r := Record{Name: name, PID: cmd.Process.Pid, Ticks: fields.ticks, Boot: boot, Began: time.Now().UTC(), Command: cmd.Args, Log: log}
	return r, f.write(r)
}

func (f Folder) write(r Record) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	// Written aside and renamed, lest one that runs is forgotten because of half a file.
	half := f.file(r.Name) + ".new"
	if err := os.WriteFile(half, append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(half, f.file(r.Name))
}

func (f Folder) file(name string) string { return filepath.Join(string(f), name+".json") }

// Find is a daemon's record; the error is fs.ErrNotExist if it was never started, or was stopped.
func (f Folder) Find(name string) (Record, error) {
	var r Record
	text, err := os.ReadFile(f.file(name))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("reading the record of %s, %s: %w", name, f.file(name), err)
	}
	return r, nil
}

// All are the records of all daemons, sorted by name, of those too that have died.
func (f Folder) All() ([]Record, error) {
	files, err := filepath.Glob(filepath.Join(string(f), "*.json"))
	if err != nil {
		return nil, err
	}
	var all []Record
	for _, file := range files {
		r, err := f.Find(strings.TrimSuffix(filepath.Base(file), ".json"))
		if errors.Is(err, fs.ErrNotExist) {
			continue // stopped just now
		}
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// Alive tells whether the daemon runs.
func (r Record) Alive() bool {
	boot, err := bootID()
	if err != nil || boot != r.Boot {
		return false
	}
	now, err := stat(r.PID)
	return err == nil && now.ticks == r.Ticks && !now.ended
}

const poll = 20 * time.Millisecond

// Stop ends a daemon with SIGTERM, and with SIGKILL when the context ends, then what else is left of its session, and forgets it.
func (f Folder) Stop(ctx context.Context, name string) error {
	r, err := f.Find(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if r.Alive() {
		if err := r.end(ctx); err != nil {
			return fmt.Errorf("stopping %s, process %d: %w", name, r.PID, err)
		}
	}
	if err := r.endSession(); err != nil {
		return fmt.Errorf("stopping what %s left behind: %w", name, err)
	}
	return os.Remove(f.file(name))
}

func (r Record) end(ctx context.Context) error {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := syscall.Kill(r.PID, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
		if signal == syscall.SIGKILL {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second) // of the kernel
			defer cancel()
		}
		if r.waitEnd(ctx) {
			return nil
		}
	}
	return errors.New("it does not end, even by SIGKILL")
}

func (r Record) waitEnd(ctx context.Context) bool {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for r.Alive() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return !r.Alive()
		}
	}
	return true
}

// endSession kills who is left in the daemon's session.
func (r Record) endSession() error {
	members, err := r.session()
	if err != nil {
		return err
	}
	for _, pid := range members {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return nil
}
