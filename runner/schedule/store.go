package schedule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Store keeps jobs' states over restarts and for all runners that share it.
type Store interface {
	// Load returns the states of all jobs that have one, by name.
	Load(ctx context.Context) (map[string]State, error)
	// Advance replaces a job's mark, if it still is was (the zero Mark: there is none), and says whether it was. Of several runners
	// that try the same, one alone may get true: who does starts the run.
	Advance(ctx context.Context, job string, was, is Mark) (bool, error)
	// SetPause pauses a job; nil resumes it.
	SetPause(ctx context.Context, job string, p *Pause) error
}

// File is a Store in a JSON file, for a runner that shares nothing. Its methods may be called by many goroutines at once.
type File struct {
	path   string
	mutex  sync.Mutex
	states map[string]State
}

// kept is a State in the file.
type kept struct {
	Accounted time.Time  `json:"accounted,omitzero"`
	Timing    string     `json:"timing,omitempty"`
	PausedBy  string     `json:"paused_by,omitempty"`
	Paused    *time.Time `json:"paused,omitempty"`
}

// OpenFile opens a store; a file that is not there is an empty one.
func OpenFile(path string) (*File, error) {
	f := &File{path: path, states: map[string]State{}}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the schedule's state: %w", err)
	}
	var all map[string]kept
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("reading the schedule's state %s: %w; remove it, and jobs begin anew", path, err)
	}
	for job, k := range all {
		s := State{Mark: Mark{At: k.Accounted, Timing: k.Timing}}
		if k.Paused != nil {
			s.Pause = &Pause{By: k.PausedBy, Since: *k.Paused}
		}
		f.states[job] = s
	}
	return f, nil
}

// Load returns the states.
func (f *File) Load(context.Context) (map[string]State, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return maps.Clone(f.states), nil
}

// Advance replaces a mark.
func (f *File) Advance(_ context.Context, job string, was, is Mark) (bool, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	s := f.states[job]
	if !s.Mark.Equal(was) {
		return false, nil
	}
	s.Mark = is
	return true, f.write(job, s)
}

// SetPause pauses a job or resumes it.
func (f *File) SetPause(_ context.Context, job string, p *Pause) error {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	s := f.states[job]
	s.Pause = p
	return f.write(job, s)
}

// write changes a state in the file and then in memory.
func (f *File) write(job string, s State) error {
	states := maps.Clone(f.states)
	states[job] = s
	all := map[string]kept{}
	for name, s := range states {
		k := kept{Accounted: s.At.UTC(), Timing: s.Timing}
		if s.Pause != nil {
			k.PausedBy, k.Paused = s.Pause.By, &s.Pause.Since
		}
		all[name] = k
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err == nil {
		err = replace(f.path, append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("keeping the schedule's state: %w", err)
	}
	f.states = states
	return nil
}

// replace writes a file that is either the old or the new one, whenever the machine stops.
func replace(path string, text []byte) error {
	t, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(t.Name()) // of no use once it is renamed
	_, err = t.Write(text)
	err = errors.Join(err, t.Sync(), t.Close())
	if err != nil {
		return err
	}
	return os.Rename(t.Name(), path)
}
