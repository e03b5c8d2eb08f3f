package contract

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/remoteconsoles"
	"github.com/stretchr/testify/require"
)

// consoleToken asks for a server's SPICE console and takes the token out of its URL.
func (s *session) consoleToken(t *testing.T, id string) string {
	t.Helper()
	c, err := remoteconsoles.Create(t.Context(), s.compute, id, remoteconsoles.CreateOpts{
		Protocol: remoteconsoles.ConsoleProtocolSPICE, Type: remoteconsoles.ConsoleTypeSPICEHTML5,
	}).Extract()
	require.NoError(t, err)
	require.Equal(t, "spice", c.Protocol)
	require.Equal(t, "spice-html5", c.Type)
	u, err := url.Parse(c.URL)
	require.NoError(t, err)
	require.NotEmpty(t, u.Host)
	token := u.Query().Get("token")
	require.Regexp(t, "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$", token, c.URL)
	return token
}

func testConsoles(t *testing.T, s *suite) {
	id := s.server(t, s.admin, "console", nil).ID
	token := s.user.consoleToken(t, id)
	show := func(t *testing.T, who *session, token, version string) answer {
		t.Helper()
		return who.ask(t, who.compute, "GET", "os-console-auth-tokens/"+token, nil, versionHeader+": compute "+version)
	}
	t.Run("where it is", func(t *testing.T) {
		for _, version := range []string{"2.31", "2.93"} {
			a := show(t, s.admin, token, version)
			require.Equal(t, http.StatusOK, a.status, a.body)
			require.ElementsMatch(t, []string{"instance_uuid", "host", "port", "internal_access_path"}, a.keys(t, "console"))
			require.Equal(t, id, a.text(t, "console", "instance_uuid"))
			require.NotEmpty(t, a.text(t, "console", "host"))
			require.IsType(t, 0.0, a.at(t, "console", "port"))
		}
		require.NotEqual(t, token, s.user.consoleToken(t, id), "each request has its own")
		require.Equal(t, http.StatusOK, show(t, s.admin, token, "2.93").status, "and ends none")
	})
	t.Run("not told", func(t *testing.T) {
		a := show(t, s.user, token, "2.93")
		require.Equal(t, http.StatusForbidden, a.status)
		require.Equal(t, "Policy doesn't allow os_compute_api:os-console-auth-tokens to be performed.", a.text(t, "forbidden", "message"))
		a = show(t, s.admin, token, "2.30")
		require.Equal(t, http.StatusUnauthorized, a.status, "only consoles of RDP before 2.31: %s", a.body)
		require.Equal(t, "The requested console type details are not accessible", a.text(t, "unauthorized", "message"))
		for _, version := range []string{"2.30", "2.93"} {
			a = show(t, s.admin, nobody, version)
			require.Equal(t, http.StatusNotFound, a.status, a.body)
			require.Equal(t, "Token not found", a.text(t, "itemNotFound", "message"))
		}
	})
	t.Run("types", func(t *testing.T) {
		const types = " is not one of ['novnc', 'xvpvnc', 'rdp-html5', 'spice-html5', 'serial', 'webmks']"
		for _, test := range []struct {
			console object
			says    string
		}{
			{object{"protocol": "vnc", "type": "novnc"}, "Unavailable console type novnc."},
			{object{"protocol": "serial", "type": "serial"}, "Unavailable console type serial."},
			{object{"protocol": "spice", "type": "novnc"}, "Invalid console type novnc"},
			{object{"protocol": "spice", "type": "nosuch"}, "Invalid input for field/attribute type. Value: nosuch. 'nosuch'" + types},
			{object{"protocol": "spice", "type": "spice-direct"}, "Invalid input for field/attribute type. Value: spice-direct. 'spice-direct'" + types},
			{object{}, "Invalid input for field/attribute remote_console. Value: {}. 'protocol' is a required property"},
		} {
			a := s.user.ask(t, s.user.compute, "POST", "servers/"+id+"/remote-consoles", object{"remote_console": test.console})
			require.Equal(t, http.StatusBadRequest, a.status, "%v: %s", test.console, a.body)
			require.Equal(t, test.says, a.text(t, "badRequest", "message"))
		}
	})
	t.Run("before 2.6", func(t *testing.T) {
		body := object{"os-getSPICEConsole": object{"type": "spice-html5"}}
		a := s.user.act(t, id, body, versionHeader+": compute 2.5")
		require.Equal(t, http.StatusOK, a.status, a.body)
		require.Equal(t, "spice-html5", a.text(t, "console", "type"))
		require.Contains(t, a.text(t, "console", "url"), "token=")
		a = s.user.act(t, id, body, versionHeader+": compute 2.6")
		require.Equal(t, http.StatusNotFound, a.status, a.body)
		a = s.user.ask(t, s.user.compute, "POST", "servers/"+id+"/remote-consoles",
			object{"remote_console": object{"protocol": "spice", "type": "spice-html5"}}, versionHeader+": compute 2.5")
		require.Equal(t, http.StatusNotFound, a.status, a.body)
	})
	t.Run("of what there is not", func(t *testing.T) {
		a := s.user.ask(t, s.user.compute, "POST", "servers/"+nobody+"/remote-consoles",
			object{"remote_console": object{"protocol": "spice", "type": "spice-html5"}})
		require.Equal(t, http.StatusNotFound, a.status, a.body)
		a = s.user.ask(t, s.user.compute, "POST", "servers/"+id+"/remote-consoles", object{})
		require.Equal(t, http.StatusBadRequest, a.status)
		require.Contains(t, a.text(t, "badRequest", "message"), "'remote_console' is a required property")
	})
	t.Run("of a stopped server", func(t *testing.T) {
		s.user.must(t, id, object{"os-stop": nil})
		s.watch(t, s.user, id, "ACTIVE powering-off", "SHUTOFF")
		s.user.consoleToken(t, id) // Nova gives it; nothing may listen there
	})
}

