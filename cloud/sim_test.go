package cloud_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/lab/sim"
)

// startSim starts a simulated cloud and logs its administrator in.
func startSim(t *testing.T, config sim.Config) (*sim.Lab, *cloud.Cloud) {
	t.Helper()
	lab, err := sim.Start(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, lab.Close()) })
	c, err := cloud.New(lab.Admin())
	require.NoError(t, err)
	c.Owner = "contract"
	connected, err := cloud.Connect(t.Context(), c)
	require.NoError(t, err)
	return lab, connected
}

// The life of a server in a cloud that speaks all of Nova's API, whichever version it is of.
func TestServerInTheSimulatedCloud(t *testing.T) {
	for name, config := range map[string]sim.Config{
		"Zed":     {},
		"2025.1":  {SpiceDirect: true},
		"patched": {MetadataFilter: true},
	} {
		t.Run(name, func(t *testing.T) {
			_, c := startSim(t, config)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			flavor, err := c.Flavor(ctx, "desktop.small")
			require.NoError(t, err)
			image, err := c.Image(ctx, "desktop")
			require.NoError(t, err)
			network, err := c.Network(ctx, "desktops")
			require.NoError(t, err)
			for _, seat := range []string{"N1", "N2"} {
				_, err := c.CreateServer(ctx, cloud.ServerSpec{Name: "desk-" + seat, FlavorID: flavor, ImageID: image, Networks: []string{network},
					Metadata: map[string]string{"seat": seat}, Tags: []string{"pool=a"}})
				require.NoError(t, err)
			}
			find := func(f cloud.Filter) []cloud.Server {
				found, err := c.Servers(ctx, f)
				require.NoError(t, err)
				return found
			}
			require.Len(t, find(cloud.Filter{Tags: []string{"pool=a", cloud.OwnerTag + "=contract"}}), 2)
			for range 2 { // the second time it knows whether Nova filters
				mine := find(cloud.Filter{AllProjects: true, Metadata: map[string]string{"seat": "N2"}})
				require.Len(t, mine, 1)
				require.Equal(t, "desk-N2", mine[0].Name)
			}
			desk := find(cloud.Filter{Name: "desk-N1"})[0]
			require.Equal(t, "contract", desk.Metadata[cloud.OwnerKey])
			require.Eventually(t, func() bool {
				desk, err = c.Server(ctx, desk.ID)
				return err == nil && desk.Status == "ACTIVE"
			}, 10*time.Second, 20*time.Millisecond)
			require.NotEmpty(t, desk.Host)

			at, err := c.SpiceHTML5(ctx, desk.ID)
			require.NoError(t, err)
			require.NotZero(t, at.Port)
			direct, err := c.SpiceDirect(ctx, desk.ID)
			if config.SpiceDirect {
				require.NoError(t, err)
				require.Equal(t, at.Port, direct.Port)
			} else {
				require.ErrorIs(t, err, cloud.ErrNotOffered)
			}

			first, err := c.TagServer(ctx, desk.ID, "taken")
			require.NoError(t, err)
			require.True(t, first)
			first, err = c.TagServer(ctx, desk.ID, "taken")
			require.NoError(t, err)
			require.False(t, first)
			require.NoError(t, c.UntagServer(ctx, desk.ID, "taken"))
			require.NoError(t, c.SetServerMetadata(ctx, desk.ID, map[string]string{"seat": "N3"}))
			require.NoError(t, c.DeleteServerMetadata(ctx, desk.ID, "seat"))

			require.ErrorIs(t, c.StartServer(ctx, desk.ID), cloud.ErrConflict, "it runs")
			require.NoError(t, c.StopServer(ctx, desk.ID))
			require.Eventually(t, func() bool {
				s, err := c.Server(ctx, desk.ID)
				return err == nil && s.Status == "SHUTOFF"
			}, 10*time.Second, 20*time.Millisecond)
			_, err = c.SpiceHTML5(ctx, desk.ID)
			require.ErrorIs(t, err, cloud.ErrConflict)
			require.NoError(t, c.DeleteServer(ctx, desk.ID))
			require.Eventually(t, func() bool {
				_, err := c.Server(ctx, desk.ID)
				return errors.Is(err, cloud.ErrNotFound)
			}, 10*time.Second, 20*time.Millisecond)
			require.NoError(t, c.DeleteServer(ctx, desk.ID))
		})
	}
}

func TestTokenExpiresInTheSimulatedCloud(t *testing.T) {
	lab, c := startSim(t, sim.Config{})
	_, err := c.Servers(t.Context(), cloud.Filter{})
	require.NoError(t, err)
	lab.ExpireTokens()
	_, err = c.Servers(t.Context(), cloud.Filter{})
	require.NoError(t, err)
}
