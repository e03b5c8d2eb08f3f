package rabbitmq

import (
	"net/netip"
	"time"

	"github.com/deskstorm/deskstorm/probe/sockdiag"
)

// trace is a connection as the broker's kernel knows it, with what several looks at it told.
type trace struct {
	sockdiag.Socket
	at    time.Time
	since time.Time // of the first look at it

	// keepAlive is after how long a silence the kernel probes the peer; 0: never. The kernel tells only when its timer fires; from
	// the last sign of the peer to there is never more than the time looked for, and less while the connection is busy, because
	// the timer is only moved when it fires. So it is the longest that was seen.
	keepAlive time.Duration

	// The peer, or RabbitMQ, may keep the connection alive by themselves: by the peer's TCP keepalive, which is segments without
	// data, or by heartbeats, which are 8 bytes each (AMQP 0-9-1, 4.2.7). They are seen as segments that arrive while nothing else
	// moves.
	arrivedAfter time.Time // the last segment arrived after this
	gap          time.Duration
	quiet        int // how often such segments were seen
}

// heartbeatSize is the bytes of a heartbeat's frame: type, channel, size 0, end.
const heartbeatSize = 8

// quietProof is how many silences must end by themselves to be believed: one may be a segment that only makes room.
const quietProof = 2

// peer is after how long a silence something is sent by itself, as far as was seen; 0: never.
func (t trace) peer() time.Duration {
	if t.quiet < quietProof {
		return 0
	}
	return max(t.gap, t.at.Sub(t.arrivedAfter))
}

// lookAtSocket takes a connection as it is now, and as it was at the last look, the zero trace if it is new.
func lookAtSocket(now time.Time, before trace, s sockdiag.Socket) trace {
	heard := min(s.SinceReceived, s.SinceAck)
	after := before
	if before.at.IsZero() || s.SegmentsIn < before.SegmentsIn || s.BytesReceived < before.BytesReceived {
		after = trace{since: now, arrivedAfter: now.Add(-heard)} // it may be another connection from the same port
	} else if s.SegmentsIn > before.SegmentsIn {
		received, acknowledged := s.BytesReceived-before.BytesReceived, s.BytesAcked-before.BytesAcked
		if received == heartbeatSize*uint64(s.DataSegmentsIn-before.DataSegmentsIn) &&
			acknowledged == heartbeatSize*uint64(s.DataSegmentsOut-before.DataSegmentsOut) {
			after.quiet = min(after.quiet+1, quietProof)
			after.gap = now.Sub(before.arrivedAfter)
		}
		after.arrivedAfter = before.at
	}
	switch {
	case s.Timer == sockdiag.None:
		after.keepAlive = 0
	case s.Timer == sockdiag.Keepalive && s.Probes == 0:
		after.keepAlive = max(after.keepAlive, s.Expires+heard)
	}
	after.Socket, after.at = s, now
	return after
}

// traces are all connections by their peers' addresses.
type traces map[netip.AddrPort]trace

// look takes what the kernel said now.
func (t traces) look(now time.Time, all []sockdiag.Socket) traces {
	after := make(traces, len(all))
	for _, s := range all {
		after[s.Remote] = lookAtSocket(now, t[s.Remote], s)
	}
	return after
}
