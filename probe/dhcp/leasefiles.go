package dhcp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"
)

// maxLeaseFiles bounds how many files there may be, one a network.
const maxLeaseFiles = 10_000

// Never is when a lease without an end expires, as LeasesByMAC has it.
var Never = time.Unix(1<<40, 0)

// LeasesByMAC reads all of dnsmasq's files that fit the patterns (package path/filepath's): when each MAC's last lease expires. A
// pattern that fits none is an error: there would be no lease at all. A file that goes meanwhile is that of a network that went.
func LeasesByMAC(ctx context.Context, patterns []string) (map[string]time.Time, error) {
	leases := map[string]time.Time{}
	for _, pattern := range patterns {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			return nil, fmt.Errorf("the lease files %q: %w", pattern, err)
		}
		if len(paths) == 0 || len(paths) > maxLeaseFiles {
			return nil, fmt.Errorf("there are %d lease files %q; expected 1 to %d", len(paths), pattern, maxLeaseFiles)
		}
		for _, path := range paths {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			file, err := ReadLeases(path)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			for _, l := range file.Leases {
				end := l.Expires
				if end.IsZero() {
					end = Never
				}
				if mac := l.MAC.String(); end.After(leases[mac]) {
					leases[mac] = end
				}
			}
		}
	}
	return leases, nil
}
