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

	// A k6 of a thousand virtual users and more is worth a second process from four cores on (docs/load.md).
	usersPerProcess = 1000
	coresPerProcess = 2

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
	fit := 0
	if limit.Max > reservedDescriptors {
		fit = int(min((limit.Max-reservedDescriptors)/descriptorsPerUser, 1<<30))
	}
	n := asked
	if n == 0 {
		n = max(1, min(users/usersPerProcess, l.cores/coresPerProcess))
		if fit > 0 {
			n = max(n, (users+fit-1)/fit)
		}
	}
	n = min(n, users) // k6 refuses a segment without virtual users
	each := (users + n - 1) / n
	if each <= fit && n <= maxProcesses {
		return n, nil
	}
	if asked == 0 {
		n = maxProcesses
		each = (users + n - 1) / n
	}
	return 0, fmt.Errorf("%d virtual users in %d processes need %d open files in each, and the hard limit is %d: raise it for what starts "+
		"deskstorm (ulimit -Hn %[3]d as root, LimitNOFILE=%[3]d in a systemd unit), or take fewer users", users, n,
		each*descriptorsPerUser+reservedDescriptors, limit.Max)
}

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
