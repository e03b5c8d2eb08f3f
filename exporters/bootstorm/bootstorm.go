// Package bootstorm exports how desktops boot: how many at once, how long each step takes from Nova's acceptance to a usable
// desktop, what fails, which builds nobody began; and beside it how the hosts' disks bear it, since a boot storm is both.
package bootstorm

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/cloud/notification"
	"github.com/deskstorm/deskstorm/exporters/bootstorm/boots"
	"github.com/deskstorm/deskstorm/exporters/bootstorm/storage"
	"github.com/deskstorm/deskstorm/exporters/collector"
	"github.com/deskstorm/deskstorm/probe/dhcp"
)

const (
	pollTimeout  = 2 * time.Minute // ten thousand servers are listed in seconds
	lookInterval = time.Second     // at leases and desktops' doors
	lookTimeout  = 10 * time.Second
)

// New makes the exporter.
func New(c Config, log *slog.Logger) (collector.Exporter, error) {
	counts := newCounters()
	account := boots.New(boots.Config{
		Leases: c.Leases != nil, Usable: c.UsablePort != 0, LostAfter: c.LostAfter, GiveUpAfter: c.GiveUpAfter, Observer: counts,
	})
	e := collector.Exporter{
		Name: "bootstorm", Families: Families(),
		Live: append(counts.live(), underWay{account, time.Now}),
	}
	lazy, err := c.Cloud.Lazy()
	if err != nil {
		return collector.Exporter{}, err
	}
	p := newPoller(connector(lazy), account, c.Notifications == nil, c.Tag)
	e.Sources = append(e.Sources, collector.Source{Target: "nova", Interval: c.Poll, Timeout: pollTimeout,
		Update: func(ctx context.Context, _ func(prometheus.Metric)) error { return p.poll(ctx) }})
	if c.Notifications != nil {
		l, err := c.Notifications.Listener("bootstorm", "*")
		if err != nil {
			return collector.Exporter{}, err
		}
		e.Run = func(ctx context.Context) error { return listen(ctx, l, account, counts, log) }
	}
	e.Sources = append(e.Sources, outside(c, account))
	for _, h := range c.Hosts {
		reader, err := storage.Open(h)
		if err != nil {
			return collector.Exporter{}, err
		}
		watched := &host{name: h.Name, reader: reader, account: account, slow: c.Slow, drowning: c.Drowning, now: time.Now}
		e.Sources = append(e.Sources, watched.source())
	}
	return e, nil
}

// listen gives the account what notifications tell.
func listen(ctx context.Context, l notification.Listener, account *boots.Account, counts *counters, log *slog.Logger) error {
	heard := func(n notification.Notification) {
		told := sightings(n)
		for _, s := range told {
			account.See(s, time.Now())
		}
		if len(told) > 0 {
			counts.notifications.WithLabelValues("boot").Inc()
		} else {
			counts.notifications.WithLabelValues("other").Inc()
		}
	}
	bad := func(err error) {
		counts.notifications.WithLabelValues("malformed").Inc()
		log.Debug("a message is no notification", "err", err)
	}
	defer counts.listening.Set(0)
	return l.Listen(ctx, func() { counts.listening.Set(1) }, heard, bad)
}

// outside looks at what Nova does not know: time, leases, desktops' doors.
func outside(c Config, account *boots.Account) collector.Source {
	return collector.Source{Target: "desktops", Interval: lookInterval, Timeout: lookTimeout,
		Update: func(ctx context.Context, _ func(prometheus.Metric)) error {
			account.Tick(time.Now())
			if c.Leases != nil && len(account.WaitFor(boots.Leased)) > 0 {
				leases, err := dhcp.LeasesByMAC(ctx, c.Leases.Files)
				if err != nil {
					return err
				}
				watchLeases(account, leases, c.Leases.Length, time.Now())
			}
			if c.UsablePort != 0 {
				return knock(ctx, account, c.UsablePort, time.Now)
			}
			return nil
		}}
}

// connector logs in when first asked.
func connector(lazy *cloud.Lazy) func(context.Context) (nova, error) {
	return func(ctx context.Context) (nova, error) { return lazy.Cloud(ctx) }
}
