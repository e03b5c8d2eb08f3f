package dhcp

import (
	"encoding/hex"
	"errors"
	"net"
	"net/netip"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/deskstorm/deskstorm/internal/configfile"
)

// Keys read a target from the configuration, of those who have networks to probe.
func (t *Target) Keys(r *configfile.Reader) configfile.Keys {
	return configfile.Keys{
		"interface": r.Checked(&t.Interface, "an interface's name", func(s string) bool { return len(s) < 16 && !strings.Contains(s, "/") }),
		"namespace": r.Path(&t.Namespace),
		"mac":       configfile.Parsed(r, "a MAC such as fa:16:3e:00:00:01", &t.MAC, net.ParseMAC),
		"client_id": configfile.Parsed(r, "hexadecimal bytes such as 01fa163e000001", &t.ClientID, hex.DecodeString),
		"servers":   addresses(r, &t.Servers),
		"relay":     func(n ast.Node) { t.Relay = readRelay(r, n) },
	}
}

func readRelay(r *configfile.Reader, n ast.Node) *Relay {
	relay := &Relay{}
	r.Mapping(n, configfile.Keys{
		"address": configfile.Parsed(r, ipv4, &relay.Address, parseIPv4),
		"servers": addresses(r, &relay.Servers),
	}, "address", "servers")
	return relay
}

const ipv4 = "an IPv4 address such as 10.0.0.2"

func addresses(r *configfile.Reader, to *[]netip.Addr) func(ast.Node) {
	return r.List(func(n ast.Node) {
		var a netip.Addr
		configfile.Parsed(r, ipv4, &a, parseIPv4)(n)
		*to = append(*to, a)
	})
}

func parseIPv4(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err == nil && !a.Is4() {
		err = errors.New("not IPv4")
	}
	return a, err
}
