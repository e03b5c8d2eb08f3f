package agent

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/deskstorm/deskstorm/internal/activity"
)

// look says how the client is. What cannot be told is left out.
func look(c Config) *activity.State {
	return &activity.State{
		Version: c.Version, Boot: bootTime(c.Proc), Temperature: temperature(c.Sys), DiskFree: diskFree(c.Disk),
	}
}

// bootTime is btime of /proc/stat (proc_stat(5)).
func bootTime(proc string) time.Time {
	f, err := os.Open(filepath.Join(proc, "stat"))
	if err != nil {
		return time.Time{}
	}
	defer f.Close()
	lines := bufio.NewScanner(io.LimitReader(f, 1<<20))
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), "btime "); ok {
			seconds, err := strconv.ParseInt(value, 10, 64)
			if err != nil || seconds <= 0 {
				return time.Time{}
			}
			return time.Unix(seconds, 0).UTC()
		}
	}
	return time.Time{}
}

// temperature is that of the hottest thermal zone, which are in thousandths of a degree.
func temperature(sys string) *float64 {
	paths, _ := filepath.Glob(filepath.Join(sys, "class/thermal/thermal_zone*/temp")) // the pattern is good
	var hottest *float64
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // a zone that is off answers with an error
		}
		thousandths, err := strconv.Atoi(strings.TrimSpace(string(text)))
		celsius := float64(thousandths) / 1000
		if err != nil || celsius < -100 || celsius > 200 {
			continue
		}
		if hottest == nil || celsius > *hottest {
			hottest = &celsius
		}
	}
	return hottest
}

// diskFree is what part of a disk may still be written, 0 to 1.
func diskFree(path string) *float64 {
	var s unix.Statfs_t
	if path == "" || unix.Statfs(path, &s) != nil || s.Blocks == 0 {
		return nil
	}
	free := min(float64(s.Bavail)/float64(s.Blocks), 1)
	return &free
}

// processRuns says whether there is a process of that name, of which the kernel keeps 15 bytes.
func processRuns(proc, name string) bool {
	paths, _ := filepath.Glob(filepath.Join(proc, "[0-9]*", "comm")) // the pattern is good
	want := []byte(name[:min(len(name), 15)])
	for _, path := range paths {
		comm, err := os.ReadFile(path)
		if err == nil && bytes.Equal(bytes.TrimSuffix(comm, []byte("\n")), want) {
			return true
		}
	}
	return false
}

// maxLog is how much of a log is read at a time, in bytes.
const maxLog = 1 << 20

// display counts errors in the log of the program that shows the desktop.
type display struct {
	path   string
	errors *regexp.Regexp
	info   os.FileInfo // of the file that was read; nil: none yet
	at     int64       // how far it was read
}

// count returns how many lines with errors came since the last call. What the file held at the first call does not count; a file
// that comes later, or in place of the one before, does from its beginning.
func (d *display) count() (n uint64) {
	if d.path == "" {
		return 0
	}
	first := d.info == nil && d.at == 0
	d.at = max(d.at, 0)
	f, err := os.OpenFile(d.path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		d.at = -1 // what comes is new
		return 0
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return 0
	}
	if first {
		d.info, d.at = info, info.Size()
		return 0
	}
	if d.info == nil || !os.SameFile(info, d.info) || info.Size() < d.at {
		d.at = 0
	}
	d.info = info
	data := make([]byte, min(info.Size()-d.at, maxLog))
	read, err := f.ReadAt(data, d.at)
	if err != nil && read == 0 {
		return 0
	}
	data = data[:read]
	// A line that is not yet whole is read the next time; one that is too long is passed over.
	end := bytes.LastIndexByte(data, '\n') + 1
	if end == 0 && len(data) == maxLog {
		end = len(data)
	}
	d.at += int64(end)
	for line := range bytes.Lines(data[:end]) {
		if d.errors.Match(line) {
			n++
		}
	}
	return n
}
