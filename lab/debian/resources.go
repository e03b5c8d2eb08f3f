package debian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/flavors"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/quotasets"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/projects"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/imagedata"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"

	"github.com/deskstorm/deskstorm/lab/folder"
	"github.com/deskstorm/deskstorm/lab/guest"
)

// The names of what there is in the cloud; flavor, image and network as in the simulated lab.
const (
	FlavorName  = "desktop.small" // 1 VCPU, 64 MB
	LinuxFlavor = "linux.small"   // 1 VCPU, 128 MB
	ImageName   = "desktop"       // package guest's, for the node with libvirt
	LinuxImage  = "linux"         // takes a DHCP lease, and memory as it is told
	AnyImage    = "any"           // the same as desktop, for all compute nodes
	NetworkName = "desktops"
)

// onQEMU keeps images away from nodes of the fake driver (Nova's ImagePropertiesFilter).
const onQEMU = "qemu"

// makeResources makes, where they are missing, flavors, images, the network, and the desktops of clients without a broker.
func (l *Lab) makeResources(ctx context.Context) error {
	if err := l.writeClientFiles(ctx); err != nil {
		return fmt.Errorf("writing the files for clients: %w", err)
	}
	for _, step := range []func(context.Context) error{l.liftQuotas, l.makeFlavors, l.makeImages, l.makeNetwork, l.makeDesktops} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// liftQuotas lets the project have any number of servers; Nova's usual ten would end a boot storm early.
func (l *Lab) liftQuotas(ctx context.Context) error {
	id, err := l.projectID(ctx)
	if err != nil {
		return err
	}
	compute, err := l.compute(ctx)
	if err != nil {
		return err
	}
	unlimited := gophercloud.IntToPointer(-1)
	_, err = quotasets.Update(ctx, compute, id, quotasets.UpdateOpts{Instances: unlimited, Cores: unlimited, RAM: unlimited}).Extract()
	if err != nil {
		return fmt.Errorf("lifting Nova's quotas: %w", err)
	}
	network, err := l.network(ctx)
	if err != nil {
		return err
	}
	_, err = network.Put(ctx, network.ServiceURL("quotas", id), map[string]any{"quota": map[string]int{"port": -1}}, nil,
		&gophercloud.RequestOpts{OkCodes: []int{http.StatusOK}})
	if err != nil {
		return fmt.Errorf("lifting Neutron's quotas: %w", err)
	}
	return nil
}

func (l *Lab) projectID(ctx context.Context) (string, error) {
	identity, err := l.client(ctx, openstack.NewIdentityV3)
	if err != nil {
		return "", err
	}
	pages, err := projects.List(identity, projects.ListOpts{Name: project, DomainID: "default"}).AllPages(ctx)
	if err != nil {
		return "", err
	}
	all, err := projects.ExtractProjects(pages)
	if err != nil || len(all) != 1 {
		return "", fmt.Errorf("project %s: there are %d: %w", project, len(all), err)
	}
	return all[0].ID, nil
}

func (l *Lab) makeFlavors(ctx context.Context) error {
	compute, err := l.compute(ctx)
	if err != nil {
		return err
	}
	for name, ram := range map[string]int{FlavorName: 64, LinuxFlavor: 128} {
		_, err := flavors.Create(ctx, compute, flavors.CreateOpts{ID: name, Name: name, RAM: ram, VCPUs: 1, Disk: gophercloud.IntToPointer(0)}).Extract()
		if !isConflict(err) {
			return fmt.Errorf("making flavor %s: %w", name, err)
		}
	}
	return nil
}

func (l *Lab) makeImages(ctx context.Context) error {
	kernel, initrd, err := l.linux(ctx)
	if err != nil {
		return err
	}
	c, err := l.client(ctx, openstack.NewImageV2)
	if err != nil {
		return err
	}
	disk := guestDisk()
	if _, err := l.makeImage(ctx, c, images.CreateOpts{Name: ImageName, Properties: map[string]string{"img_hv_type": onQEMU}}, disk); err != nil {
		return err
	}
	if _, err := l.makeImage(ctx, c, images.CreateOpts{Name: AnyImage}, disk); err != nil {
		return err
	}
	kernelID, err := l.makeImageOfFile(ctx, c, images.CreateOpts{Name: LinuxImage + "-kernel", DiskFormat: "aki", ContainerFormat: "aki"}, kernel)
	if err != nil {
		return err
	}
	initrdID, err := l.makeImageOfFile(ctx, c, images.CreateOpts{Name: LinuxImage + "-initrd", DiskFormat: "ari", ContainerFormat: "ari"}, initrd)
	if err != nil {
		return err
	}
	// Nova boots a kernel and an initial ramdisk from the image's properties, and wants a disk all the same.
	_, err = l.makeImage(ctx, c, images.CreateOpts{Name: LinuxImage, Properties: map[string]string{
		"img_hv_type": onQEMU, "kernel_id": kernelID, "ramdisk_id": initrdID, "os_command_line": "console=ttyS0 quiet panic=-1",
	}}, disk)
	return err
}

// guestDisk is the project's own guest as a raw disk.
func guestDisk() io.ReadSeeker {
	disk := make([]byte, 1<<20)
	copy(disk, guest.Image())
	return bytes.NewReader(disk)
}

func (l *Lab) makeImageOfFile(ctx context.Context, c *gophercloud.ServiceClient, o images.CreateOpts, file string) (id string, err error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return l.makeImage(ctx, c, o, f)
}

// makeImage makes an image, unless there is one of this name that is whole.
func (l *Lab) makeImage(ctx context.Context, c *gophercloud.ServiceClient, o images.CreateOpts, data io.ReadSeeker) (id string, err error) {
	pages, err := images.List(c, images.ListOpts{Name: o.Name}).AllPages(ctx)
	if err != nil {
		return "", fmt.Errorf("looking for image %s: %w", o.Name, err)
	}
	all, err := images.ExtractImages(pages)
	if err != nil {
		return "", fmt.Errorf("looking for image %s: %w", o.Name, err)
	}
	for _, i := range all {
		if i.Status == images.ImageStatusActive {
			return i.ID, nil
		}
		if err := images.Delete(ctx, c, i.ID).ExtractErr(); err != nil {
			return "", fmt.Errorf("deleting image %s, which is only %s: %w", o.Name, i.Status, err)
		}
	}
	if _, err := data.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	public := images.ImageVisibilityPublic
	o.Visibility = &public
	if o.DiskFormat == "" {
		o.DiskFormat, o.ContainerFormat = "raw", "bare"
	}
	made, err := images.Create(ctx, c, o).Extract()
	if err != nil {
		return "", fmt.Errorf("making image %s: %w", o.Name, err)
	}
	if err := imagedata.Upload(ctx, c, made.ID, data).ExtractErr(); err != nil {
		return "", fmt.Errorf("uploading image %s: %w", o.Name, err)
	}
	l.say("image %s is in Glance", o.Name)
	return made.ID, nil
}

func (l *Lab) makeNetwork(ctx context.Context) error {
	c, err := l.network(ctx)
	if err != nil {
		return err
	}
	id, err := networks.List(c, networks.ListOpts{Name: NetworkName}).AllPages(ctx)
	if err != nil {
		return fmt.Errorf("looking for network %s: %w", NetworkName, err)
	}
	all, err := networks.ExtractNetworks(id)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		made, err := networks.Create(ctx, c, networks.CreateOpts{Name: NetworkName, Shared: gophercloud.Enabled}).Extract()
		if err != nil {
			return fmt.Errorf("making network %s: %w", NetworkName, err)
		}
		all = append(all, *made)
		l.say("network %s is in Neutron", NetworkName)
	}
	if len(all[0].Subnets) > 0 {
		return nil
	}
	_, err = subnets.Create(ctx, c, subnets.CreateOpts{
		NetworkID: all[0].ID, Name: NetworkName, IPVersion: gophercloud.IPv4, CIDR: "10.77.0.0/20",
	}).Extract()
	if err != nil {
		return fmt.Errorf("making the subnet of network %s: %w", NetworkName, err)
	}
	return nil
}