// testListeningConsole: where the token says, a SPICE server answers a client's link message.
func testListeningConsole(t *testing.T, s *suite) {
	id := s.server(t, s.admin, "screen", boot{"host": s.Can.ConsoleHost}).ID
	a := s.admin.ask(t, s.admin.compute, "GET", "os-console-auth-tokens/"+s.admin.consoleToken(t, id), nil)
	require.Equal(t, http.StatusOK, a.status, a.body)
	address := net.JoinHostPort(a.text(t, "console", "host"), fmt.Sprintf("%.0f", a.at(t, "console", "port")))
	var dialer net.Dialer
	c, err := dialer.DialContext(t.Context(), "tcp", address)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Second)))
	// SpiceLinkHeader (magic, major, minor, size) and SpiceLinkMess (connection id, channel type, channel id, numbers of common
	// and channel capabilities, their offset), then the capabilities, of spice-protocol's protocol.h.
	const message = 18
	link := append([]byte("REDQ"), make([]byte, 12+message+4)...)
	binary.LittleEndian.PutUint32(link[4:], 2)
	binary.LittleEndian.PutUint32(link[8:], 2)
	binary.LittleEndian.PutUint32(link[12:], message+4)
	link[20] = 1 // SPICE_CHANNEL_MAIN
	binary.LittleEndian.PutUint32(link[22:], 1)
	binary.LittleEndian.PutUint32(link[30:], message)
	binary.LittleEndian.PutUint32(link[34:], 1<<0|1<<1|1<<3) // authentication is selected, by a ticket; mini headers
	_, err = c.Write(link)
	require.NoError(t, err)
	var reply [20]byte
	_, err = io.ReadFull(c, reply[:])
	require.NoError(t, err)
	require.Equal(t, "REDQ", string(reply[:4]))
	require.EqualValues(t, 2, binary.LittleEndian.Uint32(reply[4:]))
	require.EqualValues(t, 2, binary.LittleEndian.Uint32(reply[8:]))
	require.Zero(t, binary.LittleEndian.Uint32(reply[16:]), "SPICE_LINK_ERR_OK")
	require.False(t, strings.HasPrefix(address, "0.0.0.0"))
}
