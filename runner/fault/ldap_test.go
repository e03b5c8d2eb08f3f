package fault_test

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/netns/netnstest"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	"github.com/deskstorm/deskstorm/lab/slapd"
	"github.com/deskstorm/deskstorm/lab/slapd/slapdtest"
	"github.com/deskstorm/deskstorm/runner/fault"
	"github.com/deskstorm/deskstorm/runner/native"
	"github.com/deskstorm/deskstorm/runner/target"
)

// insideNamespace says in the environment of this program that it is where faults may be.
const insideNamespace = "DESKSTORM_TEST_INSIDE"

// TestLDAP runs TestLDAPInside in a network namespace: slapd listens on the loopback interface, and this machine's own gets no faults.
func TestLDAP(t *testing.T) {
	qemutest.RequireProgram(t, "nft", "nftables")
	qemutest.RequireProgram(t, slapd.Program, "slapd")
	n := netnstest.New(t, "ldap")
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := n.Command(t.Context(), exe, "-test.run=^TestLDAPInside$", "-test.v", "-test.count=1")
	cmd.Env = append(os.Environ(), insideNamespace+"=1")
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	require.NoError(t, err)
	require.Contains(t, string(out), "--- PASS: TestLDAPInside")
	clean(t, n)
	pids, err := exec.CommandContext(t.Context(), "ip", "netns", "pids", n.Name()).Output()
	require.NoError(t, err)
	require.Empty(t, string(pids))
}

func TestLDAPInside(t *testing.T) {
	if os.Getenv(insideNamespace) == "" {
		return // it is a part of TestLDAP
	}
	const base = "dc=example,dc=com"
	const ldif = "dn: " + base + "\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example\n"
	s := slapdtest.StartT(t, slapd.Config{BaseDN: base, LDIF: ldif})
	host, port, err := net.SplitHostPort(strings.TrimPrefix(s.URL, "ldap://"))
	require.NoError(t, err)
	dial := func() (*ldap.Conn, error) {
		c, err := ldap.DialURL(s.URL, ldap.DialWithDialer(&net.Dialer{Timeout: time.Second}))
		if err == nil {
			c.SetTimeout(5 * time.Second)
			t.Cleanup(func() { c.Close() })
		}
		return c, err
	}
	bind := func() (time.Duration, error) {
		began := time.Now()
		c, err := dial()
		if err != nil {
			return 0, err
		}
		return time.Since(began), c.Bind(s.AdminDN, s.AdminPassword)
	}
	exe, err := os.Executable()
	require.NoError(t, err)
	w := newWorld(t, target.Config{"directory": local(t, nil)})
	w.relay = []string{exe, asRelay}
	arguments := func(more native.Arguments) native.Arguments {
		more["target"], more["for"], more["address"], more["port"] = "directory", "1m", host, number(t, port)
		return more
	}
	slow := func() time.Duration {
		c, err := dial()
		require.NoError(t, err)
		began := time.Now()
		require.NoError(t, c.Bind(s.AdminDN, s.AdminPassword))
		return time.Since(began)
	}
	before := slow()
	pooled, err := dial()
	require.NoError(t, err)
	w.breaks("ldap.slow", arguments(native.Arguments{"delay": "200ms"}), func(fault.Plan) {
		require.Error(t, pooled.Bind(s.AdminDN, s.AdminPassword), "a connection from before is reset, so that its owner comes again")
		got := slow()
		t.Logf("a bind took %s, and %s with 200 ms each way", before, got)
		require.GreaterOrEqual(t, got, 400*time.Millisecond)
		require.Less(t, got, 2*time.Second)
	})
	require.Less(t, slow(), 400*time.Millisecond)
	for _, how := range []string{"refused", "silent"} {
		open, err := dial()
		require.NoError(t, err)
		w.breaks("ldap.down", arguments(native.Arguments{"how": how}), func(fault.Plan) {
			began := time.Now()
			_, err := bind()
			t.Logf("%s: %v after %s", how, err, time.Since(began))
			require.Error(t, err)
			if how == "refused" {
				require.ErrorContains(t, err, "refused")
				require.Error(t, open.Bind(s.AdminDN, s.AdminPassword))
			} else {
				require.ErrorContains(t, err, "timeout")
			}
		})
		_, err = bind()
		require.NoError(t, err)
	}
}
