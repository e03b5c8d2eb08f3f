package output

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"go.k6.io/k6/v2/lib/fsext"

	"github.com/deskstorm/deskstorm/results"
)

// opener opens what `--out vdi=` names.
type opener func(target string) (io.WriteCloser, error)

// fileOpener opens fd:N as an inherited descriptor and anything else as a file that it truncates.
func fileOpener(fs fsext.Fs) opener {
	return func(target string) (io.WriteCloser, error) {
		number, isDescriptor := strings.CutPrefix(target, "fd:")
		if !isDescriptor {
			return fs.Create(target)
		}
		// 0 to 2 are k6's own input, output and errors.
		n, err := strconv.ParseUint(number, 10, 31)
		if err != nil || n < 3 {
			return nil, fmt.Errorf("%q is not fd:N with N from 3", target)
		}
		file := os.NewFile(uintptr(n), target)
		if _, err := file.Stat(); err != nil {
			return nil, fmt.Errorf("descriptor %d was not inherited: %w", n, err)
		}
		return file, nil
	}
}

// writer writes aggregates and stops at the first error, because half a line may be written by then.
type writer struct {
	file   io.Closer
	buffer *bufio.Writer
	lines  *results.Encoder
	err    error
}

func newWriter(file io.WriteCloser) *writer {
	buffer := bufio.NewWriter(file)
	return &writer{file: file, buffer: buffer, lines: results.NewEncoder(buffer)}
}

// write writes aggregates through to the file: a parent waits for them.
func (w *writer) write(aggregates []*results.Aggregate) {
	for _, a := range aggregates {
		if w.err != nil {
			return
		}
		w.err = w.lines.Encode(a)
	}
	if w.err == nil {
		w.err = w.buffer.Flush()
	}
}

// close returns the first error of writing and closing.
func (w *writer) close() error {
	return errors.Join(w.err, w.file.Close())
}
