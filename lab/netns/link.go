package netns

import (
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// AddVeth makes a cable: a link here, another in the peer, which may be the same namespace. Both are up. A name has at most 15
// bytes (IFNAMSIZ).
func (n *Namespace) AddVeth(link string, peer *Namespace, peerLink string) error {
	err := n.Do(func() error {
		handle, err := netns.GetFromPath(peer.Path())
		if err != nil {
			return err
		}
		defer handle.Close()
		return netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: link}, PeerName: peerLink, PeerNamespace: netlink.NsFd(handle),
		})
	})
	if err != nil {
		return fmt.Errorf("making a cable from %s in %s to %s in %s: %w", link, n.name, peerLink, peer.name, err)
	}
	if err := n.SetUp(link); err != nil {
		return err
	}
	return peer.SetUp(peerLink)
}

// AddBridge makes a bridge of links that are here already. It is up and forwards at once.
func (n *Namespace) AddBridge(bridge string, ports ...string) error {
	err := n.do("making the bridge "+bridge, func() error {
		return netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridge}})
	})
	if err != nil {
		return err
	}
	for _, port := range ports {
		if err := n.SetMaster(port, bridge); err != nil {
			return err
		}
	}
	return n.SetUp(bridge)
}

// SetMaster makes a link a port of a bridge.
func (n *Namespace) SetMaster(link, bridge string) error {
	return n.withLink("adding "+link+" to "+bridge, link, func(l netlink.Link) error {
		master, err := netlink.LinkByName(bridge)
		if err != nil {
			return fmt.Errorf("%s: %w", bridge, err)
		}
		return netlink.LinkSetMaster(l, master)
	})
}

// SetUp sets a link up.
func (n *Namespace) SetUp(link string) error {
	return n.withLink("setting up "+link, link, netlink.LinkSetUp)
}

// SetDown sets a link down.
func (n *Namespace) SetDown(link string) error {
	return n.withLink("setting down "+link, link, netlink.LinkSetDown)
}

// Remove removes a link, and of a cable the other end too.
func (n *Namespace) Remove(link string) error {
	return n.withLink("removing "+link, link, netlink.LinkDel)
}

// AddAddress gives a link an address with its prefix: "192.0.2.1/24".
func (n *Namespace) AddAddress(link, address string) error {
	return n.withLink("adding the address "+address+" to "+link, link, func(l netlink.Link) error {
		a, err := netlink.ParseAddr(address)
		if err != nil {
			return err
		}
		return netlink.AddrAdd(l, a)
	})
}

// AddRoute routes a destination, such as "198.51.100.0/24" or "0.0.0.0/0", to a gateway.
func (n *Namespace) AddRoute(destination, gateway string) error {
	return n.do("routing "+destination+" to "+gateway, func() error {
		_, to, err := net.ParseCIDR(destination)
		if err != nil {
			return err
		}
		via := net.ParseIP(gateway)
		if via == nil {
			return fmt.Errorf("%q is no address", gateway)
		}
		return netlink.RouteAdd(&netlink.Route{Dst: to, Gw: via})
	})
}

// SetSysctl sets a kernel parameter below net, which each namespace has of its own: "net.ipv4.ip_forward".
func (n *Namespace) SetSysctl(key, value string) error {
	return n.do("setting "+key, func() error {
		return os.WriteFile("/proc/sys/"+strings.ReplaceAll(key, ".", "/"), []byte(value), 0)
	})
}

func (n *Namespace) withLink(what, link string, f func(netlink.Link) error) error {
	return n.do(what, func() error {
		l, err := netlink.LinkByName(link)
		if err != nil {
			return err
		}
		return f(l)
	})
}

func (n *Namespace) do(what string, f func() error) error {
	if err := n.Do(f); err != nil {
		return fmt.Errorf("%s in the network namespace %s: %w", what, n.name, err)
	}
	return nil
}
