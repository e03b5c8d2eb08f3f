package load

import (
	"fmt"
	"strings"
)

const (
	// descriptorsPerUser are a session's four channels and a connection to the broker or the cloud.
	descriptorsPerUser = 5
	// reservedDescriptors are for k6 itself: script, outputs, name servers.
	reservedDescriptors = 100

	// On two cores a second process saves nothing (docs/load.md). On many cores k6's samples, which one goroutine of a process takes
	// all, ask for several.
	usersPerProcess = 1000
	coresPerProcess = 4

	maxProcesses = 64
)

// split is in how many k6 processes so many virtual users are held; asked 0: as descriptors and cores ask for. Children that are Go
// programs, as k6 is, raise their soft limit to the hard one by themselves.
func (l loader) split(users, asked int) (int, error) {
	if asked < 0 || asked > maxProcesses {
		return 0, fmt.Errorf("processes is %d; expected at most %d", asked, maxProcesses)
	}
	limit, err := l.descriptors()
	if err != nil {
		return 0, fmt.Errorf("reading the limit of open files: %w", err)
	}
	fit := 0 // users in a process
	if limit.Max > reservedDescriptors {
		fit = int(min((limit.Max-reservedDescriptors)/descriptorsPerUser, 1<<30))
	}
	wanted := asked
	if asked == 0 {
		wanted = max(1, min(users/usersPerProcess, l.cores/coresPerProcess))
	}
	n := wanted
	if asked == 0 && fit > 0 {
		n = max(n, each(users, fit))
	}
	n = min(n, users) // k6 refuses a segment without virtual users
	if n <= maxProcesses && each(users, n) <= fit {
		return n, nil
	}
	need := each(users, wanted)*descriptorsPerUser + reservedDescriptors
	most := maxProcesses
	if asked > 0 {
		most = asked
	}
	return 0, fmt.Errorf("%d virtual users are too many for the hard limit of %d open files, also in %d processes: raise it to %d for "+
		"what starts deskstorm (as root: ulimit -Hn %[4]d; of a systemd unit: LimitNOFILE=%[4]d), or take at most %[5]d",
		users, limit.Max, most, need, most*fit)
}

// each is how many users are in the largest of n parts.
func each(users, n int) int { return (users + n - 1) / n }

// segments are k6's execution segments of n processes, and their sequence: "0:1/3", "1/3:2/3", "2/3:1", and "0,1/3,2/3,1".
func segments(n int) (each []string, sequence string) {
	bounds := make([]string, n+1)
	for i := range bounds {
		bounds[i] = fmt.Sprintf("%d/%d", i, n)
	}
	bounds[0], bounds[n] = "0", "1"
	for i := range n {
		each = append(each, bounds[i]+":"+bounds[i+1])
	}
	return each, strings.Join(bounds, ",")
}
