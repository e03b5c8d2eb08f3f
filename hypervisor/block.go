package hypervisor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"github.com/deskstorm/deskstorm/hypervisor/qmp"
)

// Disk is one disk of a running domain, with what QEMU counted of it.
type Disk struct {
	Domain string // its UUID
	// Run is libvirt's ID of the domain. It has another one each time it is started, and the counters begin at 0 then.
	Run  int
	Name string // as the guest's description has it: vda
	qmp.BlockCounters
	// Timed says whether the counters' times are known. Those of QEMU's drivers are; libvirt leaves them out where they are not.
	Timed bool

	counted bool // there are counters
}

// BlockStats returns the counters of all running domains' disks, in one call, in which libvirt asks one QEMU after the other. A
// domain whose QEMU is just busy with another command of libvirt's is left out rather than waited for
// (VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT): one stuck QEMU would else hide the host. After a restart of libvirtd the domains
// come back one by one. It needs libvirt 4.5 or later.
//
// Errors are ErrConnection, or libvirt's own.
func (h *Host) BlockStats(ctx context.Context) ([]Disk, error) {
	const flags = libvirt.ConnectGetAllDomainsStatsActive | libvirt.ConnectGetAllDomainsStatsNowait
	var disks []Disk
	err := h.call(ctx, func(c *connection) error {
		records, err := c.libvirt.ConnectGetAllDomainStats(nil, uint32(libvirt.DomainStatsBlock), uint32(flags))
		if err != nil {
			return err
		}
		disks = nil // of a call before, on a connection that was lost
		for _, record := range records {
			disks = append(disks, disksOf(record)...)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("asking %s for its domains' block statistics: %w", h, tooOld(err))
	}
	return disks, nil
}

// disksOf returns the disks of a domain that have counters. An empty drive has none, and no disk has any while QEMU is not asked.
// The parameters are block.0.name, block.0.rd.reqs and so on (virConnectGetAllDomainStats in libvirt's documentation).
func disksOf(record libvirt.DomainStatsRecord) []Disk {
	byNumber := map[string]*Disk{}
	var disks []Disk
	for _, p := range record.Params {
		rest, _ := strings.CutPrefix(p.Field, libvirt.DomainStatsBlockPrefix)
		number, field, _ := strings.Cut(rest, ".")
		d := byNumber[number]
		if d == nil {
			d = &Disk{Domain: uuid.UUID(record.Dom.UUID).String(), Run: int(record.Dom.ID)}
			byNumber[number] = d
		}
		switch value := p.Value.I.(type) {
		case string:
			if field == "name" {
				d.Name = value
			}
		case uint64:
			d.set("."+field, value)
		}
	}
	for _, number := range slices.Sorted(maps.Keys(byNumber)) {
		if d := byNumber[number]; d.counted {
			disks = append(disks, *d)
		}
	}
	return disks
}

// set takes one of libvirt's parameters of a disk. Times are in nanoseconds.
func (d *Disk) set(parameter string, value uint64) {
	switch parameter {
	case libvirt.DomainStatsBlockSuffixRdReqs:
		d.Reads, d.counted = value, true
	case libvirt.DomainStatsBlockSuffixRdBytes:
		d.ReadBytes = value
	case libvirt.DomainStatsBlockSuffixRdTimes:
		d.ReadTime, d.Timed = time.Duration(value), true
	case libvirt.DomainStatsBlockSuffixWrReqs:
		d.Writes = value
	case libvirt.DomainStatsBlockSuffixWrBytes:
		d.WrittenBytes = value
	case libvirt.DomainStatsBlockSuffixWrTimes:
		d.WriteTime = time.Duration(value)
	case libvirt.DomainStatsBlockSuffixFlReqs:
		d.Flushes = value
	case libvirt.DomainStatsBlockSuffixFlTimes:
		d.FlushTime = time.Duration(value)
	}
}

// tooOld adds the cure to what libvirt says when it does not know the call or its flag.
func tooOld(err error) error {
	var of libvirt.Error
	if !errors.As(err, &of) {
		return err
	}
	err = typed(err)
	switch libvirt.ErrorNumber(of.Code) {
	case libvirt.ErrNoSupport, libvirt.ErrInvalidArg:
		return fmt.Errorf("%w; it needs libvirt 4.5 or later", err)
	}
	return err
}
