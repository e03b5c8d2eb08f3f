package bootstorm

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/deskstorm/deskstorm/probe/dhcp"
)

// never is when a lease without an end expires.
var never = time.Unix(1<<40, 0)

// readLeases reads dnsmasq's lease files: when each MAC's lease expires.
func readLeases(patterns []string) (map[string]time.Time, error) {
	leases := map[string]time.Time{}
	for _, pattern := range patterns {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			return nil, fmt.Errorf("looking for lease files %q: %w", pattern, err)
		}
		if len(paths) == 0 {
			return nil, fmt.Errorf("there is no lease file %q", pattern)
		}
		for _, path := range paths {
			f, err := dhcp.ReadLeases(path)
			if err != nil {
				return nil, err
			}
			for _, l := range f.Leases {
				expires := l.Expires
				if expires.IsZero() {
					expires = never
				}
				leases[l.MAC.String()] = expires
			}
		}
	}
	return leases, nil
}
