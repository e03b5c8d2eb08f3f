package dhcp_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/sim/lease"
	"github.com/deskstorm/deskstorm/probe/dhcp"
)

func TestParseLeases(t *testing.T) {
	f := dhcp.ParseLeases([]byte("1764140400 fa:16:3e:00:00:01 10.0.0.5 host-10-0-0-5 01:fa:16:3e:00:00:01\n" +
		"0 06-fa:16:3e 10.0.0.6 * *\n" +
		"1764140400 00- 10.0.0.7 * ff:1\n" +
		"\n" +
		"duid 00:01:00:01\n" +
		"1764140400 12345 fd00::5 host 00:01\n" +
		"nonsense\n" +
		"1764140400 fa:16:3e:00:00:01 10.0.0 * *\n" +
		"-1 fa:16:3e:00:00:01 10.0.0.5 * *\n" +
		"1764140400 fa:16:3e:0:00:01 10.0.0.5 * *\n" +
		"1764140400 fa:16:3e:00:00:01 10.0.0.5 * "))
	require.Equal(t, 5, f.Malformed)
	require.Len(t, f.Leases, 3)
	require.Equal(t, time.Unix(1764140400, 0), f.Leases[0].Expires)
	require.Equal(t, "fa:16:3e:00:00:01", f.Leases[0].MAC.String())
	require.Equal(t, netip.MustParseAddr("10.0.0.5"), f.Leases[0].Address)
	require.True(t, f.Leases[1].Expires.IsZero())
	require.Equal(t, "fa:16:3e", f.Leases[1].MAC.String())
	require.Empty(t, f.Leases[2].MAC)
}

func TestRemaining(t *testing.T) {
	now := time.Unix(1764140400, 0)
	for after, want := range map[time.Duration]float64{
		time.Hour: 1, 45 * time.Minute: 0.75, 0: 0, -time.Hour: 0, 2 * time.Hour: 1,
	} {
		require.Equal(t, want, dhcp.FileLease{Expires: now.Add(after)}.Remaining(now, time.Hour))
	}
	require.Equal(t, 1.0, dhcp.FileLease{}.Remaining(now, time.Hour))
	require.Equal(t, 1.0, dhcp.FileLease{Expires: now}.Remaining(now, 0))
}

// TestSimulatedLeases: what the simulated cloud writes as Neutron's dnsmasq does.
func TestSimulatedLeases(t *testing.T) {
	begin := time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)
	now := begin
	table, err := lease.New(lease.Times{Lease: 24 * time.Hour, T1: 12 * time.Hour, T2: 21 * time.Hour}, func() time.Time { return now })
	require.NoError(t, err)
	port := lease.Port{Server: "s", Network: "n", MAC: "fa:16:3e:00:00:01", Address: "10.20.0.2"}
	table.Started("s")
	table.SetFault("s", lease.Stuck)
	now = begin.Add(18 * time.Hour)
	dir := t.TempDir()
	leases, _ := table.Leases([]lease.Port{port})
	require.NoError(t, lease.NewFiles(dir).Write(leases))
	f, err := dhcp.ReadLeases(filepath.Join(dir, "n", "leases"))
	require.NoError(t, err)
	require.Len(t, f.Leases, 1)
	require.Equal(t, 0.25, f.Leases[0].Remaining(now, 24*time.Hour))
}

func TestReadLeases(t *testing.T) {
	path := filepath.Join(t.TempDir(), "leases")
	_, err := dhcp.ReadLeases(path)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(path, []byte("1764140400 fa:16:3e:00:00:01 10.0.0.5 * *\nhalf"), 0o600))
	f, err := dhcp.ReadLeases(path)
	require.NoError(t, err)
	require.Len(t, f.Leases, 1)
	require.Equal(t, 1, f.Malformed)
	require.NoError(t, os.Truncate(path, 65<<20))
	_, err = dhcp.ReadLeases(path)
	require.ErrorContains(t, err, "bytes, more than")
}

func FuzzParseLeases(f *testing.F) {
	f.Add([]byte("1764140400 fa:16:3e:00:00:01 10.0.0.5 host-10-0-0-5 01:fa:16:3e:00:00:01\n"))
	f.Add([]byte("0 06-fa:16:3e 10.0.0.6 * *\nduid 00:01\n1764140400 12345 fd00::5 host 00:01\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		now := time.Unix(1764140400, 0)
		for _, l := range dhcp.ParseLeases(data).Leases {
			require.True(t, l.Address.Is4())
			require.LessOrEqual(t, len(l.MAC), 16)
			r := l.Remaining(now, time.Hour)
			require.True(t, 0 <= r && r <= 1, r)
		}
	})
}
