package dhcp

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLeasesByMAC(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	write("a", "2000000000 FA:16:3e:00:00:01 192.0.2.1 * 01:fa\n0 fa:16:3e:00:00:02 192.0.2.2 host-2 *\n"+
		"duid 00:01\n2000000000 123 fd00::1 * 00:01\n")
	write("b", "1900000000 fa:16:3e:00:00:01 192.0.2.9 * *\n2000000000 06-fa:16:3e:00:00:03 192.0.2.3 * *\n")
	leases, err := LeasesByMAC(t.Context(), []string{filepath.Join(dir, "*")})
	require.NoError(t, err)
	require.Equal(t, map[string]time.Time{"fa:16:3e:00:00:01": time.Unix(2_000_000_000, 0), "fa:16:3e:00:00:02": Never,
		"fa:16:3e:00:00:03": time.Unix(2_000_000_000, 0)}, leases)
	_, err = LeasesByMAC(t.Context(), []string{filepath.Join(dir, "none*")})
	require.ErrorContains(t, err, "there are 0 lease files")
}
