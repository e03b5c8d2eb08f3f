package storage

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Diskstats reads the disks of the host that it runs on.
type Diskstats struct {
	Path string // of the kernel's file; empty: /proc/diskstats
	// Devices are patterns (path.Match) of the names to read: sda, nvme*. Nil: all whole disks, so neither their partitions nor
	// what is built of them (md, dm, drbd ...) and would count a request again, nor disks in memory, nor loop, floppy and
	// optical drives.
	Devices []string
}

const defaultDiskstats = "/proc/diskstats"

// maxDiskstats bounds what is read of the file, in bytes. A disk's line has some 100.
const maxDiskstats = 1 << 20

// Read reads the file.
func (d Diskstats) Read(context.Context) (Counters, error) {
	file := d.Path
	if file == "" {
		file = defaultDiskstats
	}
	found, err := readDiskstats(file)
	if err != nil {
		return nil, fmt.Errorf("reading disk statistics: %w", err)
	}
	chosen := Counters{}
	for name, disk := range found {
		if d.chooses(name, found) {
			chosen[name] = disk
		}
	}
	if len(chosen) > 0 {
		return chosen, nil
	}
	if d.Devices == nil {
		return nil, fmt.Errorf("reading disk statistics: %s has %d devices and no whole disk among them; name those to read",
			file, len(found))
	}
	return nil, fmt.Errorf("reading disk statistics: none of the %d devices in %s is called %s",
		len(found), file, strings.Join(d.Devices, " or "))
}

// notDisks are the names of what is no disk of its own (Documentation/admin-guide/devices.txt); the last is a path of NVMe's to
// a disk that several lead to.
var notDisks = regexp.MustCompile(`^(ram|zram|loop|fd|sr|md|dm-|drbd|bcache|zd)\d|^md_|^nvme\d+c\d+n\d+`)

func (d Diskstats) chooses(name string, all Counters) bool {
	if d.Devices == nil {
		return !notDisks.MatchString(name) && !isPartition(name, all)
	}
	for _, pattern := range d.Devices {
		if ok, err := path.Match(pattern, name); ok && err == nil {
			return true
		}
	}
	return false
}

// isPartition tells whether a name is that of another disk with a number behind it: sda1 of sda, nvme0n1p1 of nvme0n1. A disk whose
// own name ends in a digit has a p between.
func isPartition(name string, all Counters) bool {
	stem := strings.TrimRight(name, "0123456789")
	if stem == name {
		return false
	}
	if _, ok := all[stem]; ok {
		return true
	}
	disk, ok := strings.CutSuffix(stem, "p")
	_, known := all[disk]
	return ok && known
}

// Fields of a line, from 0, by Documentation/admin-guide/iostats.rst of Linux: major, minor, name, then its "fields" 1 to 11; 4.18
// adds discards and 5.5 flushes, which field 11 has in it.
const (
	nameField      = 2
	readsField     = 3
	sectorsRead    = 5
	readTimeField  = 6
	writesField    = 7
	sectorsWritten = 9
	writeTimeField = 10
	inFlightField  = 11
	busyTimeField  = 12
	queueTimeField = 13
	leastFields    = 14
	sector         = 512 // bytes, whatever the disk's own are
	timesEnd       = (1 << 32) * time.Millisecond
)

func readDiskstats(file string) (Counters, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", file)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	all := Counters{}
	lines := bufio.NewScanner(io.LimitReader(f, maxDiskstats))
	for n := 1; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		if len(fields) < leastFields {
			return nil, fmt.Errorf("%s:%d: expected at least %d fields, found %d", file, n, leastFields, len(fields))
		}
		disk, err := parseDisk(fields)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n, err)
		}
		all[fields[nameField]] = disk
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return all, nil
}

func parseDisk(fields []string) (Disk, error) {
	var wrong error
	number := func(i int) uint64 {
		n, err := strconv.ParseUint(fields[i], 10, 64)
		if err != nil {
			wrong = errors.Join(wrong, fmt.Errorf("field %d is no number", i+1))
		}
		return n
	}
	milliseconds := func(i int) time.Duration {
		n := number(i)
		if n >= 1<<32 { // more than the kernel's unsigned int
			wrong = errors.Join(wrong, fmt.Errorf("field %d is no time", i+1))
		}
		return time.Duration(n) * time.Millisecond
	}
	disk := Disk{
		Reads: number(readsField), Writes: number(writesField),
		ReadBytes: number(sectorsRead) * sector, WrittenBytes: number(sectorsWritten) * sector,
		Timed: true, ReadTime: milliseconds(readTimeField), WriteTime: milliseconds(writeTimeField),
		QueueTime: milliseconds(queueTimeField),
		Host:      true, BusyTime: milliseconds(busyTimeField), InFlight: number(inFlightField),
		wrap: timesEnd,
	}
	return disk, wrong
}
