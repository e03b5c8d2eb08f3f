package dhcp

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/deskstorm/deskstorm/internal/configfile"
	"github.com/deskstorm/deskstorm/probe/dhcp"
)

// Config is the exporter's configuration.
type Config struct {
	Interval time.Duration // from one probe of a network to the next; 1 min if 0
	Timeout  time.Duration // how long an exchange waits for its answer; 5 s if 0
	Window   time.Duration // how long after the first offer others are collected; 1 s if 0
	Renewals int           // how many renewals a probe sends, each from another port; 8 if 0
	Networks []Network
	Hosts    []Host
}

// Network is one to probe, or whose leases are read, or both.
type Network struct {
	Name      string
	Target    *dhcp.Target // nil: not probed. Its times are those of the Config.
	LeaseFile string       // dnsmasq's; empty: none
	// LeaseTime is how long a lease is; 0: as long as the one that the server last granted to the probe.
	LeaseTime time.Duration
	Ranges    []Range // that the server gives addresses from; none: unknown
}

// Host is where DHCP servers run, to audit their sockets.
type Host struct {
	Name      string
	Namespace string // the file of the network namespace that they are in; empty: the exporter's own
}

// Range is the addresses from First to Last, both included.
type Range struct{ First, Last netip.Addr }

// ParseRange parses "10.0.0.10-10.0.0.250".
func ParseRange(s string) (Range, error) {
	first, last, _ := strings.Cut(s, "-")
	var r Range
	var err, errLast error
	r.First, err = netip.ParseAddr(strings.TrimSpace(first))
	r.Last, errLast = netip.ParseAddr(strings.TrimSpace(last))
	if err = errors.Join(err, errLast); err != nil || !r.First.Is4() || !r.Last.Is4() || r.Last.Less(r.First) {
		return Range{}, fmt.Errorf("%q is no range such as 10.0.0.10-10.0.0.250", s)
	}
	return r, nil
}

// Contains says whether an address is in the range.
func (r Range) Contains(a netip.Addr) bool { return !a.Less(r.First) && !r.Last.Less(a) }

// Size is how many addresses the range has.
func (r Range) Size() int { return number(r.Last) - number(r.First) + 1 }

func number(a netip.Addr) int {
	b := a.As4()
	return int(b[0])<<24 | int(b[1])<<16 | int(b[2])<<8 | int(b[3])
}

func (c Config) withDefaults() Config {
	c.Interval = cmp.Or(c.Interval, time.Minute)
	c.Timeout = cmp.Or(c.Timeout, 5*time.Second)
	c.Window = cmp.Or(c.Window, time.Second)
	c.Renewals = cmp.Or(c.Renewals, 8)
	return c
}

// check refuses what cannot be.
func (c Config) check() error {
	if len(c.Networks)+len(c.Hosts) == 0 {
		return errors.New("the DHCP exporter has neither networks to probe nor hosts to audit")
	}
	seen := map[string]bool{}
	for _, n := range c.Networks {
		switch {
		case n.Name == "" || seen["network "+n.Name]:
			return fmt.Errorf("the network %q: its name must be there and be its own", n.Name)
		case n.Target == nil && n.LeaseFile == "":
			return fmt.Errorf("the network %s has no interface, no relay and no lease file", n.Name)
		}
		seen["network "+n.Name] = true
	}
	for _, h := range c.Hosts {
		if h.Name == "" || seen["host "+h.Name] {
			return fmt.Errorf("the host %q: its name must be there and be its own", h.Name)
		}
		seen["host "+h.Name] = true
	}
	return nil
}

// Read reads the exporter's section.
func Read(r *configfile.Reader, n ast.Node) Config {
	c := Config{}.withDefaults()
	r.Mapping(n, configfile.Keys{
		"interval": r.Duration(&c.Interval, 10*time.Second, 24*time.Hour),
		"timeout":  r.Duration(&c.Timeout, 100*time.Millisecond, time.Minute),
		"window":   r.Duration(&c.Window, 10*time.Millisecond, time.Minute),
		"renewals": r.Number(&c.Renewals, 1, 64),
		"networks": r.List(func(n ast.Node) {
			read := readNetwork(r, n)
			for _, other := range c.Networks {
				if other.Name == read.Name {
					r.Wrong(n, "there is a network %s already", read.Name)
				}
			}
			c.Networks = append(c.Networks, read)
		}),
		"hosts": r.List(func(n ast.Node) {
			var h Host
			r.Mapping(n, configfile.Keys{"name": r.Name(&h.Name), "namespace": r.Path(&h.Namespace)}, "name")
			for _, other := range c.Hosts {
				if other.Name == h.Name {
					r.Wrong(n, "there is a host %s already", h.Name)
				}
			}
			c.Hosts = append(c.Hosts, h)
		}),
	})
	if len(c.Networks)+len(c.Hosts) == 0 && r.Err() == nil {
		r.Wrong(n, "expected networks, hosts or both")
	}
	return c
}

func readNetwork(r *configfile.Reader, n ast.Node) Network {
	var network Network
	var target dhcp.Target
	keys := target.Keys(r)
	maps.Copy(keys, configfile.Keys{
		"name":       r.Name(&network.Name),
		"lease_file": r.Path(&network.LeaseFile),
		"lease_time": r.Duration(&network.LeaseTime, 2*time.Second, 10*365*24*time.Hour),
		"ranges": r.List(func(n ast.Node) {
			var one Range
			configfile.Parsed(r, "a range such as 10.0.0.10-10.0.0.250", &one, ParseRange)(n)
			network.Ranges = append(network.Ranges, one)
		}),
	})
	r.Mapping(n, keys, "name")
	switch {
	case target.Interface != "" || target.Relay != nil:
		network.Target = &target
	case network.LeaseFile == "":
		r.Wrong(n, "expected an interface or a relay to probe through, or a lease_file to read, or both")
	}
	if target.Relay != nil && len(target.MAC) == 0 {
		r.Wrong(n, "mac is missing; a probe through a relay needs one")
	}
	return network
}
