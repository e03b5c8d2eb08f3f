package probes

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLeases(t *testing.T) {
	file := secret(t, fmt.Sprintf("%d fa:16:3e:00:00:01 10.0.0.11 a *\n%d fa:16:3e:00:00:02 10.0.0.12 b *\n0 fa:16:3e:00:00:03 10.0.0.13 c *\nbroken\n",
		time.Now().Add(18*time.Hour).Unix(), time.Now().Add(6*time.Hour).Unix()))
	e := Env{Config: mustRead(t, fmt.Sprintf("dhcp: {networks: [{name: n, lease_file: %s, lease_time: 24h}]}", file))}
	v := answerOf(t, e, "leases", nil)
	require.InDelta(t, .25, v["lowest"], .001)
	require.Equal(t, "10.0.0.12", v["address"])
	require.Equal(t, []any{3., 1., 1.}, []any{v["leases"], v["below_0_45"], v["malformed"]})
}
