package undo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/deskstorm/deskstorm/runner/fault"
	"github.com/deskstorm/deskstorm/runner/record"
)

// Files of a run's folder.
const (
	journalFile  = "undo.jsonl"
	ownerFile    = "owner.lock"    // held by the run's runner as long as it lives, or by who recovers it
	watchdogFile = "watchdog.lock" // held by the run's watchdog as long as it lives
	watchdogLog  = "watchdog.log"
)

// entry is a line of the journal. Exactly one of its fields besides At is set, with its own By or Error.
type entry struct {
	At       time.Time   `json:"at"`
	Inject   *fault.Plan `json:"inject,omitempty"`  // about to be injected
	Applied  string      `json:"applied,omitempty"` // the fault of this id is injected
	Undone   string      `json:"undone,omitempty"`  // it has ended
	By       string      `json:"by,omitempty"`      // who ended it
	Failed   string      `json:"failed,omitempty"`  // injecting or undoing it failed
	Error    string      `json:"error,omitempty"`   // why
	TakeOver string      `json:"take_over,omitempty"`
}

// state is what the journal says of a fault.
type state struct {
	plan     fault.Plan
	injected time.Time
	applied  bool
	undone   time.Time
	by       string
	err      string
}

func (s *state) record() record.Fault {
	return record.Fault{
		ID: s.plan.ID, Fault: s.plan.Fault, What: s.plan.Touches.What, Targets: s.plan.Touches.Targets,
		Injected: s.injected, Undone: s.undone, UndoneBy: s.by, Error: s.err,
	}
}

// story is what a journal says.
type story struct {
	faults   []*state // in the order in which they were injected
	takeOver string   // why the watchdog took the run over; empty: it did not
	unread   int      // lines that cannot be read, but for a torn one at the end
}

func (s *story) find(id string) *state {
	for _, f := range s.faults {
		if f.plan.ID == id {
			return f
		}
	}
	return nil
}

func (s *story) records() []record.Fault {
	all := make([]record.Fault, 0, len(s.faults))
	for _, f := range s.faults {
		all = append(all, f.record())
	}
	return all
}

// left are the faults that have not ended, the latest first.
func (s *story) left() (left []*state) {
	for i := len(s.faults) - 1; i >= 0; i-- {
		if s.faults[i].undone.IsZero() {
			left = append(left, s.faults[i])
		}
	}
	return left
}

// journal is the file that a run's faults are written to before they are injected. Several processes read it and append to it.
type journal struct{ dir string }

var goodName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$`)

// create makes the folder and the file, if they are not there, so that they outlive a power cut.
func create(dir, run string) (journal, error) {
	if !goodName.MatchString(run) {
		return journal{}, fmt.Errorf("a run's id is of at most 80 letters, digits, '.', '_' and '-', not %q", run)
	}
	j := journal{filepath.Join(dir, run)}
	if err := os.MkdirAll(j.dir, 0o700); err != nil {
		return journal{}, fmt.Errorf("making the folder of the journal of faults: %w", err)
	}
	f, err := os.OpenFile(j.path(journalFile), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return journal{}, fmt.Errorf("making the journal of faults: %w", err)
	}
	err = f.Sync()
	err = errors.Join(err, f.Close(), syncFolder(j.dir), syncFolder(dir))
	if err != nil {
		return journal{}, fmt.Errorf("making the journal of faults: %w", err)
	}
	return j, nil
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (j journal) path(name string) string { return filepath.Join(j.dir, name) }

// append writes an entry and returns when the disk has it.
func (j journal) append(e entry) error {
	if err := j.write(e); err != nil {
		return fmt.Errorf("writing to the journal of faults, %s: %w", j.path(journalFile), err)
	}
	return nil
}

func (j journal) write(e entry) error {
	e.At = time.Now().UTC()
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(j.path(journalFile), os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := lockFile(f); err != nil {
		return err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if size > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, size-1); err != nil {
			return err
		}
		if last[0] != '\n' { // somebody died while writing it
			line = append([]byte("\n"), line...)
		}
	}
	if _, err := f.Write(append(line, '\n')); err != nil {
		_ = f.Truncate(size) // of a full disk; if that fails, the next one begins a new line
		return err
	}
	return f.Sync()
}

// read reads the whole journal. Lines that cannot be read are counted; what was being written when its writer died was not done yet.
func (j journal) read() (*story, error) {
	text, err := os.ReadFile(j.path(journalFile))
	if err != nil {
		return nil, fmt.Errorf("reading the journal of faults: %w", err)
	}
	s := &story{}
	for len(text) > 0 {
		line, rest, whole := bytes.Cut(text, []byte("\n"))
		text = rest
		var e entry
		if !whole {
			break
		}
		if err := json.Unmarshal(line, &e); err != nil {
			s.unread++
			continue
		}
		s.tell(e)
	}
	return s, nil
}

func (s *story) tell(e entry) {
	if e.TakeOver != "" {
		s.takeOver = e.TakeOver
	}
	if e.Inject != nil {
		if s.find(e.Inject.ID) == nil {
			s.faults = append(s.faults, &state{plan: *e.Inject, injected: e.At})
		}
		return
	}
	f := s.find(e.Applied + e.Undone + e.Failed)
	if f == nil {
		return
	}
	switch {
	case e.Applied != "":
		f.applied = true
		f.undone, f.by = time.Time{}, "" // by one who did not wait for it
	case e.Undone != "":
		f.undone, f.by = e.At, e.By
	case e.Failed != "":
		f.err = e.Error
	}
}

// exists says whether there is a journal.
func (j journal) exists() bool {
	_, err := os.Stat(j.path(journalFile))
	return !errors.Is(err, fs.ErrNotExist)
}
