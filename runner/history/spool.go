package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/deskstorm/deskstorm/internal/database"
	"github.com/deskstorm/deskstorm/results"
	"github.com/deskstorm/deskstorm/runner/record"
)

// spooled is a run in a file of the spool.
type spooled struct {
	Run     record.Run      `json:"run"`
	Outcome string          `json:"outcome,omitempty"`
	Verdict json.RawMessage `json:"verdict,omitempty"`
	Journal json.RawMessage `json:"journal,omitempty"`
	Windows []spooledSeries `json:"windows,omitempty"`
}

type spooledSeries struct {
	results.Series
	Packed []byte `json:"packed"`
}

// Endings of the spool's files.
const (
	spoolEnding   = ".run.json"
	damagedEnding = ".damaged"
)

// Spool writes a run to a file of a folder, which is made if there is none, so that it is not lost while the database is away, even
// if it could not be opened at all. Drain saves it. A run that is spooled again replaces the one before.
func Spool(dir string, run record.Run, outcome string, verdict json.RawMessage) (path string, err error) {
	if err := checkID(run.ID); err != nil {
		return "", fmt.Errorf("spooling a run: %w", err)
	}
	path = filepath.Join(dir, run.ID+spoolEnding)
	if err := spool(dir, path, spooled{Run: run, Outcome: outcome, Verdict: verdict, Journal: run.Journal}); err != nil {
		return "", fmt.Errorf("writing run %s to %s: %w", run.ID, path, err)
	}
	return path, nil
}

func spool(dir, path string, e spooled) error {
	var packer packer
	for _, c := range chunks(e.Run.Windows) {
		b, err := packer.pack(results.Pack(c.all))
		if err != nil {
			return err
		}
		e.Windows = append(e.Windows, spooledSeries{c.series, b})
	}
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return writeFile(dir, path, text)
}

// writeFile replaces a file so that a power cut leaves the old one, the new one, or none, and never a part.
func writeFile(dir, path string, content []byte) error {
	f, err := os.CreateTemp(dir, ".spool-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// SpooledError says that a run could not be saved, and where it is instead.
type SpooledError struct {
	Path string // of the file in the spool
	Err  error  // why it could not be saved
}

func (e *SpooledError) Error() string {
	return fmt.Sprintf("%v; the run is in %s and is saved at the next start", e.Err, e.Path)
}

// Unwrap is why it could not be saved.
func (e *SpooledError) Unwrap() error { return e.Err }

// SaveOrSpool is Save, and Spool where that fails: the error is a *SpooledError then. Any other error says that the run is lost.
func (s *Store) SaveOrSpool(ctx context.Context, dir string, run record.Run, outcome string, verdict json.RawMessage) error {
	err := s.Save(ctx, run, outcome, verdict)
	if err == nil {
		return nil
	}
	path, e := Spool(dir, run, outcome, verdict)
	if e != nil {
		return fmt.Errorf("the run's results are lost: %w", errors.Join(err, e))
	}
	return &SpooledError{Path: path, Err: err}
}

// Drain saves the runs of a spool, in their order, and removes their files. It returns the ids of those that were saved, and stops
// when the database is away. A file that is no run is renamed, named in the error, and not tried again.
func (s *Store) Drain(ctx context.Context, dir string) ([]string, error) {
	files, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the spool: %w", err)
	}
	var ids []string
	var errs []error
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), spoolEnding) {
			continue
		}
		path := filepath.Join(dir, f.Name())
		id, err := s.drain(ctx, path)
		if err == nil {
			ids = append(ids, id)
			continue
		}
		errs = append(errs, fmt.Errorf("saving %s: %w", path, err))
		if !errors.Is(err, errDamaged) {
			break
		}
		if err := os.Rename(path, path+damagedEnding); err != nil {
			errs = append(errs, err)
		}
	}
	return ids, errors.Join(errs...)
}

var errDamaged = errors.New("the file is damaged; it is renamed to end in " + damagedEnding)

func (s *Store) drain(ctx context.Context, path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	e, err := readSpooled(text)
	if err == nil {
		err = checkID(e.Run.ID)
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w", errDamaged, err)
	}
	if err := s.Save(ctx, e.Run, e.Outcome, e.Verdict); err != nil {
		return "", err
	}
	return e.Run.ID, os.Remove(path)
}

func readSpooled(text []byte) (spooled, error) {
	var e spooled
	if err := json.Unmarshal(text, &e); err != nil {
		return e, err
	}
	e.Run.Journal = e.Journal
	for _, series := range e.Windows {
		all, err := unpackAggregates(series.Series, series.Packed)
		if err != nil {
			return e, err
		}
		e.Run.Windows = append(e.Run.Windows, all...)
	}
	slices.SortFunc(e.Run.Windows, results.Compare)
	return e, nil
}

// Away says whether an error means that the database as a whole is the matter, and the same may work later.
func Away(err error) bool {
	for _, kind := range []error{database.ErrUnreachable, database.ErrFull, database.ErrReadOnly} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}
