package dhcp_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/exporters/dhcp"
)

// BenchmarkLeases reads the leases of a network of that many desktops.
func BenchmarkLeases(b *testing.B) {
	for _, desktops := range []int{1000, 10_000} {
		b.Run(fmt.Sprint(desktops), func(b *testing.B) {
			now := time.Now()
			var text strings.Builder
			for i := range desktops {
				fmt.Fprintf(&text, "%d fa:16:3e:00:%02x:%02x 10.71.%d.%d host-10-71-%d-%d 01:fa:16:3e:00:%02x:%02x\n",
					now.Add(20*time.Hour).Unix(), i/256, i%256, i/256, i%256, i/256, i%256, i/256, i%256)
			}
			n := dhcp.Network{Name: "a", LeaseFile: filepath.Join(b.TempDir(), "leases"), LeaseTime: 24 * time.Hour}
			require.NoError(b, os.WriteFile(n.LeaseFile, []byte(text.String()), 0o600))
			for b.Loop() {
				if found, err := dhcp.SituationsAt(n, now); err != nil || found != "healthy" {
					b.Fatal(found, err)
				}
			}
		})
	}
}
