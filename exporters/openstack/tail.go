package openstack

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Limits of what is read.
const (
	maxLine    = 64 << 10 // bytes; what is longer is cut there
	maxBacklog = 64 << 20 // bytes; where more was written than could be read, the older part is passed over
)

// tail reads what is appended to a file, through its rotation and truncation.
type tail struct {
	path    string
	file    *os.File // nil: there is none yet
	offset  int64
	partial []byte // of a line whose end is not written yet
	cut     bool   // the line is longer than maxLine, and its rest is passed over
}

// begin opens a file that was there before this program, at its end.
func (t *tail) begin() error {
	if err := t.open(); err != nil || t.file == nil {
		return err
	}
	info, err := t.file.Stat()
	if err != nil {
		return err
	}
	t.offset = info.Size()
	t.cut = t.offset > 0 // perhaps in the middle of a line
	if t.cut {
		last := make([]byte, 1)
		if _, err := t.file.ReadAt(last, t.offset-1); err == nil && last[0] == '\n' {
			t.cut = false
		}
	}
	return nil
}

// open opens the path's file from its beginning; it may not be there.
func (t *tail) open() error {
	// Without blocking: a named pipe would wait for its writer.
	file, err := os.OpenFile(t.path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		file.Close()
		return errors.Join(err, fmt.Errorf("%s is no file", t.path))
	}
	*t = tail{path: t.path, file: file}
	return nil
}

func (t *tail) close() {
	if t.file != nil {
		t.file.Close()
		t.file = nil
	}
}

// read gives the lines that were appended, and reads at most budget bytes. It returns how many it read and how many it passed
// over, and whether the file is gone and read to its end.
func (t *tail) read(budget int64, line func([]byte)) (read, skipped int64, gone bool, err error) {
	for {
		if t.file == nil {
			if err := t.open(); err != nil || t.file == nil {
				return read, skipped, t.file == nil && err == nil, err
			}
		}
		n, s, end, err := t.append(budget-read, line)
		read, skipped = read+n, skipped+s
		if err != nil || !end {
			return read, skipped, false, err
		}
		// At its end. Is it still the path's file?
		current, err := os.Stat(t.path)
		if err == nil {
			mine, err := t.file.Stat()
			if err != nil || os.SameFile(current, mine) {
				return read, skipped, false, err
			}
		} else if !errors.Is(err, fs.ErrNotExist) {
			return read, skipped, false, err
		}
		// Its writer may have written between our last read and the rotation.
		n, s, end, err = t.append(budget-read, line)
		read, skipped = read+n, skipped+s
		if err != nil || !end {
			return read, skipped, false, err
		}
		t.close()
		t.partial, t.cut = nil, false
	}
}

// append reads the open file on. end says that there is no more now.
func (t *tail) append(budget int64, line func([]byte)) (read, skipped int64, end bool, err error) {
	info, err := t.file.Stat()
	if err != nil {
		return 0, 0, false, err
	}
	if info.Size() < t.offset {
		t.offset, t.partial, t.cut = 0, nil, false // truncated: copytruncate of logrotate
	}
	if backlog := info.Size() - t.offset; backlog > maxBacklog {
		skipped = backlog - budget
		t.offset += skipped
		t.partial, t.cut = nil, true
	}
	buffer := make([]byte, min(budget, 256<<10))
	for read < budget {
		n, err := t.file.ReadAt(buffer[:min(int64(len(buffer)), budget-read)], t.offset)
		t.offset += int64(n)
		read += int64(n)
		t.split(buffer[:n], line)
		if errors.Is(err, io.EOF) {
			return read, skipped, true, nil
		}
		if err != nil {
			return read, skipped, false, err
		}
	}
	return read, skipped, false, nil
}

// split hands out whole lines and keeps the rest.
func (t *tail) split(data []byte, line func([]byte)) {
	for len(data) > 0 {
		end := bytes.IndexByte(data, '\n')
		piece, whole := data, end >= 0
		if whole {
			piece, data = data[:end], data[end+1:]
		} else {
			data = nil
		}
		if !t.cut {
			t.partial = append(t.partial, piece[:min(len(piece), maxLine-len(t.partial))]...)
			if whole || len(t.partial) == maxLine {
				line(t.partial)
				t.partial = t.partial[:0]
				t.cut = !whole
			}
		} else if whole {
			t.cut = false
		}
	}
}
