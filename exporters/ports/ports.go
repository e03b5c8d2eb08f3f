// Package ports watches the ports that carry desktops' network: the records of a host's Open vSwitch (OVSDB) against the
// devices that exist, against each other, against libvirt's domains, and desktops that run without a DHCP lease.
//
// It is for the silent fault of a host's reboot: Open vSwitch starts before the desktops' devices are there, keeps the ports'
// records, and what libvirt asks for later changes nothing. The desktops run, and have no network.
//
// It only reads. Metrics count faults by bridge; which ports are meant is logged when it changes, and served as JSON by
// "GET /v1/ports".
package ports

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/deskstorm/deskstorm/exporters/collector"
)

// Name is the exporter's, in the configuration and in labels.
const Name = "ports"

// other is the label of what the configuration does not name.
const other = "other"

var (
	records = collector.Gauge("deskstorm_ports_records",
		"Interfaces in Open vSwitch's database, by bridge.", "bridge")
	faulty = collector.Gauge("deskstorm_ports_faulty",
		"Interfaces in Open vSwitch's database with this fault, by bridge; one may have several.", "bridge", "fault")
	interfaces = collector.Gauge("deskstorm_ports_domain_interfaces",
		"Interfaces of running libvirt domains that belong on an Open vSwitch.")
	faultyInterfaces = collector.Gauge("deskstorm_ports_domain_interfaces_faulty",
		"Interfaces of running libvirt domains that Open vSwitch's database does not carry as it should, by fault.", "fault")
	activeDesktops = collector.Gauge("deskstorm_ports_active_desktops",
		"Desktops that are ACTIVE for longer than the grace period and have a port in a watched network.")
	leaseless = collector.Gauge("deskstorm_ports_active_desktops_without_lease",
		"Such desktops with a port that has no DHCP lease, by reason: none or expired.", "reason")
)

// Families are all that the exporter may serve.
func Families() []*collector.Family {
	return []*collector.Family{records, faulty, interfaces, faultyInterfaces, activeDesktops, leaseless}
}

// Sources are whom the exporter asks besides Open vSwitch. What is nil is not asked.
type Sources struct {
	// Domains are the running domains' interfaces: hypervisor.Host.Interfaces.
	Domains func(context.Context) ([]DomainInterface, error)
	// Networks are the networks' IDs by their ports' IDs, as Neutron has them: the truth for tags.
	Networks func(context.Context) (map[string]string, error)
	// Desktops are the ports of the ACTIVE desktops.
	Desktops func(context.Context) ([]Desktop, error)
	// Leases are the ends of DHCP leases, by MAC in lower case with colons.
	Leases func(context.Context) (map[string]time.Time, error)
}

// New makes the exporter. The logger is told of ports that become faulty and that heal.
func New(config Config, from Sources, log *slog.Logger) (collector.Exporter, error) {
	config = config.withDefaults()
	if err := config.check(); err != nil {
		return collector.Exporter{}, fmt.Errorf("configuring the ports exporter: %w", err)
	}
	e := &exporter{Config: config, from: from, log: log, now: time.Now, faultList: faultList{found: map[string][]Fault{}}}
	source := func(target string, update func(context.Context, func(prometheus.Metric)) error) collector.Source {
		return collector.Source{Target: target, Interval: config.Interval, Timeout: config.Timeout, Update: update}
	}
	var sources []collector.Source
	if config.Database != none {
		sources = append(sources, source("ovsdb", e.updateRecords))
		if from.Domains != nil {
			sources = append(sources, source("libvirt", e.updateDomains))
		}
	}
	if from.Desktops != nil && from.Leases != nil {
		sources = append(sources, source("leases", e.updateLeases))
	}
	if len(sources) == 0 {
		return collector.Exporter{}, errors.New("configuring the ports exporter: it has nobody to ask")
	}
	return collector.Exporter{
		Name: Name, Families: Families(), Sources: sources,
		Handlers: map[string]http.Handler{"GET /v1/ports": http.HandlerFunc(e.serveFaults)},
	}, nil
}

type exporter struct {
	Config
	from Sources
	log  *slog.Logger
	now  func() time.Time
	faultList
}

func (e *exporter) updateRecords(ctx context.Context, emit func(prometheus.Metric)) error {
	read, err := readRecords(ctx, e.Database)
	if err != nil {
		return err
	}
	devices, deviceErr := devicesOf(e.Namespace)
	// All at once, and only if one is missing: after a host's reboot all may be.
	elsewhere := sync.OnceValue(func() map[string]string { return devicesElsewhere(ctx, e.Namespaces) })
	expected, expectedErr := e.expected(ctx)
	faults := audit(read, facts{
		integration: e.Integration, prefixes: e.DevicePrefixes, devices: devices,
		elsewhere: func(device string) string { return elsewhere()[device] },
		tags:      expected.tags, networks: expected.networks,
	})
	total, count := map[string]int{}, map[[2]string]int{}
	for _, r := range read {
		total[e.label(r.Bridge)]++
	}
	for _, f := range faults {
		count[[2]string{e.label(f.Bridge), f.Fault}]++
	}
	for _, bridge := range append(slices.Clone(e.labels()), other) {
		emit(records.Value(float64(total[bridge]), bridge))
		for _, fault := range recordFaults {
			emit(faulty.Value(float64(count[[2]string{bridge, fault}]), bridge, fault))
		}
	}
	e.keep("ovsdb", faults, e.log)
	return errors.Join(deviceErr, expectedErr, ctx.Err())
}

func (e *exporter) updateDomains(ctx context.Context, emit func(prometheus.Metric)) error {
	domains, err := e.from.Domains(ctx) // first: a domain has its ports before it runs
	if err != nil {
		return err
	}
	read, err := readRecords(ctx, e.Database)
	if err != nil {
		return err
	}
	plugged, faults := compare(domains, read)
	count := map[string]int{}
	for _, f := range faults {
		count[f.Fault]++
	}
	emit(interfaces.Value(float64(plugged)))
	for _, fault := range domainFaults {
		emit(faultyInterfaces.Value(float64(count[fault]), fault))
	}
	e.keep("libvirt", faults, e.log)
	return nil
}

func (e *exporter) updateLeases(ctx context.Context, emit func(prometheus.Metric)) error {
	leases, err := e.from.Leases(ctx)
	if err != nil {
		return fmt.Errorf("reading the DHCP leases: %w", err)
	}
	desktops, err := e.from.Desktops(ctx)
	if err != nil {
		return fmt.Errorf("listing the ACTIVE desktops: %w", err)
	}
	active, reasons := withoutLease(desktops, leases, e.now(), e.Grace)
	emit(activeDesktops.Value(float64(active)))
	for _, reason := range leaseReasons {
		emit(leaseless.Value(float64(reasons[reason]), reason))
	}
	return nil
}

// labels are the bridges that have a name in metrics.
func (e *exporter) labels() []string {
	bridges := append([]string{e.Integration}, e.Bridges...)
	slices.Sort(bridges)
	return slices.Compact(bridges)
}

func (e *exporter) label(bridge string) string {
	if bridge == e.Integration || slices.Contains(e.Bridges, bridge) {
		return bridge
	}
	return other
}
