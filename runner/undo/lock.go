package undo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Locks are flock(2)'s: the kernel frees them when their holder dies, and they keep goroutines apart as they do processes.

// errHeld is of a lock that somebody else has.
var errHeld = errors.New("somebody else holds it")

// lockPoll is how often a lock that is held is tried again.
const lockPoll = 10 * time.Millisecond

// tryLock takes the lock of a file, which it makes; closing the file frees it.
func tryLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	err = flock(f, unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return f, nil
	}
	_ = f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = errHeld
	}
	return nil, fmt.Errorf("locking %s: %w", path, err)
}

// held says whether somebody holds the lock of a file.
func held(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(flock(f, unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// sign writes who holds a lock into its file, for people.
func sign(f *os.File) {
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
}

// lock waits for the lock of a file as long as ctx lasts.
func lock(ctx context.Context, path string) (*os.File, error) {
	for {
		f, err := tryLock(path)
		if !errors.Is(err, errHeld) {
			return f, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", err, context.Cause(ctx))
		case <-time.After(lockPoll):
		}
	}
}

// lockFile waits for a lock that is never held for long, and goes on without it when its holder hangs.
func lockFile(f *os.File) error {
	for end := time.Now().Add(lockPatience); ; time.Sleep(lockPoll) {
		err := flock(f, unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) && time.Now().After(end) {
			return nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
	}
}

// lockPatience is far longer than an entry takes to be written.
const lockPatience = 10 * time.Second

func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
