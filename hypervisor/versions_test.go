package hypervisor_test

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/libvirt"
	"github.com/deskstorm/deskstorm/lab/libvirt/libvirttest"
	"github.com/deskstorm/deskstorm/lab/qemu"
)

func TestVersions(t *testing.T) {
	host := connect(t, libvirttest.StartT(t, libvirt.Config{}).URI())
	lib, hypervisor, err := host.Versions(bounded(t))
	require.NoError(t, err)
	said, err := exec.CommandContext(t.Context(), "libvirtd", "--version").Output()
	require.NoError(t, err)
	require.Contains(t, string(said), lib)
	said, err = exec.CommandContext(t.Context(), qemu.Program, "--version").Output()
	require.NoError(t, err)
	require.Contains(t, string(said), "version "+hypervisor)
	require.NoError(t, host.Close())
	_, _, err = host.Versions(bounded(t))
	require.ErrorContains(t, err, "for its versions")
}
