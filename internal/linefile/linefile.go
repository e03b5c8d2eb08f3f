// Package linefile reads files that people keep beside the configuration, such as rosters and calendars, and collects what is wrong
// in them: every mistake names file and line.
package linefile

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// MaxFile is the longest file that is read, in bytes: 10,000 people's shifts of a quarter are some 30 MB.
const MaxFile = 64 << 20

// maxMistakes are told of a file; whoever sees ten knows where to begin.
const maxMistakes = 10

// Error is a mistake in a file.
type Error struct {
	File    string
	Line    int // from 1; 0: the file as a whole
	Message string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, e.Message)
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Message)
}

// Mistakes collects Errors.
type Mistakes struct {
	File string
	errs []error
}

// Add adds one.
func (m *Mistakes) Add(line int, format string, args ...any) {
	if !m.Enough() {
		m.errs = append(m.errs, &Error{File: m.File, Line: line, Message: fmt.Sprintf(format, args...)})
	}
}

// Enough says that there is no use in reading on.
func (m *Mistakes) Enough() bool { return len(m.errs) >= maxMistakes }

// Err joins them; nil if there are none.
func (m *Mistakes) Err() error { return errors.Join(m.errs...) }

// ReadFile reads a regular file of at most MaxFile bytes.
func ReadFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &Error{File: path, Message: "not a regular file"}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxFile {
		return nil, &Error{File: path, Message: fmt.Sprintf("longer than %d bytes", MaxFile)}
	}
	return data, nil
}
