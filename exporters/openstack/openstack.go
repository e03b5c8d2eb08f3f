// Package openstack watches a cloud from outside: its servers by state, its services and agents, what Placement has left, how
// long its APIs take from here, and how often its services log errors or tell of them.
//
// All of it is asked in the background, each service apart, so that one that is dead keeps none of the others from being seen.
// The servers of a cloud are listed once and then by their changes. No label grows with servers, users or hosts.
package openstack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/exporters/collector"
)

// Name is the exporter's, in the configuration and in labels.
const Name = "openstack"

// other is the label of what is not known, or one too many.
const other = "other"

// Families are all that the exporter may serve.
func Families() []*collector.Family {
	return []*collector.Family{
		servers, serverTasks, serverFaults, notRunning, services, agents,
		providers, inventory, reserved, capacity, used, ratio, overCapacity,
		apiUp, apiDuration, apiRequests, logEvents, logSkipped, logFiles, notifications, malformed, listening,
	}
}

// New makes the exporter. It reads credentials, and asks nobody.
func New(config Config, log *slog.Logger) (collector.Exporter, error) {
	config = config.withDefaults()
	if err := config.check(); err != nil {
		return collector.Exporter{}, fmt.Errorf("configuring the openstack exporter: %w", err)
	}
	made := collector.Exporter{Name: Name, Families: Families()}
	if config.Cloud != nil {
		credentials, err := cloud.LoadFile(config.Cloud.File, config.Cloud.Name)
		if err != nil {
			return collector.Exporter{}, fmt.Errorf("configuring the openstack exporter: %w", err)
		}
		e := newAsker(config, credentials)
		made.Sources = append(made.Sources, e.sources()...)
		made.Live = append(made.Live, e.durations, e.requests)
	}
	for _, l := range config.Logs {
		made.Sources = append(made.Sources, newLogs(l).source())
	}
	if config.Notifications != nil {
		listener, err := config.Notifications.Listener(Name, priorities...)
		if err != nil {
			return collector.Exporter{}, fmt.Errorf("configuring the openstack exporter: %w", err)
		}
		counts := newNotified()
		made.Live = append(made.Live, counts.notifications, counts.malformed, counts.listening)
		made.Run = func(ctx context.Context) error {
			defer counts.listening.Set(0)
			return listener.Listen(ctx, func() { counts.listening.Set(1); log.Info("listening to notifications") }, counts.handle, counts.bad)
		}
	}
	if len(made.Sources) == 0 && made.Run == nil {
		return collector.Exporter{}, errors.New("configuring the openstack exporter: it has nobody to ask")
	}
	return made, nil
}

// asker asks a cloud.
type asker struct {
	Config
	cloud *cloud.Lazy // for what needs Nova
	plain *cloud.Lazy // which Nova's absence does not disturb, and that retries nothing

	durations *prometheus.HistogramVec
	requests  *prometheus.CounterVec

	// Each source is asked by one goroutine, and what it remembers is its own.
	servers   *cloud.Inventory
	providers map[string]providerCache
}

func newAsker(config Config, credentials cloud.Config) *asker {
	once := credentials
	once.RetryFor = -1
	return &asker{
		Config: config, cloud: cloud.NewLazy(credentials, cloud.Connect), plain: cloud.NewLazy(once, cloud.Login),
		durations: apiDuration.HistogramVec(), requests: apiRequests.CounterVec(), providers: map[string]providerCache{},
	}
}

func (e *asker) sources() []collector.Source {
	all := []collector.Source{
		{Target: "servers", Interval: e.Interval, Timeout: e.Timeout, Update: e.updateServers},
		{Target: "services", Interval: e.Interval, Timeout: e.Timeout, Update: e.updateServices},
		{Target: "agents", Interval: e.Interval, Timeout: e.Timeout, Update: e.updateAgents},
		{Target: "placement", Interval: e.PlacementInterval, Timeout: e.Timeout, Update: e.updatePlacement},
	}
	for _, service := range e.Services {
		all = append(all, collector.Source{
			Target: "api/" + service, Interval: e.APIInterval, Timeout: e.APITimeout,
			Update: func(ctx context.Context, emit func(prometheus.Metric)) error { return e.updateAPI(ctx, service, emit) },
		})
	}
	return all
}

// each does something with all of them, some at once; it goes on after an error and returns the first.
func each[T any](ctx context.Context, all []T, do func(context.Context, T) error) error {
	var g errgroup.Group
	g.SetLimit(atOnce)
	for _, one := range all {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return context.Cause(ctx)
			}
			return do(ctx, one)
		})
	}
	return g.Wait()
}

// atOnce is how many questions a source asks at once: a fraction of what one API process serves.
const atOnce = 4
