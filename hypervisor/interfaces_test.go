package hypervisor_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/hypervisor"
	"github.com/deskstorm/deskstorm/lab/libvirt"
	"github.com/deskstorm/deskstorm/lab/libvirt/libvirttest"
)

func TestInterfaces(t *testing.T) {
	daemon := libvirttest.StartT(t, libvirt.Config{})
	host := connect(t, daemon.URI())
	none, err := host.Interfaces(bounded(t))
	require.NoError(t, err)
	require.Empty(t, none)
	id := libvirttest.BootT(t, daemon, "n2-117", libvirt.Graphics+
		`<interface type='user'><mac address='52:54:00:00:00:01'/><model type='virtio'/></interface>`)
	_, err = daemon.Define(bounded(t), "n2-118", `<interface type='user'/>`)
	require.NoError(t, err)
	all, err := host.Interfaces(bounded(t))
	require.NoError(t, err)
	require.Equal(t, []hypervisor.Interface{{Domain: "n2-117", DomainUUID: id, MAC: "52:54:00:00:00:01"}}, all)
	require.NoError(t, daemon.Destroy(bounded(t), id))
	none, err = host.Interfaces(bounded(t))
	require.NoError(t, err)
	require.Empty(t, none)
}

// An interface as libvirt has it of Nova's, on an Open vSwitch and, with hybrid plugging, on a bridge.
func TestReadInterfaces(t *testing.T) {
	all, err := hypervisor.ReadInterfaces(`<domain type='kvm' id='3'><name>instance-00000003</name>
	  <uuid>d1d1d1d1-0000-4000-8000-000000000001</uuid><devices>
	  <interface type='bridge'><mac address='fa:16:3e:00:00:01'/><source bridge='br-int'/>
	    <virtualport type='openvswitch'><parameters interfaceid='a1a1a1a1-0000-4000-8000-000000000001'/></virtualport>
	    <target dev='tapa1a1a1a1-00'/><model type='virtio'/></interface>
	  <interface type='bridge'><mac address='fa:16:3e:00:00:02'/><source bridge='qbra2a2a2a2-00'/><target dev='tapa2a2a2a2-00'/></interface>
	</devices></domain>`)
	require.NoError(t, err)
	domain := hypervisor.Interface{Domain: "instance-00000003", DomainUUID: "d1d1d1d1-0000-4000-8000-000000000001"}
	first, second := domain, domain
	first.MAC, first.Device, first.Bridge = "fa:16:3e:00:00:01", "tapa1a1a1a1-00", "br-int"
	first.VirtualPort, first.InterfaceID = "openvswitch", "a1a1a1a1-0000-4000-8000-000000000001"
	second.MAC, second.Device, second.Bridge = "fa:16:3e:00:00:02", "tapa2a2a2a2-00", "qbra2a2a2a2-00"
	require.Equal(t, []hypervisor.Interface{first, second}, all)
	_, err = hypervisor.ReadInterfaces(`<domain><name>`)
	require.Error(t, err)
}
