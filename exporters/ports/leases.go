package ports

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/deskstorm/deskstorm/probe/dhcp"
)

// Desktop is a port of an ACTIVE desktop.
type Desktop struct {
	Server string
	MAC    string
	Since  time.Time // of the desktop's last change
}

// Why a desktop has no lease.
const (
	noLease      = "none"
	expiredLease = "expired"
)

var leaseReasons = []string{noLease, expiredLease}

// withoutLease counts desktops, and those with a port without a lease, by reason. Desktops younger than the grace may still boot.
func withoutLease(ports []Desktop, leases map[string]time.Time, now time.Time, grace time.Duration) (active int, without map[string]int) {
	reasons := map[string]string{} // by server; one lease of several is not enough
	for _, p := range ports {
		if now.Sub(p.Since) < grace {
			continue
		}
		reason := reasons[p.Server]
		if end, ok := leases[strings.ToLower(p.MAC)]; !ok {
			reason = noLease
		} else if end.Before(now) && reason == "" {
			reason = expiredLease
		}
		reasons[p.Server] = reason
	}
	without = map[string]int{}
	for _, reason := range reasons {
		if reason != "" {
			without[reason]++
		}
	}
	return len(reasons), without
}

// maxLeaseFiles bounds how many files there may be, one a network.
const maxLeaseFiles = 10_000

// never is when a lease without an end ends.
var never = time.Unix(1<<40, 0)

// LeaseFiles reads the leases of dnsmasq's files. A pattern that fits none is an error: there would be no lease at all.
func LeaseFiles(patterns []string) func(context.Context) (map[string]time.Time, error) {
	return func(ctx context.Context) (map[string]time.Time, error) {
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
				if err := readLeases(path, leases); err != nil && !errors.Is(err, os.ErrNotExist) { // its network is gone
					return nil, err
				}
			}
		}
		return leases, nil
	}
}

// readLeases keeps of each MAC the lease that ends last.
func readLeases(path string, into map[string]time.Time) error {
	file, err := dhcp.ReadLeases(path)
	if err != nil {
		return err
	}
	for _, l := range file.Leases {
		end := l.Expires
		if end.IsZero() {
			end = never
		}
		if mac := l.MAC.String(); end.After(into[mac]) {
			into[mac] = end
		}
	}
	return nil
}
