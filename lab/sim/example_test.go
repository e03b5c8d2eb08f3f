package sim_test

import (
	"context"
	"fmt"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"

	"github.com/deskstorm/deskstorm/lab/sim"
)

// A cloud in a test: a server is created, and runs.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	lab, err := sim.Start(ctx, sim.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer lab.Close()

	provider, err := openstack.AuthenticatedClient(ctx, lab.Admin())
	if err != nil {
		fmt.Println(err)
		return
	}
	compute, err := openstack.NewComputeV2(provider, gophercloud.EndpointOpts{Region: sim.Region})
	if err != nil {
		fmt.Println(err)
		return
	}
	compute.Microversion = "2.93"
	server, err := servers.Create(ctx, compute, servers.CreateOpts{
		Name: "desktop-1", FlavorRef: lab.FlavorID("desktop.small"), ImageRef: lab.ImageID("desktop"), Networks: "auto",
	}, nil).Extract()
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := servers.WaitForStatus(ctx, compute, server.ID, "ACTIVE"); err != nil {
		fmt.Println(err)
		return
	}
	now, _ := lab.Server(server.ID)
	fmt.Println(now.Name, now.Status, "on", now.Host)
	// Output: desktop-1 ACTIVE on compute01
}
