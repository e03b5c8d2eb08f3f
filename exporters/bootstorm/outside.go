package bootstorm

import (
	"context"
	"net"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/deskstorm/deskstorm/exporters/bootstorm/boots"
)

// watchLeases looks which of the desktops that wait for a lease have one. A lease was granted its length before it expires.
func watchLeases(account *boots.Account, leases map[string]time.Time, length time.Duration, now time.Time) {
	for _, w := range account.WaitFor(boots.Leased) {
		for _, mac := range w.MACs {
			if expires, ok := leases[mac]; ok {
				account.See(boots.Sighting{Server: w.Server, What: boots.IsLeased, At: expires.Add(-length)}, now)
				break
			}
		}
	}
}

// Limits of knocking: a desktop answers in milliseconds or not yet.
const (
	knocksAtOnce = 64
	knockTimeout = time.Second
)

// knock looks which of the desktops that wait to be usable take a TCP connection on the port: the guest's own agent or service
// listens there once it is up. It never touches the console, where a second visitor would throw out the first.
func knock(ctx context.Context, account *boots.Account, port int, now func() time.Time) error {
	var g errgroup.Group
	g.SetLimit(knocksAtOnce)
	dialer := net.Dialer{Timeout: knockTimeout, KeepAlive: -1}
	for _, w := range account.WaitFor(boots.Usable) {
		if w.Address == "" {
			continue
		}
		g.Go(func() error {
			c, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(w.Address, strconv.Itoa(port)))
			if err != nil {
				return nil // not yet
			}
			c.Close()
			account.See(boots.Sighting{Server: w.Server, What: boots.IsUsable, At: now()}, now())
			return nil
		})
	}
	g.Wait()
	return ctx.Err()
}
