package ovs_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/netns/netnstest"
	"github.com/deskstorm/deskstorm/lab/ovs"
	"github.com/deskstorm/deskstorm/lab/ovs/ovstest"
)

func TestSwitch(t *testing.T) {
	ovstest.Require(t)
	space := netnstest.New(t, "ovs")
	ctx := t.Context()
	s := ovstest.StartT(t, ovs.Config{Namespace: space.Path()})
	require.NoError(t, s.AddBridge(ctx, "br-int"))
	require.NoError(t, s.Plug(ctx, "br-int", "vnet0", "a"))
	ofport := func() string {
		out, err := s.Vsctl(ctx, "get", "Interface", "vnet0", "ofport")
		require.NoError(t, err)
		return out
	}
	require.Equal(t, "-1", ofport(), "there is no such device")
	s.KillDaemon()
	require.NoError(t, space.AddVeth("vnet0", space, "eth0"))
	require.NoError(t, s.StartDaemon(ctx))
	require.NotEqual(t, "-1", ofport())
	s.KillDatabase()
	_, err := s.Vsctl(ctx, "--no-wait", "show")
	require.Error(t, err)
	require.NoError(t, s.StartDatabase(ctx))
	require.NoError(t, s.Pause())
	require.NoError(t, s.Close(), "also of one that is paused")
	require.NoError(t, s.Close())
	_, err = os.Stat(filepath.Dir(s.Socket))
	require.ErrorIs(t, err, os.ErrNotExist)
}