// makeDesktops builds the desktops that wait for clients without a broker, and waits until they run.
func (l *Lab) makeDesktops(ctx context.Context) error {
	provider, err := openstack.AuthenticatedClient(ctx, l.Admin())
	if err != nil {
		return err
	}
	c, err := openstack.NewComputeV2(provider, gophercloud.EndpointOpts{Region: region})
	if err != nil {
		return err
	}
	c.Microversion = computeMicroversion
	there, err := l.serversByName(ctx, c)
	if err != nil {
		return err
	}
	image, network, err := l.imageAndNetwork(ctx)
	if err != nil {
		return err
	}
	made := 0
	for _, d := range folder.Desktops(l.Desktops) {
		if there[d.Name].ID != "" {
			continue
		}
		_, err := servers.Create(ctx, c, servers.CreateOpts{
			Name: d.Name, FlavorRef: FlavorName, ImageRef: image, Networks: []servers.Network{{UUID: network}}, Metadata: d.Metadata,
		}, nil).Extract()
		if err != nil {
			return fmt.Errorf("creating desktop %s: %w", d.Name, err)
		}
		made++
	}
	if err := l.awaitDesktops(ctx, c); err != nil {
		return err
	}
	if made > 0 {
		l.say("%d desktops run for clients without a broker", l.Desktops)
	}
	return nil
}

