package fault

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/deskstorm/deskstorm/runner/native"
)

// traffic are the packets that a fault of the network hits: those to and from a service.
type traffic struct {
	address   netip.Prefix // of the service; invalid: any
	port      int          // of the service; 0: any
	protocol  string
	device    string // the packets that cross it; empty: all that arrive here or are sent from here
	direction string
}

// What direction may be.
const (
	to   = "to"
	from = "from"
	both = "both"
)

func trafficParameters() []native.Parameter {
	return []native.Parameter{
		{Name: "address", Type: native.Text, Doc: "the service's IP address, or a prefix such as 10.0.0.0/24; any if absent"},
		{Name: "port", Type: native.Integer, Doc: "the service's port; any if absent"},
		{Name: "protocol", Type: native.Text, OneOf: []string{"tcp", "udp"}, Doc: "of the port; tcp if absent"},
		{Name: "device", Type: native.Text, Doc: "the network interface that the packets cross; all of the host if absent"},
		{Name: "direction", Type: native.Text, OneOf: []string{to, from, both},
			Doc: "packets to the service, from it, or both; both if absent"},
	}
}

// traffic reads what trafficParameters says; a port that is absent is otherPort.
func (r *request) traffic(otherPort int) (t traffic, err error) {
	t = traffic{port: r.Integer("port", otherPort), protocol: r.Text("protocol", "tcp"), device: r.Text("device", ""),
		direction: r.Text("direction", both)}
	if text := r.Text("address", ""); text != "" {
		if t.address, err = parseAddress(text); err != nil {
			return t, wrong("address", "expected an IP address or a prefix such as 10.0.0.0/24, found %q", text)
		}
	}
	switch {
	case t.address.IsValid() && t.address.Bits() == 0:
		return t, wrong("address", "%s is all addresses; leave it out for that", t.address)
	case t.port < 0 || t.port > 65535 || r.Has("port") && t.port == 0:
		return t, wrong("port", "expected 1 to 65535")
	case t.device != "" && !isDevice(t.device):
		return t, wrong("device", "expected the name of a network interface, found %q", t.device)
	case !t.address.IsValid() && t.port == 0 && t.device == "":
		return t, errors.New("say which packets: address, port or device; those of a whole host are also those that control it")
	}
	return t, nil
}

func parseAddress(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		if a.Zone() != "" {
			return netip.Prefix{}, errors.New("it has a zone")
		}
		return a.Unmap().Prefix(a.Unmap().BitLen())
	}
	p, err := netip.ParsePrefix(text)
	return p.Masked(), err
}

// deviceParameter is a parameter device alone.
func deviceParameter(doc string) native.Parameter {
	return native.Parameter{Name: "device", Type: native.Text, Doc: "the network interface " + doc}
}

// device is what the kernel takes for an interface's name (dev_valid_name), without what nft would take for something else.
var device = regexp.MustCompile(`^[a-zA-Z0-9_@.~+!%-]{1,15}$`)

func isDevice(name string) bool {
	return device.MatchString(name) && name != "." && name != ".." && !strings.HasPrefix(name, "-")
}

func (t traffic) String() string {
	var where string
	switch {
	case t.address.IsValid() && t.port != 0:
		where = fmt.Sprintf("%s:%d/%s", showAddress(t.address), t.port, t.protocol)
	case t.address.IsValid():
		where = showAddress(t.address)
	case t.port != 0:
		where = fmt.Sprintf("port %d/%s", t.port, t.protocol)
	}
	var text string
	switch {
	case where == "":
		text = "all packets"
	case t.direction == both:
		text = "packets to and from " + where
	default:
		text = "packets " + t.direction + " " + where
	}
	if t.device != "" {
		text += " across " + t.device
	}
	return text
}

func showAddress(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// matches are nft's expressions for the packets, one for each direction.
func (t traffic) matches() []string {
	if !t.address.IsValid() && t.port == 0 {
		return []string{""}
	}
	var all []string
	for _, side := range []struct{ direction, letter string }{{to, "d"}, {from, "s"}} {
		if t.direction != both && t.direction != side.direction {
			continue
		}
		var match string
		if t.address.IsValid() {
			family := "ip"
			if t.address.Addr().Is6() {
				family = "ip6"
			}
			match += fmt.Sprintf("%s %saddr %s ", family, side.letter, showAddress(t.address))
		}
		if t.port != 0 {
			match += fmt.Sprintf("%s %sport %d ", t.protocol, side.letter, t.port)
		}
		all = append(all, match)
	}
	return all
}

// everywhere is the body of a table whose rules do something with each of the packets, once: where they arrive, and where they are
// sent from here. Those that cross a device are met where they do. Packets to this host itself, on its loopback interface, are met
// twice: they are sent and arrive.
func (t traffic) everywhere(action string) string {
	arriving, sent, sending := "", "", "output"
	if t.device != "" {
		// Only here is the device known of packets that are passed on.
		arriving, sent, sending = fmt.Sprintf("iifname %q ", t.device), fmt.Sprintf("oifname %q ", t.device), "postrouting"
	}
	// After defragmentation (-400), before NAT (-100, 100) and the filters (0) of anybody else.
	const chain = "\tchain %s {\n\t\ttype filter hook %s priority -290; policy accept;\n%s\t}\n"
	rules := func(device string) (text string) {
		for _, match := range t.matches() {
			text += "\t\t" + device + match + action + "\n"
		}
		return text
	}
	return fmt.Sprintf(chain, "arriving", "prerouting", rules(arriving)) + fmt.Sprintf(chain, "sent", sending, rules(sent))
}
