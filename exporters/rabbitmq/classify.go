package rabbitmq

import (
	"net/netip"
	"slices"
	"strings"
)

// classifier tells services and groups apart, so that there are no more values of labels than the configuration has.
type classifier struct {
	services []string
	groups   []Group
}

// service is who made a connection of a name: oslo.messaging calls it "PROGRAM:PID:UUID".
func (c classifier) service(connectionName string) string {
	program, _, _ := strings.Cut(connectionName, ":")
	if slices.Contains(c.services, program) {
		return program
	}
	return other
}

func (c classifier) group(a netip.Addr) string {
	for _, g := range c.groups {
		for _, n := range g.Networks {
			if n.Contains(a) {
				return g.Name
			}
		}
	}
	return other
}

// own says whether a connection is a canary's, of this exporter or another.
func own(connectionName string) bool { return strings.HasPrefix(connectionName, ownPrefix) }