func (l *Lab) serversByName(ctx context.Context, c *gophercloud.ServiceClient) (map[string]servers.Server, error) {
	pages, err := servers.List(c, servers.ListOpts{}).AllPages(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing servers: %w", err)
	}
	all, err := servers.ExtractServers(pages)
	byName := map[string]servers.Server{}
	for _, s := range all {
		byName[s.Name] = s
	}
	return byName, err
}

func (l *Lab) imageAndNetwork(ctx context.Context) (imageID, networkID string, err error) {
	i, err := l.client(ctx, openstack.NewImageV2)
	if err != nil {
		return "", "", err
	}
	n, err := l.network(ctx)
	if err != nil {
		return "", "", err
	}
	imagePages, err := images.List(i, images.ListOpts{Name: ImageName}).AllPages(ctx)
	if err != nil {
		return "", "", err
	}
	allImages, err := images.ExtractImages(imagePages)
	if err != nil {
		return "", "", err
	}
	networkPages, err := networks.List(n, networks.ListOpts{Name: NetworkName}).AllPages(ctx)
	if err != nil {
		return "", "", err
	}
	allNetworks, err := networks.ExtractNetworks(networkPages)
	if err == nil && (len(allImages) == 0 || len(allNetworks) == 0) {
		err = fmt.Errorf("image %s or network %s is gone", ImageName, NetworkName)
	}
	if err != nil {
		return "", "", err
	}
	return allImages[0].ID, allNetworks[0].ID, nil
}

func (l *Lab) awaitDesktops(ctx context.Context, c *gophercloud.ServiceClient) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		there, err := l.serversByName(ctx, c)
		if err != nil {
			return err
		}
		running := 0
		for _, d := range folder.Desktops(l.Desktops) {
			switch s := there[d.Name]; s.Status {
			case "ACTIVE", "SHUTOFF":
				running++
			case "ERROR":
				return fmt.Errorf("desktop %s could not be built: %s", d.Name, s.Fault.Message)
			}
		}
		if running == l.Desktops {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%d of %d desktops run", running, l.Desktops), ctx.Err())
		}
	}
}
