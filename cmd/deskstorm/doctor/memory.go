package doctor

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// A whole virtual user with its session is to stay below 200 kB; k6 itself takes some 150 MB.
const (
	bytesPerClient = 200_000
	bytesOfK6      = 150_000_000
)

// tightShare is the share of the available memory above which a garbage collector's peaks may no longer fit.
const tightShare = 0.8

// Memory checks what is available, the least of the machine's (proc, a file system like /proc) and the control group's
// (sys, one like /sys), against what the clients take.
func Memory(proc, sys fs.FS, clients int) Check {
	return func(context.Context) Result {
		have, err := available(proc)
		if err != nil {
			return unreadable("memory", err)
		}
		if left, limited := groupLeft(sys); limited {
			have = min(have, left)
		}
		need := int64(clients)*bytesPerClient + bytesOfK6
		r := Result{
			Check: "memory",
			Found: fmt.Sprintf("%d MB available, %d clients take some %d MB", have/1e6, clients, need/1e6),
		}
		switch {
		case need > have:
			r.Level = Fail
		case float64(need) > tightShare*float64(have):
			r.Level = Warn
		}
		if r.Level != OK {
			fitting := fit(uint64(max(0, tightShare*float64(have))), bytesOfK6, bytesPerClient)
			r.Advice = fmt.Sprintf("Some %d clients fit comfortably. Use fewer, free memory, raise the container's limit, or\n"+
				"spread the clients over several machines with k6's --execution-segment.", fitting)
		}
		return r
	}
}

// available returns MemAvailable of /proc/meminfo in bytes.
func available(proc fs.FS) (int64, error) {
	text, err := fs.ReadFile(proc, "meminfo")
	if err != nil {
		return 0, err
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		var kib int64
		if n, _ := fmt.Sscanf(lines.Text(), "MemAvailable: %d kB", &kib); n == 1 {
			return kib * 1024, nil
		}
	}
	return 0, fmt.Errorf("meminfo has no MemAvailable")
}

// groupLeft returns how many bytes the control group leaves, as a container sees it at its root: version 2, then 1.
func groupLeft(sys fs.FS) (int64, bool) {
	for _, files := range [][2]string{
		{"fs/cgroup/memory.max", "fs/cgroup/memory.current"},
		{"fs/cgroup/memory/memory.limit_in_bytes", "fs/cgroup/memory/memory.usage_in_bytes"},
	} {
		limit, err := readInt(sys, files[0]) // "max", no limit, is no number either
		if err != nil {
			continue
		}
		if used, err := readInt(sys, files[1]); err == nil {
			return limit - used, true
		}
	}
	return 0, false
}

func readInt(files fs.FS, name string) (int64, error) {
	text, err := fs.ReadFile(files, name)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
}
