// Package storage reads what hosts' disks do: how long a request takes, how busy the disks are, how many requests wait. There are
// three ways to it, and they do not tell the same:
//
//   - diskstats is the kernel's view of the host's own disks, on the host itself. It alone knows how busy they are.
//   - libvirt is QEMU's view of the guests' disks, from anywhere, and
//   - QMP is the same on a host without libvirt.
//
// QEMU's times hold all that made the guest wait, so they are what the desktops' users feel; also of storage that the host reaches
// over a network and has no disk for. A request counts when it is completed: one that never is shows in nothing but the diskstats'
// InFlight and Utilisation.
package storage

import (
	"context"
	"time"
)

// Reader reads the counters of a host's disks. It keeps nothing between two calls, no connection either, so that a host that was
// away needs no care, and may be used by several goroutines.
//
// Counters and an error may come together: those of the guests that answered, and why others did not.
type Reader interface {
	Read(ctx context.Context) (Counters, error)
}

// Counters are a host's disks, or its guests' disks, by a name that a disk keeps as long as it counts on.
type Counters map[string]Disk

// Disk is what a disk has done since it began to count: with the host's start, or with the QEMU's.
type Disk struct {
	Reads, Writes           uint64 // requests completed
	ReadBytes, WrittenBytes uint64

	Timed bool // the three times below are known
	// Sums over the completed requests, of the time that each took.
	ReadTime, WriteTime time.Duration
	QueueTime           time.Duration // over all requests: reads, writes, flushes, discards

	Host     bool          // it is a disk of the host's own: the two below are known
	BusyTime time.Duration // while at least one request was in flight
	InFlight uint64        // requests in flight now

	// wrap is where the times begin at 0 again; 0: never.
	wrap time.Duration
}
