package rabbitmq

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	probe "github.com/deskstorm/deskstorm/probe/amqp"
	"github.com/deskstorm/deskstorm/probe/sockdiag"
)

// look is a look at a connection: the seconds since the test's begin, and what the kernel says then.
type look struct {
	second int
	socket sockdiag.Socket
}

func lookAll(looks []look) (t trace) {
	for _, l := range looks {
		t = lookAtSocket(time.Unix(int64(1000+l.second), 0), t, l.socket)
	}
	return t
}

func TestKeepAliveTime(t *testing.T) {
	at := func(expires, heard time.Duration) sockdiag.Socket {
		return sockdiag.Socket{Timer: sockdiag.Keepalive, Expires: expires, SinceReceived: heard, SinceAck: heard}
	}
	for _, test := range []struct {
		name  string
		looks []look
		want  time.Duration
	}{
		{"off", []look{{0, sockdiag.Socket{}}}, 0},
		{"idle", []look{{0, at(90*time.Second, 30*time.Second)}}, 2 * time.Minute},
		{"busy: the timer is not moved until it fires",
			[]look{{0, at(2*time.Minute, 0)}, {60, at(time.Minute, 0)}, {110, at(10*time.Second, 0)}}, 2 * time.Minute},
		{"hidden while data is unacknowledged",
			[]look{{0, at(2*time.Minute, 0)}, {1, sockdiag.Socket{Timer: sockdiag.Retransmit}}}, 2 * time.Minute},
		{"turned off", []look{{0, at(2*time.Minute, 0)}, {1, sockdiag.Socket{Timer: sockdiag.None}}}, 0},
	} {
		t.Run(test.name, func(t *testing.T) { require.Equal(t, test.want, lookAll(test.looks).keepAlive) })
	}
}

func TestPeer(t *testing.T) {
	segments := func(in uint32) sockdiag.Socket { // without data
		return sockdiag.Socket{SegmentsIn: in, BytesReceived: 500, DataSegmentsIn: 5, BytesAcked: 700, DataSegmentsOut: 7}
	}
	frames := func(in uint32) sockdiag.Socket { // heartbeats
		s := segments(in)
		s.BytesReceived += 8 * uint64(in)
		s.DataSegmentsIn += in
		return s
	}
	messages := func(in uint32) sockdiag.Socket {
		s := segments(in)
		s.BytesReceived += 100 * uint64(in)
		s.DataSegmentsIn += in
		return s
	}
	acks := func(in uint32) sockdiag.Socket { // the broker sends, the peer only acknowledges
		s := segments(in)
		s.BytesAcked += 100 * uint64(in)
		s.DataSegmentsOut += in
		return s
	}
	for _, test := range []struct {
		name  string
		looks []look
		want  time.Duration
	}{
		{"silence", []look{{0, segments(9)}, {10, segments(9)}, {20, segments(9)}}, 0},
		{"keepalive", []look{{0, segments(9)}, {10, segments(10)}, {20, segments(11)}, {25, segments(11)}}, 20 * time.Second},
		{"heartbeats", []look{{0, frames(9)}, {10, frames(10)}, {20, frames(11)}}, 20 * time.Second},
		{"one may be by chance", []look{{0, segments(9)}, {10, segments(10)}, {20, segments(10)}}, 0},
		{"messages are no protection", []look{{0, messages(9)}, {10, messages(10)}, {20, messages(11)}}, 0},
		{"nor is what acknowledges them", []look{{0, acks(9)}, {10, acks(10)}, {20, acks(11)}}, 0},
		{"it has ended", []look{{0, segments(9)}, {10, segments(10)}, {20, segments(11)}, {620, segments(11)}}, 610 * time.Second},
		{"another connection from the port", []look{{0, segments(9)}, {10, segments(10)}, {20, segments(11)}, {30, segments(1)}}, 0},
	} {
		t.Run(test.name, func(t *testing.T) { require.Equal(t, test.want, lookAll(test.looks).peer()) })
	}
}

// TestMemory: what is gone is forgotten.
func TestMemory(t *testing.T) {
	remote := netip.MustParseAddrPort("10.1.0.1:1")
	known := traces(nil).look(time.Unix(1, 0), []sockdiag.Socket{{Remote: remote}})
	require.Len(t, known, 1)
	require.Empty(t, known.look(time.Unix(2, 0), nil))

	var r rows
	c := apiConnection{Name: "a", PeerHost: "10.1.0.1", PeerPort: number{1, true}, RecvOct: number{1, true}, SendOct: number{1, true}}
	at := func(second int64, octets, unacknowledged int64) row {
		c.RecvOct.value = octets
		looked := r.look(time.Unix(second, 0), []apiConnection{c}, map[string]int64{"a": unacknowledged}, classifier{})
		require.Len(t, looked, 1)
		return looked[0]
	}
	for _, step := range []struct {
		second, octets, unacknowledged int64
		idle, growing                  time.Duration
	}{
		{100, 5, 0, 0, 0},
		{110, 5, 1, 10 * time.Second, 0},
		{120, 5, 1, 20 * time.Second, 10 * time.Second},
		{130, 6, 3, 0, 20 * time.Second},
		{140, 6, 2, 10 * time.Second, 0}, // some were acknowledged
		{150, 6, 2, 20 * time.Second, 10 * time.Second},
		{160, 6, 0, 30 * time.Second, 0},
	} {
		looked := at(step.second, step.octets, step.unacknowledged)
		require.Equal(t, step.idle, looked.idle, step)
		require.Equal(t, step.growing, looked.growing, step)
	}
	require.Empty(t, r.look(time.Unix(200, 0), nil, nil, classifier{}))
	require.Empty(t, r.pasts)
}

func TestTells(t *testing.T) {
	require.True(t, tells("", probe.Delivered))
	require.True(t, tells(probe.Refused, probe.Lost))
	require.False(t, tells(probe.Delivered, probe.Closed), "the broker may have been restarted")
	require.True(t, tells(probe.Closed, probe.Closed))
	require.False(t, tells(probe.Refused, probe.Refused))
}

func TestClassify(t *testing.T) {
	c := classifier{services: DefaultServices(), groups: []Group{
		{"special", []netip.Prefix{netip.MustParsePrefix("10.1.0.7/32")}},
		{"compute", []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00::/8")}},
	}}
	require.Equal(t, "nova-compute", c.service("nova-compute:4711:0b5c4a5e"))
	require.Equal(t, other, c.service("made-up-4711"))
	require.Equal(t, other, c.service(""))
	require.Equal(t, "special", c.group(netip.MustParseAddr("10.1.0.7")))
	require.Equal(t, "compute", c.group(netip.MustParseAddr("10.1.0.8")))
	require.Equal(t, "compute", c.group(netip.MustParseAddr("fd00::1")))
	require.Equal(t, other, c.group(netip.MustParseAddr("192.0.2.1")))
	require.True(t, own("deskstorm.canary.host.fresh"))
	require.False(t, own("nova-compute:deskstorm.canary."))
}
