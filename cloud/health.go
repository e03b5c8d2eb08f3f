package cloud

import (
	"context"
	"fmt"
	"net/url"

	"github.com/gophercloud/gophercloud/v2"
)

// ComputeService is a service of Nova's on a host. Administrators only, as all of this file.
type ComputeService struct {
	Binary     string `json:"binary"` // nova-compute, nova-scheduler ...
	Host       string `json:"host"`
	Zone       string `json:"zone"`
	Status     string `json:"status"` // enabled, disabled
	State      string `json:"state"`  // up, down: it has not reported for service_down_time, 60 s
	ForcedDown bool   `json:"forced_down"`
}

// ComputeServices lists Nova's services.
func (c *Cloud) ComputeServices(ctx context.Context) ([]ComputeService, error) {
	var answer struct {
		Services []ComputeService `json:"services"`
	}
	err := c.call(ctx, "listing compute services", "", func(ctx context.Context) error {
		_, err := c.compute.Get(ctx, c.compute.ServiceURL("os-services"), &answer, nil)
		return err
	})
	return answer.Services, err
}

// Agent is an agent of Neutron's on a host.
type Agent struct {
	Type    string `json:"agent_type"` // "Open vSwitch agent", "DHCP agent" ...
	Host    string `json:"host"`
	Alive   bool   `json:"alive"` // it has reported within agent_down_time, 75 s
	AdminUp bool   `json:"admin_state_up"`
}

// Agents lists Neutron's agents.
func (c *Cloud) Agents(ctx context.Context) ([]Agent, error) {
	type page struct {
		Agents []Agent            `json:"agents"`
		Links  []gophercloud.Link `json:"agents_links"`
	}
	var all []Agent
	err := c.call(ctx, "listing network agents", "", func(ctx context.Context) error {
		if c.network == nil {
			return fmt.Errorf("%w: the catalog has no network service", ErrNotOffered)
		}
		all = nil
		query := url.Values{"fields": {"id", "agent_type", "host", "alive", "admin_state_up"}}
		return eachPage(ctx, c.network, c.network.ServiceURL("agents"), query, func(p page) (string, error) {
			all = append(all, p.Agents...)
			return gophercloud.ExtractNextURL(p.Links)
		})
	})
	return all, err
}

// Aggregate is a group of hosts.
type Aggregate struct {
	Name  string   `json:"name"`
	Hosts []string `json:"hosts"` // the compute services' names
}

// Aggregates lists Nova's host aggregates.
func (c *Cloud) Aggregates(ctx context.Context) ([]Aggregate, error) {
	var answer struct {
		Aggregates []Aggregate `json:"aggregates"`
	}
	err := c.call(ctx, "listing host aggregates", "", func(ctx context.Context) error {
		_, err := c.compute.Get(ctx, c.compute.ServiceURL("os-aggregates"), &answer, nil)
		return err
	})
	return answer.Aggregates, err
}

// Hypervisor is what Nova runs servers on. Its ID is its resource provider's in Placement.
type Hypervisor struct {
	ID      string // from microversion 2.53 on; a number before
	Host    string // the compute service's
	Running int    // servers; from microversion 2.88 on always 0
	Type    string // as libvirt calls it: "QEMU", which is also KVM's
	Version int    // of Type: 8002002 is 8.2.2; 0: not told
}

// Hypervisors lists Nova's hypervisors.
func (c *Cloud) Hypervisors(ctx context.Context) ([]Hypervisor, error) {
	type page struct {
		Hypervisors []struct {
			ID      any `json:"id"`
			Service struct {
				Host string `json:"host"`
			} `json:"service"`
			Running int    `json:"running_vms"`
			Type    string `json:"hypervisor_type"`
			Version int    `json:"hypervisor_version"`
		} `json:"hypervisors"`
		Links []gophercloud.Link `json:"hypervisors_links"`
	}
	var all []Hypervisor
	err := c.call(ctx, "listing hypervisors", "", func(ctx context.Context) error {
		all = nil
		return eachPage(ctx, c.compute, c.compute.ServiceURL("os-hypervisors", "detail"), url.Values{}, func(p page) (string, error) {
			for _, h := range p.Hypervisors {
				all = append(all, Hypervisor{ID: fmt.Sprint(h.ID), Host: h.Service.Host, Running: h.Running, Type: h.Type, Version: h.Version})
			}
			return gophercloud.ExtractNextURL(p.Links)
		})
	})
	return all, err
}
