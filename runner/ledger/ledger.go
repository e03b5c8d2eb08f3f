// Package ledger keeps what a run makes in a cloud from outliving it. What is to be made is in the run's ledger before it is, and the
// cloud has the run's name on it, so that Cleanup finds it from any machine, without the ledger.
package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// file is the ledger in a run's folder.
const file = "resources.jsonl"

// Resource is something that a run makes in a cloud.
type Resource struct {
	Target string `json:"target"` // the cloud's, in the configuration
	Kind   string `json:"kind"`   // "server", "port"
	Name   string `json:"name"`   // unique within the run
}

// Entry is what became of a resource.
type Entry struct {
	Resource
	ID   string    `json:"id,omitempty"` // the cloud's; empty: nobody lived to write it down
	Will time.Time `json:"will"`         // when it was about to be made
	Gone time.Time `json:"gone"`         // when it was removed; zero: it is there, or may be
}

// Ledger is a run's. Its methods may be called by many goroutines at once.
type Ledger struct {
	mu   sync.Mutex
	file *os.File
	torn bool // the last line may not have its end
}

// line is a line of the file.
type line struct {
	At time.Time `json:"at"`
	Do string    `json:"do"` // will, made, gone
	Resource
	ID string `json:"id,omitempty"`
}

// Open opens the ledger in a run's folder, and makes both if they are not there.
func Open(folder string) (*Ledger, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("making the ledger of resources: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(folder, file), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("making the ledger of resources: %w", err)
	}
	d, err := os.Open(folder)
	if err == nil {
		err = errors.Join(d.Sync(), d.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("making the ledger of resources: %w", errors.Join(err, f.Close()))
	}
	// A dead process may not have finished its last line; an empty one does no harm.
	return &Ledger{file: f, torn: true}, nil
}

// Will writes down what is about to be made, and returns when the disk has it.
func (l *Ledger) Will(r Resource) error { return l.write(line{Do: "will", Resource: r}) }

// Made writes down its ID.
func (l *Ledger) Made(r Resource, id string) error {
	return l.write(line{Do: "made", Resource: r, ID: id})
}

// Gone writes down that it was removed.
func (l *Ledger) Gone(r Resource) error { return l.write(line{Do: "gone", Resource: r}) }

func (l *Ledger) write(e line) error {
	e.At = time.Now().UTC()
	text, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("writing to the ledger of resources: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.torn {
		text = append([]byte("\n"), text...)
	}
	_, err = l.file.Write(append(text, '\n'))
	l.torn = err != nil
	if err == nil && e.Do == "will" {
		err = l.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("writing to the ledger of resources: %w", err)
	}
	return nil
}

// Close closes the file.
func (l *Ledger) Close() error { return l.file.Close() }

// Read reads the ledger in a run's folder; nil if there is none.
func Read(folder string) ([]Entry, error) {
	text, err := os.ReadFile(filepath.Join(folder, file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the ledger of resources: %w", err)
	}
	var all []Entry
	at := map[Resource]int{}
	for part := range bytes.Lines(text) {
		var e line
		if json.Unmarshal(part, &e) != nil {
			continue // its writer died, before it made anything
		}
		i, ok := at[e.Resource]
		if !ok {
			i = len(all)
			at[e.Resource], all = i, append(all, Entry{Resource: e.Resource})
		}
		switch e.Do {
		case "will": // perhaps again, after it was gone
			all[i].ID, all[i].Will, all[i].Gone = "", e.At, time.Time{}
		case "made":
			all[i].ID = e.ID
		case "gone":
			all[i].Gone = e.At
		}
	}
	return all, nil
}
