package screen

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// fdAlarm is an alarm of the kernel's high resolution timers. It is a file to
// the Go runtime's poller, so that waiting holds no thread.
type fdAlarm struct {
	fd int // also f's; File.Fd would make it blocking
	f  *os.File
}

// newAlarm falls back to the runtime's timers when the process is out of
// descriptors.
func newAlarm() alarm {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return newTimerAlarm()
	}
	return &fdAlarm{fd: fd, f: os.NewFile(uintptr(fd), "timerfd")}
}

func (a *fdAlarm) set(d time.Duration) {
	// 0 would disarm the timer.
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(int64(d), 1))}
	// It can only fail with arguments that these are not.
	_ = unix.TimerfdSettime(a.fd, 0, &spec, nil)
}

func (a *fdAlarm) wait() {
	var expirations [8]byte
	_, _ = a.f.Read(expirations[:]) // a failure is an early look at the heap
}

func (a *fdAlarm) close() { _ = a.f.Close() }
