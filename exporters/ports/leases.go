package ports

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
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

// Limits of lease files: a line of dnsmasq's has some 100 bytes.
const (
	maxLeaseFile  = 16 << 20
	maxLeaseFiles = 10_000
)

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
			if len(paths) == 0 {
				return nil, fmt.Errorf("there are no lease files %q", pattern)
			}
			if len(paths) > maxLeaseFiles {
				return nil, fmt.Errorf("there are %d lease files %q, more than %d", len(paths), pattern, maxLeaseFiles)
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

// readLeases reads lines of "end MAC address name client-id", where end is a Unix time, 0 for never (dnsmasq's lease.c). IPv6's
// lines follow one that begins with "duid", and have no MAC.
func readLeases(path string, into map[string]time.Time) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(io.LimitReader(f, maxLeaseFile))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) > 0 && fields[0] == "duid" {
			break
		}
		if len(fields) < 3 {
			continue // being written
		}
		seconds, err := strconv.ParseInt(fields[0], 10, 64)
		if err != nil {
			continue
		}
		end := time.Unix(seconds, 0)
		if seconds == 0 {
			end = never
		}
		mac := strings.ToLower(fields[1])
		if _, address, ok := strings.Cut(mac, "-"); ok { // "06-..." of hardware that is no Ethernet
			mac = address
		}
		if end.After(into[mac]) {
			into[mac] = end
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading the leases in %s: %w", path, err)
	}
	return nil
}
