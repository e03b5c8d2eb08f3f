package rabbitmq

import (
	"net/netip"
	"time"
)

// row is a connection as the management API knows it.
type row struct {
	name      string
	remote    netip.AddrPort
	service   string
	own       bool // a canary's
	heartbeat time.Duration
	idle      time.Duration // since octets were seen to move; from the first look at it
	idleKnown bool

	unacknowledged int64
	growing        time.Duration // since its unacknowledged messages became fewer, or one
}

// past is what is remembered of a connection from one look to the next.
type past struct {
	octets         int64
	moved          time.Time
	unacknowledged int64
	growing        time.Time // since when; zero if it has none
}

// rows remembers connections as long as they are there.
type rows struct{ pasts map[string]past }

// look takes what the API answered now.
func (r *rows) look(now time.Time, all []apiConnection, unacknowledged map[string]int64, classify classifier) []row {
	pasts := make(map[string]past, len(all))
	looked := make([]row, 0, len(all))
	for _, c := range all {
		address, err := netip.ParseAddr(c.PeerHost)
		if err != nil || !c.PeerPort.known {
			continue // of a client inside the broker, or one that is not there yet
		}
		before, known := r.pasts[c.Name]
		after := past{octets: c.RecvOct.value + c.SendOct.value, moved: now, unacknowledged: unacknowledged[c.Name]}
		if known && before.octets == after.octets {
			after.moved = before.moved
		}
		switch {
		case after.unacknowledged == 0:
		case known && !before.growing.IsZero() && after.unacknowledged >= before.unacknowledged:
			after.growing = before.growing
		default:
			after.growing = now
		}
		pasts[c.Name] = after
		current := row{
			name:      c.Name,
			remote:    netip.AddrPortFrom(address.Unmap(), uint16(c.PeerPort.value)),
			service:   classify.service(c.givenName()),
			own:       own(c.givenName()),
			heartbeat: time.Duration(c.Timeout.value) * time.Second,
			idle:      now.Sub(after.moved), idleKnown: c.RecvOct.known && c.SendOct.known,
			unacknowledged: after.unacknowledged,
		}
		if !after.growing.IsZero() {
			current.growing = now.Sub(after.growing)
		}
		looked = append(looked, current)
	}
	r.pasts = pasts
	return looked
}
