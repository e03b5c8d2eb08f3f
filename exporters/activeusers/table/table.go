// Package table reads the CSV files that offices keep: with a header, separated by commas or semicolons, with or without a byte
// order mark. Every mistake names file and line.
package table

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/deskstorm/deskstorm/internal/linefile"
)

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
func Read(data []byte, m *linefile.Mistakes, required, optional []string, row func(Row)) {
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

func header(column map[string]int, values []string, line int, m *linefile.Mistakes, required, optional []string) bool {
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
