package up

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/deskstorm/deskstorm/lab/folder"
)

// Running is a cloud that runs in some process, as its folder tells.
type Running struct {
	PID     int       `json:"pid"`
	Began   time.Time `json:"began"`
	Dir     string    `json:"dir"`
	Broker  string    `json:"broker"`
	AuthURL string    `json:"auth_url"`
	LDAP    string    `json:"ldap"`
	Control string    `json:"control"` // the lab's own switches and state, see package control
	Users   int       `json:"users"`
}

const (
	runningFile = "running.json"
	lockFile    = "lock"
)

// ErrNotRunning says that no cloud runs in a folder.
var ErrNotRunning = errors.New("no lab runs there")

// lookers is how often Claim tries again: somebody may just be looking whether the lock is free.
const lookers = 5

// Claim takes a folder for a cloud of this process, so that no other one uses it and Find finds it. Release gives it back;
// so does the process's end.
func Claim(dir string) (release func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the lab's folder: %w", err)
	}
	if err := checkEmpty(dir); err != nil {
		return nil, err
	}
	f, err := lock(dir, syscall.LOCK_EX)
	for range lookers {
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			break
		}
		time.Sleep(50 * time.Millisecond)
		f, err = lock(dir, syscall.LOCK_EX)
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("a lab runs in %s already: end it with deskstorm lab down --dir %s, or take another --dir", dir, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("locking the lab's folder: %w", err)
	}
	// What one that was killed has left names a process that may be somebody else's by now.
	if err := forget(dir); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error { return errors.Join(forget(dir), f.Close()) }, nil
}

// checkEmpty refuses folders with somebody else's files: the lab writes a clouds.yaml.
func checkEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("looking into the lab's folder: %w", err)
	}
	for _, e := range entries {
		if e.Name() == lockFile {
			return nil // a lab's
		}
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is not empty and no lab's: take another --dir", dir)
	}
	return nil
}

func forget(dir string) error {
	err := os.Remove(filepath.Join(dir, runningFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// lock takes the folder's lock, LOCK_EX to own it and LOCK_SH to look whether somebody does. The kernel gives it back when
// this process ends.
func lock(dir string, how int) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// Tell writes into a claimed folder that the cloud runs.
func (c *Cloud) Tell() error {
	text, err := json.MarshalIndent(Running{PID: os.Getpid(), Began: time.Now().UTC(), Dir: c.Dir, Broker: c.Broker,
		AuthURL: c.Sim.AuthURL, LDAP: c.Directory.URL, Control: c.Control, Users: len(c.Users)}, "", "  ")
	if err == nil {
		err = os.WriteFile(c.path(runningFile), append(text, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("telling that the lab runs: %w", err)
	}
	return nil
}

// Find finds the cloud that runs in a folder. The error is ErrNotRunning if none does, whatever a dead one has left there.
func Find(dir string) (Running, error) {
	var r Running
	if _, err := os.Stat(filepath.Join(dir, lockFile)); err != nil {
		return r, fmt.Errorf("%w: %s", ErrNotRunning, dir)
	}
	f, err := lock(dir, syscall.LOCK_SH)
	if err == nil {
		_ = f.Close()
		return r, fmt.Errorf("%w: %s", ErrNotRunning, dir)
	}
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return r, fmt.Errorf("looking for the lab in %s: %w", dir, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, runningFile))
	if errors.Is(err, fs.ErrNotExist) {
		return r, fmt.Errorf("the lab in %s is just starting", dir)
	}
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		return r, fmt.Errorf("reading what runs in %s: %w", dir, err)
	}
	return r, nil
}

// Stop asks the cloud's process to end and waits until it has.
func (r Running) Stop(ctx context.Context) error {
	if err := syscall.Kill(r.PID, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stopping the lab, process %d: %w", r.PID, err)
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if f, err := lock(r.Dir, syscall.LOCK_SH); err == nil {
			return f.Close()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the lab, process %d, to end: %w", r.PID, ctx.Err())
		}
	}
}

// PoolStatus is how a pool of the broker stands.
type PoolStatus struct {
	Name     string         `json:"name"`
	Ready    int            `json:"ready_target"` // to be kept
	Max      int            `json:"max"`
	Desktops map[string]int `json:"desktops"` // by state
}

// Pools asks the broker of the cloud in a folder how its pools stand, as an operator.
func Pools(ctx context.Context, broker, dir string) ([]PoolStatus, error) {
	token, err := os.ReadFile(filepath.Join(dir, folder.OperatorFile))
	if err != nil {
		return nil, fmt.Errorf("reading the operator's token: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, broker+"/v1/pools", nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, fmt.Errorf("asking the broker for its pools: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("asking the broker for its pools: it answered %s", response.Status)
	}
	var answer struct {
		Pools []PoolStatus `json:"pools"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return nil, fmt.Errorf("asking the broker for its pools: %w", err)
	}
	return answer.Pools, nil
}

// restEach is how much longer than its answer took the broker is left alone: it counts all desktops to answer, and is building them.
const restEach = 10

// Await waits until the broker's pools have what they are to keep ready, and tells how far they are.
func (c *Cloud) Await(ctx context.Context, tell func(ready, wanted int)) error {
	return AwaitPools(ctx, c.Broker, c.Dir, tell)
}

// AwaitPools waits until the pools of the broker of the cloud in a folder have what they are to keep ready, and tells how far
// they are.
func AwaitPools(ctx context.Context, broker, dir string, tell func(ready, wanted int)) error {
	last := -1
	for {
		asked := time.Now()
		pools, err := Pools(ctx, broker, dir)
		rest := max(100*time.Millisecond, restEach*time.Since(asked))
		if err != nil {
			return err
		}
		ready, wanted := 0, 0
		for _, p := range pools {
			ready += min(p.Ready, p.Desktops["ready"])
			wanted += p.Ready
		}
		if ready != last {
			tell(ready, wanted)
			last = ready
		}
		if ready == wanted {
			return nil
		}
		select {
		case <-time.After(rest):
		case <-ctx.Done():
			return fmt.Errorf("waiting for %d of %d desktops to boot: %w", wanted-ready, wanted, context.Cause(ctx))
		}
	}
}
