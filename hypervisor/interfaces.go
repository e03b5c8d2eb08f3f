package hypervisor

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"

	"github.com/digitalocean/go-libvirt"
)

// Interface is a network interface of a running domain, as its description has it.
type Interface struct {
	Domain, DomainUUID string
	MAC                string
	Device             string // on the host: "vnet3"
	Bridge             string // that the device is on; empty for other kinds of network
	VirtualPort        string // "openvswitch" and others; empty: a plain bridge
	InterfaceID        string // of the virtual port: its external ID in Open vSwitch, Neutron's ID of the port
}

// Interfaces are those of all running domains. A domain that ends meanwhile is left out.
func (h *Host) Interfaces(ctx context.Context) ([]Interface, error) {
	var all []Interface
	err := typed(h.call(ctx, func(c *connection) error {
		all = nil
		domains, _, err := c.libvirt.ConnectListAllDomains(1, libvirt.ConnectListDomainsActive)
		if err != nil {
			return err
		}
		for _, domain := range domains {
			if err := ctx.Err(); err != nil {
				return err
			}
			description, err := c.libvirt.DomainGetXMLDesc(domain, 0)
			if errors.Is(typed(err), ErrNoDomain) {
				continue
			}
			if err != nil {
				return err
			}
			found, err := readInterfaces(description)
			if err != nil {
				return fmt.Errorf("reading the description of domain %s: %w", domain.Name, err)
			}
			all = append(all, found...)
		}
		return nil
	}))
	if err != nil {
		return nil, fmt.Errorf("listing the network interfaces on %s: %w", h, err)
	}
	return all, nil
}

func readInterfaces(description string) ([]Interface, error) {
	var domain struct {
		Name       string `xml:"name"`
		UUID       string `xml:"uuid"`
		Interfaces []struct {
			MAC struct {
				Address string `xml:"address,attr"`
			} `xml:"mac"`
			Source struct {
				Bridge string `xml:"bridge,attr"`
			} `xml:"source"`
			Target struct {
				Device string `xml:"dev,attr"`
			} `xml:"target"`
			VirtualPort struct {
				Type       string `xml:"type,attr"`
				Parameters struct {
					InterfaceID string `xml:"interfaceid,attr"`
				} `xml:"parameters"`
			} `xml:"virtualport"`
		} `xml:"devices>interface"`
	}
	if err := xml.Unmarshal([]byte(description), &domain); err != nil {
		return nil, err
	}
	var all []Interface
	for _, i := range domain.Interfaces {
		all = append(all, Interface{
			Domain: domain.Name, DomainUUID: domain.UUID, MAC: i.MAC.Address, Device: i.Target.Device, Bridge: i.Source.Bridge,
			VirtualPort: i.VirtualPort.Type, InterfaceID: i.VirtualPort.Parameters.InterfaceID,
		})
	}
	return all, nil
}
