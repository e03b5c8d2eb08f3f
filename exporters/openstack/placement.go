package openstack

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/exporters/collector"
)

var (
	providers = collector.Gauge("deskstorm_openstack_placement_providers",
		"Resource providers of the class, by host aggregate.", "aggregate", "class")
	inventory = collector.Gauge("deskstorm_openstack_placement_inventory",
		"What there is of the resource class, in its own unit, by host aggregate.", "aggregate", "class")
	reserved = collector.Gauge("deskstorm_openstack_placement_reserved",
		"What of it is reserved for the hosts themselves.", "aggregate", "class")
	capacity = collector.Gauge("deskstorm_openstack_placement_capacity",
		"What of it may be allocated: inventory without reserved, times the allocation ratio, rounded down for each provider.",
		"aggregate", "class")
	used = collector.Gauge("deskstorm_openstack_placement_used",
		"What of it is allocated.", "aggregate", "class")
	ratio = collector.Gauge("deskstorm_openstack_placement_allocation_ratio",
		"The lowest and the highest allocation ratio of the aggregate's providers.", "aggregate", "class", "bound")
	overCapacity = collector.Gauge("deskstorm_openstack_placement_providers_over_capacity",
		"Resource providers with more allocated than may be: their ratio was lowered, or they shrank.", "aggregate", "class")
)

// classes are what is told of.
var classes = []string{"VCPU", "PCPU", "MEMORY_MB", "DISK_GB"}

// Labels of aggregates.
const (
	maxAggregates = 100
	allHosts      = "all"  // every provider, also those of no aggregate
	noAggregate   = "none" // providers of hosts that are in none
)

// providerCache is what is known of a provider while its generation stays the same.
type providerCache struct {
	generation  int
	inventories map[string]cloud.ResourceInventory
}

func (e *asker) updatePlacement(ctx context.Context, emit func(prometheus.Metric)) error {
	plain, err := e.plain.Cloud(ctx)
	if err != nil {
		return err
	}
	all, err := plain.Providers(ctx)
	if err != nil {
		return err
	}
	usages, err := e.readProviders(ctx, plain, all)
	if err != nil {
		return err // not half of a sum
	}
	// Without Nova there are no aggregates, and the sum over all is what is left.
	aggregatesOf, noNova := e.aggregates(ctx)
	sums := map[[2]string]*sum{}
	for _, p := range all {
		in := []string{allHosts}
		if noNova == nil {
			in = append(in, aggregatesOf(p.ID)...)
		}
		for class, has := range e.providers[p.ID].inventories {
			if !slices.Contains(classes, class) {
				continue
			}
			for _, aggregate := range in {
				key := [2]string{aggregate, class}
				if sums[key] == nil {
					sums[key] = &sum{lowest: math.Inf(1), highest: math.Inf(-1)}
				}
				sums[key].add(has, usages[p.ID][class])
			}
		}
	}
	for key, s := range sums {
		s.emit(emit, key[0], key[1])
	}
	return noNova
}

// readProviders reads inventories, where a provider's generation has changed, and usages: an allocation's end does not change it.
func (e *asker) readProviders(ctx context.Context, c *cloud.Cloud, all []cloud.Provider) (map[string]map[string]int, error) {
	var mu sync.Mutex
	now, usages := make(map[string]providerCache, len(all)), make(map[string]map[string]int, len(all))
	err := each(ctx, all, func(ctx context.Context, p cloud.Provider) error {
		mu.Lock()
		cached, ok := e.providers[p.ID]
		mu.Unlock()
		if !ok || cached.generation != p.Generation {
			inventories, err := c.Inventories(ctx, p.ID)
			if err != nil {
				return goneIsFine(err)
			}
			cached = providerCache{p.Generation, inventories}
		}
		used, err := c.Usages(ctx, p.ID)
		if err != nil {
			return goneIsFine(err)
		}
		mu.Lock()
		defer mu.Unlock()
		now[p.ID], usages[p.ID] = cached, used
		return nil
	})
	if err != nil {
		return nil, err
	}
	e.providers = now
	return usages, nil
}

// goneIsFine is for a provider that was removed after it was listed.
func goneIsFine(err error) error {
	if errors.Is(err, cloud.ErrNotFound) {
		return nil
	}
	return err
}

// aggregates returns what finds the labels of a provider's aggregates.
func (e *asker) aggregates(ctx context.Context) (func(providerID string) []string, error) {
	c, err := e.cloud.Cloud(ctx)
	if err != nil {
		return nil, fmt.Errorf("looking for the hosts' aggregates: %w", err)
	}
	hypervisors, err := c.Hypervisors(ctx)
	if err != nil {
		return nil, err
	}
	aggregates, err := c.Aggregates(ctx)
	if err != nil {
		return nil, err
	}
	names := labels{most: maxAggregates}
	byHost := map[string][]string{}
	for _, a := range aggregates {
		names.add(a.Name)
		for _, host := range a.Hosts {
			byHost[host] = append(byHost[host], a.Name)
		}
	}
	hostOf := make(map[string]string, len(hypervisors))
	for _, h := range hypervisors {
		hostOf[h.ID] = h.Host
	}
	return func(providerID string) []string {
		var in []string
		for _, name := range byHost[hostOf[providerID]] {
			if label := names.label(name); !slices.Contains(in, label) {
				in = append(in, label)
			}
		}
		if in == nil {
			return []string{noAggregate}
		}
		return in
	}, nil
}

// sum is an aggregate's of one class.
type sum struct {
	providers, total, reserved, capacity, used, over int
	lowest, highest                                  float64
}

func (s *sum) add(i cloud.ResourceInventory, used int) {
	s.providers++
	s.total += i.Total
	s.reserved += i.Reserved
	s.capacity += i.Capacity()
	s.used += used
	if used > i.Capacity() {
		s.over++
	}
	s.lowest, s.highest = min(s.lowest, i.Ratio), max(s.highest, i.Ratio)
}

func (s *sum) emit(emit func(prometheus.Metric), aggregate, class string) {
	emit(providers.Value(float64(s.providers), aggregate, class))
	emit(inventory.Value(float64(s.total), aggregate, class))
	emit(reserved.Value(float64(s.reserved), aggregate, class))
	emit(capacity.Value(float64(s.capacity), aggregate, class))
	emit(used.Value(float64(s.used), aggregate, class))
	emit(overCapacity.Value(float64(s.over), aggregate, class))
	emit(ratio.Value(s.lowest, aggregate, class, "lowest"))
	emit(ratio.Value(s.highest, aggregate, class, "highest"))
}
