package influx

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// segment is a file of the buffer: some lines of one run. Its name says all but the lines: NUMBER.POINTS.RUN.lp
type segment struct {
	number  int64
	points  int64
	run     string
	bytes   int64
	sending bool
}

const ending = ".lp"

func (s *segment) name() string {
	return fmt.Sprintf("%012d.%d.%s%s", s.number, s.points, s.run, ending)
}

// buffer keeps lines on disk until they are written, the oldest first. It is not safe for concurrent use.
type buffer struct {
	dir      string
	limit    int64 // bytes
	segments []*segment
	bytes    int64
	next     int64
}

// openBuffer takes over what a runner before left in a folder, which is made if there is none.
func openBuffer(dir string, limit int64) (*buffer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	b := &buffer{dir: dir, limit: limit, next: 1}
	for _, f := range files {
		info, err := f.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue // another deskstorm with the same state folder has sent it just now
		}
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(f.Name(), temporary) && time.Since(info.ModTime()) > abandoned {
			_ = os.Remove(filepath.Join(dir, f.Name())) // half a segment, which nobody counted; if it stays, it harms nobody
		}
		s, ok := parseSegment(f.Name())
		if !ok {
			continue
		}
		s.bytes = info.Size()
		b.segments = append(b.segments, s)
		b.bytes += s.bytes
		b.next = max(b.next, s.number+1)
	}
	slices.SortFunc(b.segments, func(x, y *segment) int { return int(x.number - y.number) })
	return b, nil
}

func parseSegment(name string) (*segment, bool) {
	name, ok := strings.CutSuffix(name, ending)
	parts := strings.SplitN(name, ".", 3)
	if !ok || len(parts) != 3 {
		return nil, false
	}
	number, err1 := strconv.ParseInt(parts[0], 10, 64)
	points, err2 := strconv.ParseInt(parts[1], 10, 64)
	return &segment{number: number, points: points, run: parts[2]}, err1 == nil && err2 == nil && points > 0 && number > 0
}

const temporary = ".new-"

// abandoned is the age of half a segment that nobody is writing any more.
const abandoned = time.Minute

// add keeps lines, and returns what was given up for them: the oldest that are not being sent.
func (b *buffer) add(run string, lines []string) (dropped []*segment, err error) {
	s := &segment{number: b.next, points: int64(len(lines)), run: run}
	text := strings.Join(lines, "\n")
	s.bytes = int64(len(text))
	for i := 0; b.bytes+s.bytes > b.limit && i < len(b.segments); {
		if b.segments[i].sending {
			i++
			continue
		}
		dropped = append(dropped, b.segments[i])
		if err := b.remove(b.segments[i]); err != nil {
			return dropped, err
		}
	}
	if err := b.write(s, text); err != nil {
		return dropped, err
	}
	b.next++
	b.segments = append(b.segments, s)
	b.bytes += s.bytes
	return dropped, nil
}

func (b *buffer) write(s *segment, text string) error {
	f, err := os.CreateTemp(b.dir, temporary)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(b.dir, s.name()))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// take returns the oldest segments with about so many points, at least one if there is one. They are being sent until they are
// removed or put back.
func (b *buffer) take(points int) []*segment {
	var taken []*segment
	var sum int64
	for _, s := range b.segments {
		if len(taken) > 0 && sum+s.points > int64(points) {
			break
		}
		s.sending = true
		taken = append(taken, s)
		sum += s.points
	}
	return taken
}

func (b *buffer) putBack(segments []*segment) {
	for _, s := range segments {
		s.sending = false
	}
}

func (b *buffer) remove(s *segment) error {
	err := os.Remove(filepath.Join(b.dir, s.name()))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	b.segments = slices.DeleteFunc(b.segments, func(o *segment) bool { return o == s })
	b.bytes -= s.bytes
	return nil
}

func (b *buffer) lines(s *segment) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(b.dir, s.name()))
	if err != nil {
		return nil, err
	}
	return strings.Split(string(text), "\n"), nil
}

// points is how many of a run wait.
func (b *buffer) points(run string) int64 {
	var n int64
	for _, s := range b.segments {
		if s.run == run {
			n += s.points
		}
	}
	return n
}
