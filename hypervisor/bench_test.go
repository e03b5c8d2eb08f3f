package hypervisor_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/libvirt"
	"github.com/deskstorm/deskstorm/lab/libvirt/libvirttest"
)

func BenchmarkSpice(b *testing.B) {
	daemon := libvirttest.StartT(b, libvirt.Config{})
	id := libvirttest.BootT(b, daemon, "n2-117", libvirt.Graphics)
	host := connect(b, daemon.URI())
	for b.Loop() {
		_, err := host.Spice(b.Context(), id)
		require.NoError(b, err)
	}
}

func BenchmarkSetTicket(b *testing.B) {
	daemon := libvirttest.StartT(b, libvirt.Config{Ticketing: true})
	id := libvirttest.BootT(b, daemon, "n2-117", libvirt.Graphics)
	host := connect(b, daemon.URI())
	for b.Loop() {
		require.NoError(b, host.SetTicket(b.Context(), id, "ticket", time.Now().Add(time.Hour)))
	}
}
