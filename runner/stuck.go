package runner

import (
	"errors"
	"maps"
	"os"
	"slices"
	"sync"

	"github.com/deskstorm/deskstorm/runner/undo"
)

// stuck are the runs that have ended and left faults behind. Their watchdogs go on trying, and so may a person: whether a fault is still
// there is asked of the runs' journals, each time.
type stuck struct {
	mutex sync.Mutex
	runs  map[string]bool
}

func (s *stuck) add(run string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.runs == nil {
		s.runs = map[string]bool{}
	}
	s.runs[run] = true
}

// look finds those of runners before.
func (s *stuck) look(dir string) error {
	folders, err := os.ReadDir(dir)
	errs := []error{err}
	for _, f := range folders {
		settled, err := undo.Settled(dir, f.Name())
		if !settled && !undo.Living(dir, f.Name()) {
			s.add(f.Name())
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// count is how many faults are there still. A journal that cannot be read may be one's.
func (s *stuck) count(dir string) int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	n := 0
	for _, run := range slices.Collect(maps.Keys(s.runs)) {
		left, err := undo.Left(dir, run)
		switch {
		case err != nil:
			n++
		case left == 0:
			delete(s.runs, run)
		default:
			n += left
		}
	}
	return n
}
