// Package listeners listens on the addresses of a command line.
package listeners

import (
	"fmt"
	"net"
)

// Listen listens on all TCP addresses, host:port each, or on none. Port 0 is any free one.
func Listen(addresses []string) ([]net.Listener, error) {
	var all []net.Listener
	for _, address := range addresses {
		l, err := net.Listen("tcp", address)
		if err != nil {
			for _, l := range all {
				l.Close()
			}
			return nil, fmt.Errorf("listening on %s: %w", address, err)
		}
		all = append(all, l)
	}
	return all, nil
}
