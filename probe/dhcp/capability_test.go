package dhcp_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/netns/dhcptest"
	"github.com/deskstorm/deskstorm/lab/netns/netnstest"
	"github.com/deskstorm/deskstorm/probe/dhcp"
)

// These make the test's own program a probe in a namespace, with that timeout, which says what it lacks.
const (
	namespaceVariable = "DESKSTORM_DHCP_TEST_NAMESPACE"
	timeoutVariable   = "DESKSTORM_DHCP_TEST_TIMEOUT"
)

func TestMain(m *testing.M) {
	namespace, ok := os.LookupEnv(namespaceVariable)
	if !ok {
		os.Exit(m.Run())
	}
	timeout, _ := time.ParseDuration(os.Getenv(timeoutVariable))
	_, err := dhcp.Probe(context.Background(), dhcp.Target{
		Interface: dhcptest.Link, Namespace: namespace, Timeout: max(1, timeout), Attempts: 1, Window: 1,
	})
	var missing *dhcp.MissingCapabilityError
	if errors.As(err, &missing) {
		fmt.Print(missing)
	} else {
		fmt.Print(err)
	}
}

func TestMissingCapabilities(t *testing.T) {
	n := netnstest.New(t, "client")
	require.NoError(t, n.AddVeth(dhcptest.Link, n, "other"))
	for _, test := range []struct{ drop, namespace, want string }{
		{"-net_raw", n.Path(), "missing CAP_NET_RAW: setcap cap_net_raw+ep PROGRAM, or AmbientCapabilities=CAP_NET_RAW in the systemd unit"},
		{"-net_admin,-net_bind_service", n.Path(), "missing CAP_NET_ADMIN, CAP_NET_BIND_SERVICE: setcap cap_net_admin,cap_net_bind_service+ep " +
			"PROGRAM, or AmbientCapabilities=CAP_NET_ADMIN CAP_NET_BIND_SERVICE in the systemd unit"},
		{"-sys_admin", n.Path(), "missing CAP_SYS_ADMIN: setcap cap_sys_admin+ep PROGRAM, or AmbientCapabilities=CAP_SYS_ADMIN in the systemd unit"},
		{"-sys_admin", "", "<nil>"},
		{"-sys_ptrace", n.Path(), "<nil>"},
	} {
		t.Run(test.drop, func(t *testing.T) {
			t.Parallel()
			cmd := n.Command(t.Context(), "setpriv", "--bounding-set="+test.drop, os.Args[0])
			cmd.Env = append(os.Environ(), namespaceVariable+"="+test.namespace)
			out, err := cmd.Output()
			require.NoError(t, err)
			require.Equal(t, test.want, string(out))
		})
	}
}
