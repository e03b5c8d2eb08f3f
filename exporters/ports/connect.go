package ports

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/exporters/collector"
	"github.com/deskstorm/deskstorm/hypervisor"
	"github.com/deskstorm/deskstorm/probe/dhcp"
)

// Limits of what is asked of a cloud.
const (
	portsAge = time.Minute      // a port never changes its network, MAC or server; new ones are known after this
	relist   = 10 * time.Minute // all servers are listed anew so often
)

// Open makes the exporter with the sources that its configuration names. It reads the cloud's credentials, and asks nobody.
func Open(config Config, log *slog.Logger) (collector.Exporter, error) {
	from, err := Connect(config)
	if err != nil {
		return collector.Exporter{}, err
	}
	return New(config, from, log)
}

// Connect makes the sources that the configuration names. It connects to nobody yet, so that one who is away does not keep the
// others from being asked.
func Connect(config Config) (Sources, error) {
	var s Sources
	if config.Libvirt != "" {
		s.Domains = (&domains{uri: config.Libvirt}).interfaces
	}
	if len(config.LeaseFiles) > 0 {
		s.Leases = func(ctx context.Context) (map[string]time.Time, error) {
			return dhcp.LeasesByMAC(ctx, config.LeaseFiles)
		}
	}
	if config.Cloud != nil {
		lazy, err := config.Cloud.Lazy()
		if err != nil {
			return Sources{}, fmt.Errorf("configuring the ports exporter: %w", err)
		}
		c := &owners{cloud: lazy, host: config.Host, files: config.LeaseFiles, only: config.Networks}
		s.Networks, s.Desktops = c.networks, c.desktops
	}
	return s, nil
}

// domains connects to libvirtd when it is first asked; later the connection mends itself.
type domains struct {
	uri  string
	mu   sync.Mutex
	host *hypervisor.Host
}

func (d *domains) interfaces(ctx context.Context) ([]DomainInterface, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.host == nil {
		host, err := hypervisor.Connect(ctx, d.uri)
		if err != nil {
			return nil, err
		}
		d.host = host
	}
	return d.host.Interfaces(ctx)
}

// owners asks the cloud whose ports are.
type owners struct {
	cloud *cloud.Lazy
	host  string
	files []string // of leases
	only  []string // networks

	mu        sync.Mutex
	known     map[string]string // networks, by port
	knownAt   time.Time
	inventory *cloud.Inventory

	// Of all hosts, for desktops.
	ports   []cloud.Port
	portsAt time.Time
}

func (o *owners) networks(ctx context.Context) (map[string]string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known != nil && time.Since(o.knownAt) < portsAge {
		return o.known, nil
	}
	c, err := o.cloud.Cloud(ctx)
	if err != nil {
		return o.known, err
	}
	ports, err := c.Ports(ctx, o.host)
	if err != nil {
		return o.known, err // what was known is as true as it was
	}
	o.known, o.knownAt = make(map[string]string, len(ports)), time.Now()
	for _, p := range ports {
		o.known[p.ID] = p.NetworkID
	}
	return o.known, nil
}

// desktops are the ports of ACTIVE servers in the networks whose leases are known. Servers of all hosts count: leases are where
// the DHCP server is.
func (o *owners) desktops(ctx context.Context) ([]Desktop, error) {
	c, err := o.cloud.Cloud(ctx)
	if err != nil {
		return nil, err
	}
	if o.inventory == nil {
		o.inventory = c.NewInventory(relist)
	}
	servers, err := o.inventory.Servers(ctx)
	if err != nil {
		return nil, err
	}
	if time.Since(o.portsAt) >= portsAge { // ten thousand take Neutron seconds
		if o.ports, err = c.Ports(ctx, ""); err != nil {
			return nil, err
		}
		o.portsAt = time.Now()
	}
	networks := o.only
	if len(networks) == 0 {
		networks = networksOf(o.files)
	}
	var all []Desktop
	for _, p := range o.ports {
		s, ok := servers[p.ServerID]
		if !ok || s.Status != "ACTIVE" || !strings.HasPrefix(p.Owner, "compute:") {
			continue
		}
		if len(networks) == 0 || slices.Contains(networks, p.NetworkID) {
			all = append(all, Desktop{Server: s.ID, MAC: p.MAC, Since: s.Updated})
		}
	}
	return all, nil
}

// networksOf are the networks that Neutron's DHCP agent has lease files of: /var/lib/neutron/dhcp/NETWORK/leases.
func networksOf(patterns []string) []string {
	var ids []string
	for _, pattern := range patterns {
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			if id := filepath.Base(filepath.Dir(path)); uuid.Validate(id) == nil {
				ids = append(ids, id)
			}
		}
	}
	return ids
}
