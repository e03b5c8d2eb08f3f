package cloud

import (
	"context"
	"fmt"
	"net/url"

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
	type page struct {
		Ports []Port             `json:"ports"`
		Links []gophercloud.Link `json:"ports_links"`
	}
	var all []Port
	err := c.call(ctx, "listing ports", host, func(ctx context.Context) error {
		if c.network == nil {
			return fmt.Errorf("%w: the catalog has no network service", ErrNotOffered)
		}
		all = nil
		query := url.Values{
			"fields": {"id", "network_id", "device_id", "device_owner", "mac_address", "status", "binding:host_id"},
			"limit":  {"1000"},
		}
		if host != "" {
			query.Set("binding:host_id", host)
		}
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
