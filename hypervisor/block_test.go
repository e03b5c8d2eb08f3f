package hypervisor_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/hypervisor"
	"github.com/deskstorm/deskstorm/lab/libvirt"
	"github.com/deskstorm/deskstorm/lab/libvirt/libvirttest"
)

// TestBlockStats counts the boot sector that each guest reads.
func TestBlockStats(t *testing.T) {
	daemon := libvirttest.StartT(t, libvirt.Config{})
	host := connect(t, daemon.URI())
	ctx := bounded(t)
	stats := func() map[string]hypervisor.Disk {
		disks, err := host.BlockStats(ctx)
		require.NoError(t, err)
		byDomain := map[string]hypervisor.Disk{}
		for _, d := range disks {
			require.Equal(t, "vda", d.Name)
			byDomain[d.Domain] = d
		}
		require.Len(t, byDomain, len(disks))
		return byDomain
	}
	require.Empty(t, stats())

	first, second := uuid.NewString(), libvirttest.BootT(t, daemon, "n2-118", "")
	require.NoError(t, daemon.BootAs(ctx, "n2-117", first, ""))
	_, err := daemon.Define(ctx, "n2-119", "")
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		s := stats()
		return s[first].Reads > 0 && s[second].Reads > 0
	}, deadline, poll)
	s := stats()
	require.Len(t, s, 2, "a domain that does not run is not asked")
	for _, d := range s {
		require.True(t, d.Timed)
		require.Positive(t, d.ReadTime)
		require.Less(t, d.ReadTime, deadline)
		require.EqualValues(t, 512, d.ReadBytes/d.Reads)
		require.Zero(t, d.Writes)
	}

	require.NoError(t, daemon.Destroy(ctx, first))
	require.NotContains(t, stats(), first)
	require.NoError(t, daemon.BootAs(ctx, "n2-117", first, ""))
	again := stats()[first]
	require.NotEqual(t, s[first].Run, again.Run, "a domain that was started again counts from 0 under another number")
	require.Equal(t, s[second].Run, stats()[second].Run)

	require.NoError(t, daemon.Kill())
	_, err = host.BlockStats(ctx)
	require.ErrorIs(t, err, hypervisor.ErrConnection)
	require.ErrorContains(t, err, daemon.URI())
	require.NoError(t, daemon.Restart(ctx))
	require.Eventually(t, func() bool { return stats()[second].Reads > 0 }, deadline, poll, "it finds its QEMUs again")
	require.Equal(t, s[second].Run, stats()[second].Run, "the number outlives libvirtd")
}

func BenchmarkBlockStats(b *testing.B) {
	daemon := libvirttest.StartT(b, libvirt.Config{})
	for _, name := range []string{"n2-117", "n2-118", "n2-119"} {
		libvirttest.BootT(b, daemon, name, "")
	}
	host := connect(b, daemon.URI())
	for b.Loop() {
		disks, err := host.BlockStats(b.Context())
		require.NoError(b, err)
		require.Len(b, disks, 3)
	}
}
