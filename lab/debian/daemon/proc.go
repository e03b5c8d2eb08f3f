package daemon

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// status is what the kernel tells of a process (proc_pid_stat(5)).
type status struct {
	ended   bool // a zombie: only its parent has not noticed yet
	session int
	ticks   uint64 // when it was started, since the machine booted
}

// stat is a process's status.
func stat(pid int) (s status, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return s, err
	}
	// The command's name is in parentheses and may have spaces and parentheses itself. The state, field 3, follows it.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 20 {
		return s, fmt.Errorf("/proc/%d/stat is not as expected", pid)
	}
	s.ended = fields[0] == "Z" || fields[0] == "X"
	if s.session, err = strconv.Atoi(fields[3]); err != nil {
		return s, err
	}
	s.ticks, err = strconv.ParseUint(fields[19], 10, 64)
	return s, err
}

func bootID() (string, error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(text)), err
}

// session are the processes of the daemon's session, itself included as long as it lives. The session's number is the daemon's,
// which the kernel gives to no other process as long as the session has members: if another has it, they are none of ours.
func (r Record) session() ([]int, error) {
	boot, err := bootID()
	if err != nil || boot != r.Boot {
		return nil, err
	}
	if first, err := stat(r.PID); err == nil && first.ticks != r.Ticks {
		return nil, nil
	}
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var members []int
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if s, err := stat(pid); err == nil && s.session == r.PID && s.ticks >= r.Ticks && !s.ended {
			members = append(members, pid)
		}
	}
	return members, nil
}

// Memory is what the processes of the daemon's session hold, in bytes: their proportional set size (Pss of smaps_rollup in
// proc_pid_smaps(5)), which counts what n processes share at one n-th in each.
func (r Record) Memory() (bytes int64, err error) {
	members, err := r.session()
	if err != nil {
		return 0, err
	}
	for _, pid := range members {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			continue // ended meanwhile
		}
		for line := range strings.Lines(string(text)) {
			if kB, ok := strings.CutPrefix(line, "Pss:"); ok {
				n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(kB), " kB"), 10, 64)
				if err != nil {
					return 0, fmt.Errorf("/proc/%d/smaps_rollup: %w", pid, err)
				}
				bytes += n << 10
			}
		}
	}
	return bytes, nil
}
