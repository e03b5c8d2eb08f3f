// Package table reads the CSV files that offices keep: with a header, separated by commas or semicolons, with or without a byte
// order mark. Every mistake names file and line.
package table

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"
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

// Row is a line's values by column; a column that the file has not is empty.
type Row struct {
	Line   int
	column map[string]int
	values []string
}

// Get is a value without the white space around it.
func (r Row) Get(column string) string {
	i, ok := r.column[column]
	if !ok {
		return ""
	}
	return strings.TrimSpace(r.values[i])
}

// Read calls row for each line after the header. The header has all required columns and no other than those and the optional
// ones, in any order and case: a column that nobody reads is likelier a typing mistake.
func Read(data []byte, m *Mistakes, required, optional []string, row func(Row)) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if !utf8.Valid(data) {
		m.Add(0, "not UTF-8; save it as UTF-8")
		return
	}
	r := csv.NewReader(bytes.NewReader(data))
	r.ReuseRecord = true
	r.Comment = '#'
	first, _, _ := bytes.Cut(data, []byte("\n"))
	if bytes.ContainsRune(first, ';') && !bytes.ContainsRune(first, ',') {
		r.Comma = ';'
	}
	column := map[string]int{}
	for !m.Enough() {
		values, err := r.Read()
		if errors.Is(err, io.EOF) {
			if len(column) == 0 {
				m.Add(1, "expected a header with the columns %s; found an empty file", strings.Join(required, ", "))
			}
			return
		}
		if err != nil {
			line, message := 0, err.Error()
			if bad, ok := errors.AsType[*csv.ParseError](err); ok {
				line, message = bad.Line, bad.Err.Error()
			}
			m.Add(line, "%s", message)
			if !errors.Is(err, csv.ErrFieldCount) {
				return // where the next line begins is not known
			}
			continue
		}
		line, _ := r.FieldPos(0)
		if len(column) == 0 {
			if !header(column, values, line, m, required, optional) {
				return
			}
			continue
		}
		row(Row{Line: line, column: column, values: values})
	}
}

func header(column map[string]int, values []string, line int, m *Mistakes, required, optional []string) bool {
	good := true
	for i, v := range values {
		name := strings.ToLower(strings.TrimSpace(v))
		_, twice := column[name]
		switch {
		case twice:
			m.Add(line, "the column %q is there twice", name)
			good = false
		case !slices.Contains(required, name) && !slices.Contains(optional, name):
			m.Add(line, "unknown column %q; expected %s and perhaps %s", name,
				strings.Join(required, ", "), strings.Join(optional, ", "))
			good = false
		}
		column[name] = i
	}
	for _, name := range required {
		if _, ok := column[name]; !ok {
			m.Add(line, "the column %q is missing", name)
			good = false
		}
	}
	return good
}
