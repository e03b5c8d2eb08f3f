package dhcp

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/deskstorm/deskstorm/probe/dhcp"
)

// host is one and what was last seen there, which its networks use too.
type host struct {
	Host

	mu   sync.Mutex
	last dhcp.Audit
	at   time.Time
}

// audit looks at the host's sockets, unless somebody did that a short time ago.
func (h *host) audit(ago time.Duration) (dhcp.Audit, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.at.IsZero() && time.Since(h.at) < ago {
		return h.last, nil
	}
	audit, err := dhcp.AuditSockets(h.Namespace)
	if err == nil {
		h.last, h.at = audit, time.Now()
	}
	return audit, err
}

// update audits the host.
func (h *host) update(_ context.Context, emit func(prometheus.Metric)) error {
	audit, err := h.audit(0)
	if err != nil {
		return err
	}
	bound := map[string]int{"device": 0, "address": 0, "none": 0}
	for _, s := range audit.Sockets {
		switch {
		case s.Device != 0:
			bound["device"]++
		case s.Unbound():
			bound["none"]++
		default:
			bound["address"]++
		}
	}
	for to, number := range bound {
		emit(sockets.Value(float64(number), h.Name, to))
	}
	emit(unboundProcesses.Value(float64(len(audit.Processes())), h.Name))
	return nil
}
