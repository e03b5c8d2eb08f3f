// Package sockdiag lists a host's TCP connections with what only the kernel knows of them: which timer runs, when it fires,
// what was sent and never acknowledged, and since when nothing moved. It asks the kernel by sock_diag(7), as ss(8) does, and
// needs no right to do so; only another network namespace than its own needs CAP_SYS_ADMIN.
package sockdiag

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Timer is the timer that runs for a connection (inet_diag's idiag_timer).
type Timer uint8

// The timers. While data is unacknowledged the kernel shows Retransmit, even if keepalive is armed too.
const (
	None       Timer = 0 // nothing will be sent unless the program sends
	Retransmit Timer = 1 // what was sent is not acknowledged yet
	Keepalive  Timer = 2 // a probe will be sent if nothing arrives until then
	TimeWait   Timer = 3
	ZeroWindow Timer = 4 // the peer's buffer is full; it is alive and slow
)

// Socket is one established connection as the kernel saw it.
type Socket struct {
	Local, Remote netip.AddrPort // IPv4 in IPv6 is IPv4 here

	Timer   Timer
	Expires time.Duration // until the timer fires
	Backoff uint8         // how often the retransmission's wait was doubled
	Probes  uint8         // keepalive or zero-window probes that were not answered

	ReceiveQueue, SendQueue uint32 // bytes: arrived and not read; sent by the program and not acknowledged

	// How long ago data was sent and received, and the last acknowledgement came. The two first count from the connection's
	// begin where there was no data yet.
	SinceSent, SinceReceived, SinceAck time.Duration

	// Counted from the connection's begin. A keepalive's probe is a segment without data. They are 0 before Linux 4.6.
	BytesAcked, BytesReceived                   uint64
	SegmentsIn, DataSegmentsIn, DataSegmentsOut uint32
}

// Idle is how long no data moved, in either direction. What is sent again and again did not move.
func (s Socket) Idle() time.Duration {
	if s.Timer == Retransmit && s.Backoff > 0 {
		return min(s.SinceAck, s.SinceReceived)
	}
	return min(s.SinceSent, s.SinceReceived)
}

// What makes a half-open connection of a slow one: its retransmission was doubled three times, so that nothing came for at
// least 1.4 s (200 ms, the shortest wait, and three doublings of it), or two keepalive probes in a row were not answered: one
// is always on its way.
const (
	halfOpenBackoff = 3
	halfOpenProbes  = 2
)

// HalfOpen says whether the peer, or a firewall on the way, seems to have forgotten the connection: what was sent to it is
// acknowledged no more. The program that has the socket knows nothing of it until the kernel gives up, after some 15 minutes.
func (s Socket) HalfOpen() bool {
	switch s.Timer {
	case Retransmit:
		return s.Backoff >= halfOpenBackoff && s.SendQueue > 0 && s.SinceAck > s.SinceSent
	case Keepalive:
		return s.Probes >= halfOpenProbes
	}
	return false
}

// Established lists the established connections to a local port, of IPv4 and IPv6. The namespace is a file as ip-netns(8) makes
// them ("/run/netns/broker"); empty is the caller's own. The context's deadline bounds the asking.
func Established(ctx context.Context, port uint16, namespace string) ([]Socket, error) {
	sockets, err := established(ctx, port, namespace)
	if err != nil {
		return nil, fmt.Errorf("listing the TCP connections to port %d: %w", port, err)
	}
	return sockets, nil
}

func established(ctx context.Context, port uint16, namespace string) ([]Socket, error) {
	var config netlink.Config
	if namespace != "" {
		f, err := os.Open(namespace)
		if err != nil {
			return nil, fmt.Errorf("opening the network namespace: %w", err)
		}
		defer f.Close()
		config.NetNS = int(f.Fd())
	}
	conn, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, &config)
	if errors.Is(err, os.ErrPermission) {
		return nil, fmt.Errorf("entering the network namespace %s (it needs CAP_SYS_ADMIN): %w", namespace, err)
	}
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, err
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	var sockets []Socket
	// Sockets that listen for both are of the second family, with mapped addresses.
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		messages, err := conn.Execute(netlink.Message{
			Header: netlink.Header{Type: unix.SOCK_DIAG_BY_FAMILY, Flags: netlink.Request | netlink.Dump},
			Data:   request(family, port),
		})
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case family == unix.AF_INET6 && errors.Is(err, os.ErrNotExist):
			continue // a kernel without IPv6
		case err != nil:
			return nil, err
		}
		for _, m := range messages {
			s, err := parse(m.Data)
			if err != nil {
				return nil, err
			}
			sockets = append(sockets, s)
		}
	}
	return sockets, nil
}
