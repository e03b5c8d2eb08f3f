package qmp

import (
	"cmp"
	"context"
	"time"
)

// BlockCounters are what a disk of a guest's has done since its QEMU began to run: requests as the guest made them, and the time
// from when QEMU took one from the guest until it answered. So a time holds everything that made the guest wait: QEMU's throttling,
// the host's queues, the storage. A request counts when it is answered.
type BlockCounters struct {
	Reads, Writes, Flushes uint64
	ReadBytes              uint64
	WrittenBytes           uint64

	// Sums over the requests.
	ReadTime, WriteTime, FlushTime time.Duration
}

// Disk is one disk of a guest's.
type Disk struct {
	Name string // of the device: its path in QEMU's tree of devices, or -drive's id
	BlockCounters
}

// BlockStats asks a QEMU for its disks' counters (query-blockstats). Errors are as Execute's.
func BlockStats(ctx context.Context, socket string) ([]Disk, error) {
	var answer []struct {
		Device string `json:"device"` // empty for a disk of -blockdev, as libvirt's
		Qdev   string `json:"qdev"`
		Node   string `json:"node-name"`
		Stats  struct {
			Reads        uint64 `json:"rd_operations"`
			Writes       uint64 `json:"wr_operations"`
			Flushes      uint64 `json:"flush_operations"`
			ReadBytes    uint64 `json:"rd_bytes"`
			WrittenBytes uint64 `json:"wr_bytes"`
			ReadTime     int64  `json:"rd_total_time_ns"`
			WriteTime    int64  `json:"wr_total_time_ns"`
			FlushTime    int64  `json:"flush_total_time_ns"`
		} `json:"stats"`
	}
	if err := Execute(ctx, socket, "query-blockstats", nil, &answer); err != nil {
		return nil, err
	}
	disks := make([]Disk, len(answer))
	for i, a := range answer {
		disks[i] = Disk{
			Name: cmp.Or(a.Qdev, a.Device, a.Node),
			BlockCounters: BlockCounters{
				Reads: a.Stats.Reads, Writes: a.Stats.Writes, Flushes: a.Stats.Flushes,
				ReadBytes: a.Stats.ReadBytes, WrittenBytes: a.Stats.WrittenBytes,
				ReadTime:  time.Duration(a.Stats.ReadTime),
				WriteTime: time.Duration(a.Stats.WriteTime),
				FlushTime: time.Duration(a.Stats.FlushTime),
			},
		}
	}
	return disks, nil
}

// Status asks a QEMU what its guest does (query-status): "running", "paused", "io-error" and others of QAPI's RunState. Errors are
// as Execute's.
func Status(ctx context.Context, socket string) (string, error) {
	var answer struct {
		Status string `json:"status"`
	}
	err := Execute(ctx, socket, "query-status", nil, &answer)
	return answer.Status, err
}
