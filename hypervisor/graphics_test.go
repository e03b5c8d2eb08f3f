package hypervisor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func inDomain(graphics string) string {
	return "<domain type='kvm' id='3'><name>n2-117</name><metadata><graphics type='spice' port='1'/></metadata>" +
		"<devices><disk/>" + graphics + "<video/></devices></domain>"
}

func TestFindGraphics(t *testing.T) {
	for name, c := range map[string]struct {
		element       string
		listen        string
		port, tlsPort int
		err           error
	}{
		"plain": {element: `<graphics type='spice' port='5900' autoport='yes' listen='127.0.0.1'/>`, listen: "127.0.0.1", port: 5900},
		"both": {element: `<graphics type='spice' port='5900' tlsPort='5901' listen='::'><listen type='address' address='::'/></graphics>`,
			listen: "::", port: 5900, tlsPort: 5901},
		"TLS only":          {element: `<graphics type='spice' port='-1' tlsPort='5901'/>`, tlsPort: 5901},
		"network":           {element: `<graphics type='spice' port='5900'><listen type='network' network='n' address='10.0.0.7'/></graphics>`, listen: "10.0.0.7", port: 5900},
		"beside VNC":        {element: `<graphics type='vnc' port='5900'/><graphics type='spice' port='5901'/>`, port: 5901},
		"VNC":               {element: `<graphics type='vnc' port='5900'/>`, err: ErrNoSpice},
		"none":              {err: ErrNoSpice},
		"Unix socket":       {element: `<graphics type='spice'><listen type='socket' socket='/s'/></graphics>`, err: ErrNoSpice},
		"no port chosen":    {element: `<graphics type='spice' port='-1' autoport='yes'/>`, err: ErrNoSpice},
		"not a port number": {element: `<graphics type='spice' port='x'/>`, err: ErrNoSpice},
	} {
		t.Run(name, func(t *testing.T) {
			g, err := findGraphics(inDomain(c.element))
			require.ErrorIs(t, err, c.err)
			require.Equal(t, c.listen, g.listen)
			require.Equal(t, c.port, g.port)
			require.Equal(t, c.tlsPort, g.tlsPort)
		})
	}
}

func TestFindGraphicsInNoXML(t *testing.T) {
	for _, description := range []string{"", "no XML", "<domain>", "</domain>", inDomain("<graphics type='spice' port='5900'><listen>"), "<domain"} {
		_, err := findGraphics(description)
		require.Error(t, err, description)
	}
}

func TestWithTicket(t *testing.T) {
	at := time.Date(2026, 11, 21, 23, 59, 59, 999, time.FixedZone("", 3600))
	for name, c := range map[string]struct {
		element, ticket string
		expires         time.Time
		want            string
	}{
		"bare": {`<graphics type='spice' port='5900'/>`, "abc", time.Time{},
			`<graphics type='spice' port='5900' passwd='abc'></graphics>`},
		"expiry in UTC": {`<graphics type="spice" port="5900"></graphics>`, "abc", at,
			`<graphics type='spice' port='5900' passwd='abc' passwdValidTo='2026-11-21T22:59:59'></graphics>`},
		"an old ticket": {`<graphics type='spice' passwd='*' passwdValidTo='2026-01-01T00:00:00' connected='keep' port='5900'/>`, "abc", time.Time{},
			`<graphics type='spice' connected='keep' port='5900' passwd='abc'></graphics>`},
		"all else stays": {"<graphics type='spice' port='5900' keymap='a&amp;b'>\n <listen type='address' address='0.0.0.0'/><x>&lt;</x>\n</graphics>", "abc", time.Time{},
			"<graphics type='spice' port='5900' keymap='a&amp;b' passwd='abc'>\n <listen type='address' address='0.0.0.0'/><x>&lt;</x>\n</graphics>"},
		"escaped": {`<graphics type='spice' port='5900'/>`, `'"<&>`, time.Time{},
			`<graphics type='spice' port='5900' passwd='&#39;&#34;&lt;&amp;&gt;'></graphics>`},
	} {
		t.Run(name, func(t *testing.T) {
			g, err := findGraphics(inDomain(c.element))
			require.NoError(t, err)
			require.Equal(t, c.want, g.withTicket(c.ticket, c.expires))
		})
	}
}

// FuzzFindGraphics: whatever a host sends ends in an element or an error.
func FuzzFindGraphics(f *testing.F) {
	f.Add(inDomain(`<graphics type='spice' port='5900' listen='127.0.0.1'><listen type='address' address='::'/></graphics>`))
	f.Add(inDomain(`<graphics type='spice' port='5900' x:y='1'/>`))
	f.Fuzz(func(t *testing.T, description string) {
		g, err := findGraphics(description)
		if err == nil {
			require.Contains(t, g.withTicket("ticket", time.Time{}), " passwd='ticket'")
			require.NotZero(t, g.port+g.tlsPort)
		}
	})
}
