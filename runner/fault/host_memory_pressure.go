package fault

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/deskstorm/deskstorm/runner/native"
)

// What is left of a host's memory: the kernel kills processes before it is all used, and never frees the file's.
const (
	leftMiB     = 256
	leftPercent = 10
)

// folder is a file system in memory that every Linux has (shm_overview(7)).
const folder = "/dev/shm"

func hostMemoryPressure() kind {
	return kind{
		name: "host.memory_pressure", doc: "takes a host's memory: a file in memory (tmpfs), which the kernel cannot reclaim",
		parameters: []native.Parameter{
			{Name: "mib", Type: native.Integer, Doc: "how much, in MiB"},
			{Name: "percent", Type: native.Number, Doc: "how much, of what is available, above 0 to 90; or else mib"},
		},
		host: func(ctx context.Context, r *request) error {
			memory, err := r.memory(ctx)
			if err != nil {
				return err
			}
			if r.Has("mib") == r.Has("percent") {
				return native.Wrong("mib", "say mib or percent")
			}
			size := r.Integer("mib", 0)
			if percent := r.Number("percent", 0); r.Has("percent") {
				if !(percent > 0 && percent <= 100-leftPercent) {
					return native.Wrong("percent", "expected above 0 to %d", 100-leftPercent)
				}
				size = int(percent / 100 * float64(memory.available))
			}
			most := memory.available - max(leftMiB, memory.total*leftPercent/100)
			if size < 1 || size > most {
				return fmt.Errorf("%d MiB are asked for, of %d MiB that are available; %d MiB may be taken so that the host lives", size,
					memory.available, max(0, most))
			}
			if size > memory.file {
				return fmt.Errorf("%d MiB are asked for, and %s has room for %d MiB", size, folder, memory.file)
			}
			r.Touches.Hosts = []string{r.at}
			r.whats("%d MiB of %d MiB of memory that %s has available are taken", size, memory.available, r.at)
			file := folder + "/" + r.tableName()
			r.applies(command("dd", "if=/dev/zero", "of="+file, "bs=1M", fmt.Sprintf("count=%d", size), "status=none"))
			r.undoes(command("rm", "-f", file))
			return nil
		},
	}
}

// memory is what a target's command may take, in MiB.
type memory struct {
	total, available int
	file             int // that a file may have
}

// freeScript prints total, available and the file system's free memory in KiB: those of the host, or of the control group around the
// command where that has less (memory.max of version 2, memory.limit_in_bytes of version 1, which says 9223372036854771712 for none).
const freeScript = `
total=$(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo)
available=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo)
group() { # limit usage
	limit=$(cat "$1" 2>/dev/null) && usage=$(cat "$2" 2>/dev/null) || return
	case $limit in max|*[!0-9]*|'') return ;; esac
	[ ${#limit} -lt 18 ] || return
	[ $((limit / 1024)) -ge "$total" ] || total=$((limit / 1024))
	left=$(((limit - usage) / 1024))
	[ $left -ge "$available" ] || available=$left
}
path=$(sed -n 's/^0:://p' /proc/self/cgroup)
while [ -n "$path" ]; do
	group "/sys/fs/cgroup$path/memory.max" "/sys/fs/cgroup$path/memory.current"
	[ "$path" != / ] || break
	path=${path%/*}
	[ -n "$path" ] || path=/
done
path=$(sed -n 's/^[0-9]*:\([^:]*,\)*memory\(,[^:]*\)*:\(.*\)/\3/p' /proc/self/cgroup)
for base in "/sys/fs/cgroup/memory$path" /sys/fs/cgroup/memory; do
	group "$base/memory.limit_in_bytes" "$base/memory.usage_in_bytes"
done
file=$(df -Pk "$1" | sed -n '2s/^[^ ]* *[0-9]* *[0-9]* *\([0-9]*\) .*/\1/p')
echo "memory $total $available $file"
`

func (r *request) memory(ctx context.Context) (m memory, err error) {
	said, err := r.look(ctx, shell(freeScript, folder))
	if err != nil {
		return m, fmt.Errorf("asking how much memory is free: %w", err)
	}
	words := strings.Fields(said)
	if len(words) < 4 || words[len(words)-4] != "memory" {
		return m, fmt.Errorf("asking how much memory is free: %s", firstLine(said))
	}
	for i, to := range []*int{&m.total, &m.available, &m.file} {
		kib, err := strconv.Atoi(words[len(words)-3+i])
		if err != nil {
			return m, fmt.Errorf("asking how much memory is free: %s", firstLine(said))
		}
		*to = kib / 1024
	}
	return m, nil
}
