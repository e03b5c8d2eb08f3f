package ports

import (
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
