package doctor

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"
)

// reservedDescriptors are for k6 itself: script, outputs, its API, name servers.
const reservedDescriptors = 100

// Descriptors checks the limit of open files, as getrlimit(RLIMIT_NOFILE) gives it, against the sockets of the clients.
// The Go runtime has raised the soft limit to the hard one by the time this runs, where it was allowed to.
func Descriptors(limit func() (unix.Rlimit, error), clients int) Check {
	return func(context.Context) Result {
		have, err := limit()
		if err != nil {
			return unreadable("descriptors", err)
		}
		need := uint64(clients)*SocketsPerClient + reservedDescriptors
		r := Result{
			Check: "descriptors",
			Found: fmt.Sprintf("%s may be open (hard limit %s), %d clients need %d",
				limitText(have.Cur), limitText(have.Max), clients, need),
		}
		switch {
		case have.Max < need:
			r.Level = Fail
			r.Advice = fmt.Sprintf("This limit allows %d clients. Raise it for the process that starts deskstorm:\n"+
				"- systemd: LimitNOFILE=%[2]d in the unit's [Service]\n"+
				"- login shell: \"* hard nofile %[2]d\" in /etc/security/limits.d/deskstorm.conf, then log in again\n"+
				"- container: docker run --ulimit nofile=%[2]d:%[2]d\n"+
				"- as root, for this shell only: ulimit -Hn %[2]d && ulimit -Sn %[2]d\n"+
				"or spread the clients over several machines with k6's --execution-segment.",
				fit(have.Max, reservedDescriptors, SocketsPerClient), need)
		case have.Cur < need:
			r.Level = Fail
			r.Advice = fmt.Sprintf("Run ulimit -Sn %d in the shell that starts deskstorm; its hard limit allows it.", need)
		}
		return r
	}
}

// Limit returns the process's own limit of open files.
func Limit() (unix.Rlimit, error) {
	var limit unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	return limit, err
}

func limitText(n uint64) string {
	if n == unix.RLIM_INFINITY {
		return "any number"
	}
	return fmt.Sprint(n)
}

// fit returns how many clients fit into have after reserved, each taking each.
func fit(have, reserved, each uint64) uint64 {
	if have < reserved {
		return 0
	}
	return (have - reserved) / each
}
