package storage

import (
	"context"
	"fmt"

	"github.com/deskstorm/deskstorm/hypervisor"
)

// Libvirt reads the disks of all guests that a host's libvirtd runs.
type Libvirt struct {
	URI string // as hypervisor.Connect takes it
}

// Read asks the libvirtd.
func (l Libvirt) Read(ctx context.Context) (Counters, error) {
	host, err := hypervisor.Connect(ctx, l.URI)
	if err != nil {
		return nil, fmt.Errorf("reading guests' disk statistics: %w", err)
	}
	defer host.Close()
	disks, err := host.BlockStats(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading guests' disk statistics: %w", err)
	}
	counters := Counters{}
	for _, d := range disks {
		disk := ofGuest(d.BlockCounters)
		disk.Timed = d.Timed
		// With the number of the run, a guest that was started again is another one.
		counters[fmt.Sprintf("%s %d %s", d.Domain, d.Run, d.Name)] = disk
	}
	return counters, nil
}
