package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/deskstorm/deskstorm/hypervisor/qmp"
)

// QMP reads the disks of all QEMUs whose monitor sockets match a pattern. Each is held only for the moment of the question. It is
// not for QEMUs of libvirt's, which holds their monitors itself.
type QMP struct {
	// Sockets is a pattern (filepath.Match) of paths: /run/desktops/*.qmp. Where nothing matches no guest runs.
	Sockets string
}

const (
	// socketTimeout bounds the question to one QEMU. A healthy one answers in some milliseconds.
	socketTimeout = 2 * time.Second
	// socketsAtOnce is how many are asked at a time, so that some that hang cost the others little.
	socketsAtOnce = 16
)

// Read asks the QEMUs. Sockets that a QEMU has left behind when it ended are passed over.
func (q QMP) Read(ctx context.Context) (Counters, error) {
	sockets, err := q.sockets()
	if err != nil {
		return nil, fmt.Errorf("reading guests' disk statistics: %w", err)
	}
	counters := Counters{}
	var mu sync.Mutex
	var errs []error
	var group errgroup.Group
	group.SetLimit(socketsAtOnce)
	for _, socket := range sockets {
		group.Go(func() error {
			disks, err := q.ask(ctx, socket)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
			}
			for _, d := range disks {
				disk := ofGuest(d.BlockCounters)
				disk.Timed = true
				counters[socket+" "+d.Name] = disk
			}
			return nil
		})
	}
	_ = group.Wait() // nothing fails as a whole
	switch {
	case len(errs) == 0:
		return counters, nil
	case ctx.Err() != nil:
		return counters, fmt.Errorf("reading guests' disk statistics: %w", context.Cause(ctx))
	}
	return counters, fmt.Errorf("reading guests' disk statistics: %d of %d QEMUs did not answer, one of them: %w",
		len(errs), len(sockets), errs[0])
}

func (q QMP) ask(ctx context.Context, socket string) ([]qmp.Disk, error) {
	ctx, cancel := context.WithTimeout(ctx, socketTimeout)
	defer cancel()
	disks, err := qmp.BlockStats(ctx, socket)
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT) {
		return nil, nil
	}
	return disks, err
}

// sockets returns the paths that match. filepath.Glob says nothing of a folder that is not there or may not be read, which
// would look like a host without guests.
func (q QMP) sockets() ([]string, error) {
	folder := filepath.Dir(q.Sockets)
	for strings.ContainsAny(folder, `*?[\`) {
		folder = filepath.Dir(folder)
	}
	if _, err := os.ReadDir(folder); err != nil {
		return nil, fmt.Errorf("looking for %s: %w", q.Sockets, err)
	}
	sockets, err := filepath.Glob(q.Sockets)
	if err != nil {
		return nil, fmt.Errorf("looking for %s: %w", q.Sockets, err)
	}
	return sockets, nil
}

// ofGuest makes a Disk of QEMU's counters.
func ofGuest(c qmp.BlockCounters) Disk {
	return Disk{
		Reads: c.Reads, Writes: c.Writes, ReadBytes: c.ReadBytes, WrittenBytes: c.WrittenBytes,
		ReadTime: c.ReadTime, WriteTime: c.WriteTime, QueueTime: c.ReadTime + c.WriteTime + c.FlushTime,
	}
}
