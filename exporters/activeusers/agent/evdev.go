package agent

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The kernel's struct input_event where time is of 64 bits (linux/input.h): 16 bytes of time, type, code, value. Where the code
// is, is of no interest here.
const (
	eventSize   = 24
	typeOffset  = 16
	valueOffset = 20
)

// Types of events and the value of a key that goes down; 0 is one that goes up, 2 a repetition (linux/input-event-codes.h).
const (
	evSyn   = 0
	evKey   = 1
	evRel   = 2
	evAbs   = 3
	pressed = 1
)

// rescanEvery is how soon a plugged-in device is found.
const rescanEvery = 2 * time.Second

// inputs counts the events of all input devices.
type inputs struct {
	dir string
	log *slog.Logger

	events atomic.Uint64
	last   atomic.Pointer[time.Time] // nil: never

	readers sync.WaitGroup
	mu      sync.Mutex
	open    map[string]*os.File // nil: it is one that does not count
	blind   bool                // there was no device that may be read
}

func newInputs(dir string, log *slog.Logger) *inputs {
	return &inputs{dir: dir, log: log, open: map[string]*os.File{}}
}

// take returns the number of events since the last call, and when the last one ever was.
func (in *inputs) take() (events uint64, last time.Time) {
	events = in.events.Swap(0)
	if at := in.last.Load(); at != nil {
		last = *at
	}
	return events, last
}

// run reads devices, and looks for new ones, until the context ends.
func (in *inputs) run(ctx context.Context) {
	ticker := time.NewTicker(rescanEvery)
	defer ticker.Stop()
	for {
		in.scan()
		select {
		case <-ctx.Done():
			in.mu.Lock()
			for _, f := range in.open {
				if f != nil {
					_ = f.Close() // wakes its reader
				}
			}
			in.mu.Unlock()
			in.readers.Wait()
			return
		case <-ticker.C:
		}
	}
}

// scan opens the devices that are not open yet.
func (in *inputs) scan() {
	paths, _ := filepath.Glob(filepath.Join(in.dir, "event*")) // the pattern is good
	failed := errors.New("there is none")
	for _, path := range paths {
		in.mu.Lock()
		_, open := in.open[path]
		in.mu.Unlock()
		if open {
			continue
		}
		if err := in.add(path); err != nil {
			failed = err // a device just plugged in gets its rights a little later
		}
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	for path, f := range in.open {
		if _, err := os.Lstat(path); f == nil && err != nil {
			delete(in.open, path)
		}
	}
	blind := len(in.open) == 0
	if blind && !in.blind {
		in.log.Warn("no input device can be read, so nobody seems to work here; is the agent in the group input?",
			"in", in.dir, "err", failed)
	}
	in.blind = blind
}

func (in *inputs) add(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Mode()&(os.ModeCharDevice|os.ModeNamedPipe) == 0 {
		return nil
	}
	// Non-blocking, so that Close wakes a Read.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if isAccelerometer(f) {
		in.open[path] = nil
		return f.Close()
	}
	in.open[path] = f
	in.readers.Go(func() {
		in.read(f)
		in.mu.Lock()
		defer in.mu.Unlock()
		delete(in.open, path)
		_ = f.Close() // of a device that is gone
	})
	return nil
}

// read counts a device's events until it is gone or closed.
func (in *inputs) read(f *os.File) {
	buf := make([]byte, 64*eventSize)
	var d device
	rest := 0
	for {
		n, err := f.Read(buf[rest:])
		n += rest
		whole := n - n%eventSize
		if events := d.count(buf[:whole]); events > 0 {
			in.events.Add(events)
			now := time.Now()
			in.last.Store(&now)
		}
		rest = copy(buf, buf[whole:n])
		clear(buf[rest:]) // nothing of what was typed stays in memory
		if err != nil {
			clear(buf)
			return
		}
	}
}

// device counts one device's events.
type device struct{ moved bool }

// count returns how often a key or button went down, and how often the pointer was moved: a movement is several axes and an
// evSyn at its end.
func (d *device) count(events []byte) (n uint64) {
	for ; len(events) >= eventSize; events = events[eventSize:] {
		switch binary.NativeEndian.Uint16(events[typeOffset:]) {
		case evKey:
			if binary.NativeEndian.Uint32(events[valueOffset:]) == pressed {
				n++
			}
		case evRel, evAbs:
			d.moved = true
		case evSyn:
			if d.moved {
				n++
			}
			d.moved = false
		}
	}
	return n
}

// isAccelerometer says whether a device tells of the desk's shaking and not of a user (INPUT_PROP_ACCELEROMETER). What is no
// input device is none.
func isAccelerometer(f *os.File) bool {
	const (
		propAccelerometer = 6
		// EVIOCGPROP for 8 bytes: _IOC(_IOC_READ, 'E', 0x09, 8).
		getProperties = 2<<30 | 8<<16 | 'E'<<8 | 0x09
	)
	var properties [8]byte
	conn, err := f.SyscallConn()
	if err != nil {
		return false
	}
	var errno unix.Errno
	err = conn.Control(func(fd uintptr) {
		_, _, errno = unix.Syscall(unix.SYS_IOCTL, fd, getProperties, uintptr(unsafe.Pointer(&properties[0])))
	})
	return err == nil && errno == 0 && properties[0]&(1<<propAccelerometer) != 0
}
