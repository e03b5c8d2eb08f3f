package sockdiag

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The layout of linux/inet_diag.h. A socket's identity is its ports, of the network's byte order, its addresses, its link and a
// cookie; the rest is of the host's order.
const (
	requestSize  = 56 // struct inet_diag_req_v2
	identityAt   = 8  // in the request
	responseSize = 72 // struct inet_diag_msg

	establishedSet = 1 << 1 // a set of TCP states
	infoExtension  = 2      // INET_DIAG_INFO: struct tcp_info comes along
)

func request(family uint8, port uint16) []byte {
	b := make([]byte, requestSize)
	b[0], b[1], b[2] = family, unix.IPPROTO_TCP, 1<<(infoExtension-1)
	binary.NativeEndian.PutUint32(b[4:], establishedSet)
	binary.BigEndian.PutUint16(b[identityAt:], port) // a dump takes the local port as a filter
	return b
}

func parse(b []byte) (Socket, error) {
	if len(b) < responseSize {
		return Socket{}, fmt.Errorf("the kernel described a socket in %d bytes, expected at least %d", len(b), responseSize)
	}
	size := 4
	if b[0] == unix.AF_INET6 {
		size = 16
	}
	s := Socket{
		Timer:        Timer(b[2]),
		Local:        addrPort(b[8:8+size], b[4:]),
		Remote:       addrPort(b[24:24+size], b[6:]),
		Expires:      milliseconds(b[52:]),
		ReceiveQueue: binary.NativeEndian.Uint32(b[56:]),
		SendQueue:    binary.NativeEndian.Uint32(b[60:]),
	}
	for rest := b[responseSize:]; len(rest) >= unix.SizeofRtAttr; {
		length, kind := int(binary.NativeEndian.Uint16(rest)), binary.NativeEndian.Uint16(rest[2:])
		if length < unix.SizeofRtAttr || length > len(rest) {
			return Socket{}, fmt.Errorf("the kernel described a socket with an attribute of %d bytes", length)
		}
		if kind == infoExtension {
			s.parseInfo(rest[unix.SizeofRtAttr:length])
		}
		rest = rest[min(len(rest), (length+3)&^3):] // attributes begin at multiples of 4
	}
	return s, nil
}

// parseInfo reads struct tcp_info, which each version of the kernel makes longer.
func (s *Socket) parseInfo(short []byte) {
	var b [unsafe.Sizeof(unix.TCPInfo{})]byte
	copy(b[:], short)
	var at unix.TCPInfo // for its offsets
	s.Backoff, s.Probes = b[unsafe.Offsetof(at.Backoff)], b[unsafe.Offsetof(at.Probes)]
	s.SinceSent = milliseconds(b[unsafe.Offsetof(at.Last_data_sent):])
	s.SinceReceived = milliseconds(b[unsafe.Offsetof(at.Last_data_recv):])
	s.SinceAck = milliseconds(b[unsafe.Offsetof(at.Last_ack_recv):])
	s.BytesAcked = binary.NativeEndian.Uint64(b[unsafe.Offsetof(at.Bytes_acked):])
	s.BytesReceived = binary.NativeEndian.Uint64(b[unsafe.Offsetof(at.Bytes_received):])
	s.SegmentsIn = binary.NativeEndian.Uint32(b[unsafe.Offsetof(at.Segs_in):])
	s.DataSegmentsIn = binary.NativeEndian.Uint32(b[unsafe.Offsetof(at.Data_segs_in):])
	s.DataSegmentsOut = binary.NativeEndian.Uint32(b[unsafe.Offsetof(at.Data_segs_out):])
}

func milliseconds(b []byte) time.Duration {
	return time.Duration(binary.NativeEndian.Uint32(b)) * time.Millisecond
}

func addrPort(address, port []byte) netip.AddrPort {
	a, _ := netip.AddrFromSlice(address) // of 4 or 16 bytes
	return netip.AddrPortFrom(a.Unmap(), binary.BigEndian.Uint16(port))
}
