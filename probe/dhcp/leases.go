package dhcp

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
)

// FileLease is a lease in dnsmasq's file.
type FileLease struct {
	Expires time.Time // zero: never
	MAC     net.HardwareAddr
	Address netip.Addr // IPv4
}

// Remaining is which part of a lease of this length is left: 1 just after it was granted or renewed, 0 when it has run out. A
// lease without an end is always new. A healthy client renews at 0.5 (T1, RFC 2131 section 4.4.5).
func (l FileLease) Remaining(now time.Time, length time.Duration) float64 {
	if l.Expires.IsZero() || length <= 0 {
		return 1
	}
	return max(0, min(1, float64(l.Expires.Sub(now))/float64(length)))
}

// LeaseFile is what was read of one.
type LeaseFile struct {
	Leases    []FileLease
	Malformed int // lines that are no lease
}

// maxLeaseFile is far more than dnsmasq's default of 1,000 leases takes: 100 bytes each.
const maxLeaseFile = 64 << 20

// ReadLeases reads dnsmasq's lease file (--dhcp-leasefile; Neutron's is in /var/lib/neutron/dhcp/NETWORK/leases). dnsmasq
// writes it in place, so that a reader may come in the middle: a file with a broken line is read again, at most twice.
func ReadLeases(path string) (LeaseFile, error) {
	for try := 0; ; try++ {
		info, err := os.Stat(path)
		if err == nil && !info.Mode().IsRegular() {
			err = errors.New("it is no regular file")
		}
		if err == nil && info.Size() > maxLeaseFile {
			err = fmt.Errorf("it has %d bytes, more than %d", info.Size(), maxLeaseFile)
		}
		var data []byte
		if err == nil {
			data, err = os.ReadFile(path)
		}
		if err != nil {
			return LeaseFile{}, fmt.Errorf("reading the leases in %s: %w", path, err)
		}
		f := ParseLeases(data)
		if f.Malformed == 0 || try == 2 {
			return f, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// ParseLeases parses a lease file: a line a lease, with when it expires (seconds since 1970, 0: never), MAC (with the
// hardware type before it, "06-", if that is not Ethernet), address, host name and client id (lease_update_file in dnsmasq's
// lease.c). IPv6 leases, after the server's DUID, are passed over.
func ParseLeases(data []byte) LeaseFile {
	var f LeaseFile
	for line := range bytes.Lines(data) {
		fields := strings.Fields(string(line))
		if len(fields) == 0 || fields[0] == "duid" {
			continue
		}
		l, ok := parseLease(fields)
		switch {
		case !ok || line[len(line)-1] != '\n':
			f.Malformed++
		case l.Address.Is4():
			f.Leases = append(f.Leases, l)
		}
	}
	return f
}

// parseLease does not keep the MAC of IPv6 leases, who have an IAID in its place.
func parseLease(fields []string) (FileLease, bool) {
	if len(fields) != 5 {
		return FileLease{}, false
	}
	expires, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil || expires < 0 || expires > 1<<40 {
		return FileLease{}, false
	}
	var l FileLease
	if l.Address, err = netip.ParseAddr(fields[2]); err != nil {
		return FileLease{}, false
	}
	if !l.Address.Is4() {
		return l, true
	}
	mac := fields[1]
	if _, after, ok := strings.Cut(mac, "-"); ok {
		mac = after
	}
	if l.MAC, err = parseMAC(mac); err != nil {
		return FileLease{}, false
	}
	if expires > 0 {
		l.Expires = time.Unix(expires, 0)
	}
	return l, true
}

// parseMAC parses 0 to 16 hexadecimal bytes; net.ParseMAC wants 6, 8 or 20.
func parseMAC(s string) (net.HardwareAddr, error) {
	var mac net.HardwareAddr
	if s == "" {
		return mac, nil
	}
	for _, b := range strings.Split(s, ":") {
		v, err := strconv.ParseUint(b, 16, 8)
		if err != nil || len(b) != 2 || len(mac) == 16 {
			return nil, fmt.Errorf("%q is no hardware address", s)
		}
		mac = append(mac, byte(v))
	}
	return mac, nil
}
