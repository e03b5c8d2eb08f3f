package cloud

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"
)

// Port is a port of Neutron's. Administrators see all; the host is shown to them only.
type Port struct {
	ID        string `json:"id"`
	NetworkID string `json:"network_id"`
	ServerID  string `json:"device_id"` // empty, or of something else: see Owner
	Owner     string `json:"device_owner"`
	MAC       string `json:"mac_address"`
	Status    string `json:"status"` // ACTIVE, DOWN, BUILD, ERROR
	Host      string `json:"binding:host_id"`
}

// Ports lists the ports on a host, or all if host is empty.
func (c *Cloud) Ports(ctx context.Context, host string) ([]Port, error) {
	query := url.Values{"fields": {"id", "network_id", "device_id", "device_owner", "mac_address", "status", "binding:host_id"}}
	if host != "" {
		query.Set("binding:host_id", host)
	}
	return listPorts[Port](ctx, c, host, query)
}

// RunPort is a port that a run made for itself; those that Nova makes for servers are not: they go with the server.
type RunPort struct {
	ID, Name   string
	Owner, Run string // see Config
	Created    time.Time
}

// RunPorts lists the ports of the project that a run made, as they say by one of their tags, by their device_id or by their
// description: it is RunTag=RUN. Not every Neutron takes tags when a port is made; one that gets them later may lose its maker before.
func (c *Cloud) RunPorts(ctx context.Context) ([]RunPort, error) {
	type port struct {
		ID          string    `json:"id"`
		Name        string    `json:"name"`
		Device      string    `json:"device_id"`
		Description string    `json:"description"`
		Tags        []string  `json:"tags"`
		Created     time.Time `json:"created_at"`
	}
	all, err := listPorts[port](ctx, c, "", url.Values{"fields": {"id", "name", "device_id", "description", "tags", "created_at"}})
	if err != nil {
		return nil, err
	}
	var marked []RunPort
	for _, p := range all {
		m := RunPort{ID: p.ID, Name: p.Name, Created: p.Created}
		for _, mark := range append(p.Tags, p.Device, p.Description) {
			if value, ok := strings.CutPrefix(mark, RunTag+"="); ok {
				m.Run = value
			}
			if value, ok := strings.CutPrefix(mark, OwnerTag+"="); ok {
				m.Owner = value
			}
		}
		if m.Run != "" {
			marked = append(marked, m)
		}
	}
	return marked, nil
}

// DeletePort removes a port. One that is gone already is fine.
func (c *Cloud) DeletePort(ctx context.Context, id string) error {
	return c.call(ctx, "deleting port", id, func(ctx context.Context) error {
		if c.network == nil {
			return noNetwork()
		}
		port, err := segment("the port's ID", id)
		if err != nil {
			return err
		}
		_, err = c.network.Delete(ctx, c.network.ServiceURL("ports", port), nil)
		return goneIsFine(err)
	})
}

func noNetwork() error { return fmt.Errorf("%w: the catalog has no network service", ErrNotOffered) }

func listPorts[P any](ctx context.Context, c *Cloud, host string, query url.Values) ([]P, error) {
	type page struct {
		Ports []P                `json:"ports"`
		Links []gophercloud.Link `json:"ports_links"`
	}
	var all []P
	query.Set("limit", "1000")
	err := c.call(ctx, "listing ports", host, func(ctx context.Context) error {
		if c.network == nil {
			return noNetwork()
		}
		all = nil
		return eachPage(ctx, c.network, c.network.ServiceURL("ports"), query, func(p page) (string, error) {
			all = append(all, p.Ports...)
			return gophercloud.ExtractNextURL(p.Links)
		})
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}
