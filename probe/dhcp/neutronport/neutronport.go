// Package neutronport gives a DHCP probe a port of its own in Neutron. Neutron's DHCP servers know the MACs of ports and no
// others (--dhcp-range=...,static), and a desktop's port must not be borrowed: two hosts would have its address.
package neutronport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/portsbinding"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
)

// DeviceOwner is what the ports say they belong to, for those who look for what a dead probe left behind.
const DeviceOwner = "deskstorm:dhcp-probe"

// Spec says which port. Network, owner and name together find it again.
type Spec struct {
	Network string // its ID
	Owner   string // of several deskstorms in a cloud, which; the port's device_id
	Name    string
	Host    string // where it will be plugged in (binding:host_id), which only administrators may say; empty: not said
}

// Port is one that is there.
type Port struct {
	ID        string
	MAC       net.HardwareAddr // the probe's
	Addresses []netip.Addr     // that the DHCP server will grant
}

// Ensure finds the port, or makes it. The client is the network service's.
func Ensure(ctx context.Context, client *gophercloud.ServiceClient, s Spec) (Port, error) {
	if s.Network == "" || s.Owner == "" || s.Name == "" {
		return Port{}, errors.New("a DHCP probe's port needs a network's ID, an owner and a name")
	}
	found, err := find(ctx, client, s)
	if err != nil {
		return Port{}, err
	}
	if len(found) > 0 {
		return portOf(found[0])
	}
	up := true
	made, err := ports.Create(ctx, client, portsbinding.CreateOptsExt{
		CreateOptsBuilder: ports.CreateOpts{
			NetworkID: s.Network, Name: s.Name, DeviceOwner: DeviceOwner, DeviceID: s.Owner, AdminStateUp: &up,
			Description: "A DHCP probe's own; deskstorm makes and removes it.",
		},
		HostID: s.Host,
	}).Extract()
	if err != nil {
		return Port{}, fmt.Errorf("making the port %s of a DHCP probe on network %s: %w", s.Name, s.Network, err)
	}
	return portOf(*made)
}

// Remove removes the port. One that is not there is fine.
func Remove(ctx context.Context, client *gophercloud.ServiceClient, s Spec) error {
	found, err := find(ctx, client, s)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range found {
		err := ports.Delete(ctx, client, p.ID).ExtractErr()
		if err != nil && !gophercloud.ResponseCodeIs(err, http.StatusNotFound) {
			errs = append(errs, fmt.Errorf("removing the port %s of a DHCP probe: %w", p.ID, err))
		}
	}
	return errors.Join(errs...)
}

func find(ctx context.Context, client *gophercloud.ServiceClient, s Spec) ([]ports.Port, error) {
	pages, err := ports.List(client, ports.ListOpts{NetworkID: s.Network, Name: s.Name, DeviceOwner: DeviceOwner, DeviceID: s.Owner}).AllPages(ctx)
	if err != nil {
		return nil, fmt.Errorf("looking for the port %s of a DHCP probe on network %s: %w", s.Name, s.Network, err)
	}
	return ports.ExtractPorts(pages)
}

func portOf(p ports.Port) (Port, error) {
	mac, err := net.ParseMAC(p.MACAddress)
	if err != nil {
		return Port{}, fmt.Errorf("the port %s: %w", p.ID, err)
	}
	port := Port{ID: p.ID, MAC: mac}
	for _, ip := range p.FixedIPs {
		a, err := netip.ParseAddr(ip.IPAddress)
		if err != nil {
			return Port{}, fmt.Errorf("the port %s: %w", p.ID, err)
		}
		port.Addresses = append(port.Addresses, a)
	}
	return port, nil
}
