package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/deskstorm/deskstorm/runner/report"
	"github.com/deskstorm/deskstorm/runner/verdict"
)

// Files are the names of what a run leaves in its folder.
const (
	JournalFile  = "journal.json" // the Chaos Toolkit's
	RunFile      = "run.json"     // package record's Run, and the verdict
	HTMLFile     = "report.html"
	MarkdownFile = "report.md"
	JUnitFile    = "junit.xml"
)

// write writes the run's files. One that cannot be written keeps none of the others from being written.
func (r *Run) write(result Result, nights []verdict.Night) error {
	shown := report.Report{Run: result.Run, Verdict: result.Verdict, Nights: nights}
	files := []struct {
		name  string
		write func(io.Writer) error
	}{
		{JournalFile, func(w io.Writer) error { _, err := w.Write(append(result.Run.Journal, '\n')); return err }},
		{RunFile, result.JSON},
		{HTMLFile, shown.HTML},
		{MarkdownFile, shown.Markdown},
		{JUnitFile, shown.JUnit},
	}
	var errs []error
	for _, f := range files {
		if err := writeFile(filepath.Join(result.Dir, f.name), f.write); err != nil {
			errs = append(errs, fmt.Errorf("writing the run's files: %w", err))
		}
	}
	return errors.Join(errs...)
}

// JSON writes run and verdict for programs.
func (r Result) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(map[string]any{"run": r.Run, "verdict": r.Verdict, "folder": r.Dir})
}

// writeFile writes a file that is whole or not there.
func writeFile(path string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	if err := write(f); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
