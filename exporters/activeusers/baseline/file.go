package baseline

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// version is of the file: a line of JSON, then the weeks' rows as little-endian 16-bit numbers, all in gzip, whose checksum
// tells a torn file.
const version = 1

type header struct {
	Version int          `json:"version"`
	Series  []fileSeries `json:"series"`
}

type fileSeries struct {
	Site       string  `json:"site"`
	Department string  `json:"department"`
	Weeks      []int64 `json:"weeks"` // numbers of the rows that follow
}

// maxHeader is far above that of MaxSeries with MaxWeeks.
const maxHeader = 1 << 20

// Save writes the history to a file, in place of the one before; whatever happens meanwhile, one of both is there.
func (h *History) Save(path string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("saving the history of gaps: %w", err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()           // again, perhaps
			_ = os.Remove(f.Name()) // it was renamed, perhaps
			err = fmt.Errorf("saving the history of gaps to %s: %w", path, err)
		}
	}()
	if err := h.write(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func (h *History) write(w io.Writer) error {
	head := header{Version: version}
	keys := slices.SortedFunc(maps.Keys(h.series), func(a, b Key) int {
		return cmp.Or(cmp.Compare(a.Site, b.Site), cmp.Compare(a.Department, b.Department))
	})
	for _, k := range keys {
		weeks := slices.Sorted(maps.Keys(h.series[k]))
		head.Series = append(head.Series, fileSeries{Site: k.Site, Department: k.Department, Weeks: weeks})
	}
	z := gzip.NewWriter(w)
	out := bufio.NewWriter(z)
	if err := json.NewEncoder(out).Encode(head); err != nil {
		return err
	}
	row := make([]byte, 2*minutes)
	for i, k := range keys {
		for _, week := range head.Series[i].Weeks {
			for m, v := range h.series[k][week] {
				binary.LittleEndian.PutUint16(row[2*m:], uint16(v))
			}
			if _, err := out.Write(row); err != nil {
				return err
			}
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return z.Close()
}

// Load reads a history that looks back so many weeks. A file that is not there is an empty one.
func Load(path string, weeks int) (*History, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return New(weeks), nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the history of gaps: %w", err)
	}
	defer f.Close()
	h := New(weeks)
	if err := h.read(f); err != nil {
		return nil, fmt.Errorf("reading the history of gaps in %s: %w", path, err)
	}
	return h, nil
}

func (h *History) read(r io.Reader) error {
	z, err := gzip.NewReader(r)
	if err != nil {
		return err
	}
	in := bufio.NewReaderSize(z, maxHeader)
	line, err := in.ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("its first line: %w", err)
	}
	var head header
	if err := json.Unmarshal(line, &head); err != nil {
		return fmt.Errorf("its first line: %w", err)
	}
	if head.Version != version {
		return fmt.Errorf("its version is %d, and this program reads %d", head.Version, version)
	}
	if len(head.Series) > MaxSeries {
		return fmt.Errorf("it has more than %d series", MaxSeries)
	}
	data := make([]byte, 2*minutes)
	for _, fs := range head.Series {
		if len(fs.Weeks) > MaxWeeks+1 {
			return fmt.Errorf("a series has more than %d weeks", MaxWeeks+1)
		}
		s := series{}
		h.series[Key{fs.Site, fs.Department}] = s
		for _, week := range fs.Weeks {
			if week < 0 {
				return errors.New("a week before 1970")
			}
			if _, err := io.ReadFull(in, data); err != nil {
				return err
			}
			row := &[minutes]int16{}
			for m := range row {
				row[m] = int16(binary.LittleEndian.Uint16(data[2*m:]))
			}
			s[week] = row
		}
	}
	// Reading to the end checks the checksum.
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		return cmp.Or(err, errors.New("it is longer than its first line says"))
	}
	return nil
}
