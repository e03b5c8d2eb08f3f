package storage

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// linux6 is of a host with two NVMe disks in a RAID and LVM on it, one SATA disk and one NVMe disk with two paths.
const linux6 = `   7       0 loop0 11 0 28 0 0 0 0 0 0 0 0 0 0 0 0 0 0
 259       0 nvme0n1 1000 5 16000 200 500 6 8000 300 2 400 500 0 0 0 0 9 0
 259       1 nvme0n1p1 10 5 160 2 5 6 80 3 0 4 5 0 0 0 0 0 0
 259       2 nvme1n1 2000 5 32000 400 700 6 16000 500 0 600 900 0 0 0 0 9 0
 259       3 nvme2c0n1 1 0 8 1 0 0 0 0 0 1 1 0 0 0 0 0 0
 259       4 nvme2n1 3 0 8 1 0 0 0 0 0 1 1 0 0 0 0 0 0
   9       0 md0 3000 0 48000 0 1200 0 24000 0 0 0 0 0 0 0 0 0 0
 253       0 dm-0 3000 0 48000 600 1200 0 24000 800 2 1000 1400 0 0 0 0 0 0
 253       0 zram0 5 0 8 0 0 0 0 0 0 0 0 0 0 0 0 0 0
   8       0 sda 4294967296 0 34359738368 4294967295 1 0 8 0 7 4294967294 4294967293 0 0 0 0 0 0
   8       1 sda1 1 0 8 1 1 0 8 0 0 1 1 0 0 0 0 0 0
 202       1 xvda1 1 0 8 1 1 0 8 0 0 1 1 0 0 0 0 0 0
  11       0 sr0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
`

func write(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "diskstats")
	require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
	return file
}

func TestDiskstats(t *testing.T) {
	file := write(t, linux6)
	for name, c := range map[string]struct {
		devices []string
		want    []string
	}{
		"whole disks":       {nil, []string{"nvme0n1", "nvme1n1", "nvme2n1", "sda", "xvda1"}},
		"one":               {[]string{"sda"}, []string{"sda"}},
		"patterns":          {[]string{"dm-*", "nvme[01]n1"}, []string{"dm-0", "nvme0n1", "nvme1n1"}},
		"partitions, if so": {[]string{"sda?"}, []string{"sda1"}},
	} {
		t.Run(name, func(t *testing.T) {
			counters, err := Diskstats{Path: file, Devices: c.devices}.Read(t.Context())
			require.NoError(t, err)
			require.Equal(t, c.want, slices.Sorted(maps.Keys(counters)))
		})
	}
	counters, err := Diskstats{Path: file}.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, Disk{
		Reads: 1000, Writes: 500, ReadBytes: 16000 * 512, WrittenBytes: 8000 * 512,
		Timed: true, ReadTime: 200 * time.Millisecond, WriteTime: 300 * time.Millisecond, QueueTime: 500 * time.Millisecond,
		Host: true, BusyTime: 400 * time.Millisecond, InFlight: 2, wrap: timesEnd,
	}, counters["nvme0n1"])
	require.EqualValues(t, 1<<32, counters["sda"].Reads)
	require.Equal(t, timesEnd-time.Millisecond, counters["sda"].ReadTime)

	// Linux 2.6.25 to 4.17 has 14 fields.
	counters, err = Diskstats{Path: write(t, "8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n")}.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, 11*time.Millisecond, counters["sda"].QueueTime)
}

func TestDiskstatsRefuses(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, unix.Mkfifo(pipe, 0o600))
	for name, c := range map[string]struct {
		reader Diskstats
		want   string
	}{
		"no file":            {Diskstats{Path: "/nowhere/diskstats"}, "/nowhere/diskstats"},
		"a pipe":             {Diskstats{Path: pipe}, "no regular file"},
		"empty":              {Diskstats{Path: write(t, "")}, "has 0 devices and no whole disk among them"},
		"loops only":         {Diskstats{Path: write(t, "7 0 loop0 1 2 3 4 5 6 7 8 9 10 11\n")}, "name those to read"},
		"another device":     {Diskstats{Path: write(t, linux6), Devices: []string{"vda", "vd*"}}, "none of the 13 devices in"},
		"too few fields":     {Diskstats{Path: write(t, "8 0 sda 1 2 3 4 5 6 7 8 9 10\n")}, ":1: expected at least 14 fields, found 13"},
		"no number":          {Diskstats{Path: write(t, linux6+"8 0 sdb 1 2 3 4 5 6 -7 8 9 10 11\n")}, ":14: field 10 is no number"},
		"a giant time":       {Diskstats{Path: write(t, "8 0 sdb 1 2 3 4294967296 5 6 7 8 9 10 11\n")}, "field 7 is no time"},
		"a line without end": {Diskstats{Path: write(t, strings.Repeat("x", 1<<20))}, "token too long"},
	} {
		t.Run(name, func(t *testing.T) {
			counters, err := c.reader.Read(t.Context())
			require.ErrorContains(t, err, "reading disk statistics: ")
			require.ErrorContains(t, err, c.want)
			require.Nil(t, counters)
		})
	}
}

// TestDiskstatsOfThisKernel writes to the disk that the temporary directory is on.
func TestDiskstatsOfThisKernel(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	f, err := os.Create(file)
	require.NoError(t, err)
	defer f.Close()
	name := deviceOf(t, f) // empty on a tmpfs or an overlay; then the kernel's own figures must make sense, and no more
	reader := Diskstats{}
	if name != "" {
		reader.Devices = []string{name}
	}
	before, err := reader.Read(t.Context())
	require.NoError(t, err)
	begun := time.Now()
	const writes = 20
	for range writes {
		_, err := f.Write(make([]byte, 64<<10))
		require.NoError(t, err)
		require.NoError(t, f.Sync())
	}
	after, err := reader.Read(t.Context())
	require.NoError(t, err)
	r := Rate(before, after, time.Since(begun))
	t.Logf("%s: %+v", name, r)
	require.Positive(t, r.Disks)
	if name != "" {
		require.Equal(t, 1, r.Disks)
		require.GreaterOrEqual(t, after[name].Writes-before[name].Writes, uint64(writes))
		require.GreaterOrEqual(t, after[name].WrittenBytes-before[name].WrittenBytes, uint64(writes*64<<10))
		require.GreaterOrEqual(t, r.WriteLatency, 0.0)
	}
	require.GreaterOrEqual(t, r.Utilisation, 0.0)
	require.LessOrEqual(t, r.Utilisation, 1.0)
	require.GreaterOrEqual(t, r.Queue, 0.0)
}

// deviceOf returns the name of the device that a file is on.
func deviceOf(t *testing.T, f *os.File) string {
	t.Helper()
	var stat unix.Stat_t
	require.NoError(t, unix.Fstat(int(f.Fd()), &stat))
	table, err := os.ReadFile(defaultDiskstats)
	require.NoError(t, err)
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if fields[0] == strconv.Itoa(int(unix.Major(stat.Dev))) && fields[1] == strconv.Itoa(int(unix.Minor(stat.Dev))) {
			return fields[nameField]
		}
	}
	return ""
}
