package spice

import (
	"bufio"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	"github.com/deskstorm/deskstorm/spice/wire"
)

// authority is a certificate authority as PEM.
func authority(t testing.TB) string {
	files, pem := qemutest.TLSFiles(t)
	_, err := os.Stat(filepath.Join(files.Dir, "ca-cert.pem"))
	require.NoError(t, err)
	return string(pem)
}

func TestReadVV(t *testing.T) {
	t.Parallel()
	ca := authority(t)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM([]byte(ca)))
	escaped := strings.ReplaceAll(ca, "\n", `\n`)
	for name, x := range map[string]struct {
		file string
		want Config
	}{
		"least":      {"[virt-viewer]\ntype=spice\nhost=h\nport=5900\n", Config{Host: "h", Port: 5900}},
		"no newline": {"[virt-viewer]\ntype=spice\nhost=h\nport=5900", Config{Host: "h", Port: 5900}},
		"as oVirt writes it": {
			"[virt-viewer]\ntype=spice\nhost=10.0.0.7\nport=-1\npassword=k3Qx/9+=\n# Password is valid for 120 seconds.\ndelete-this-file=1\n" +
				"fullscreen=0\ntitle=desk-7:%d\ntoggle-fullscreen=shift+f11\nrelease-cursor=shift+f12\ntls-port=5901\nenable-smartcard=0\n" +
				"enable-usb-autoshare=1\nusb-filter=-1,-1,-1,-1,0\ntls-ciphers=DEFAULT\nhost-subject=O=Example Ltd,CN=node7.example.com\nca=" + escaped +
				"\nsecure-channels=main;inputs;cursor;playback;record;display;smartcard;usbredir\n\n[ovirt]\nhost=engine.example.com:443\njsessionid=none\nca=" + escaped + "\n",
			Config{Host: "10.0.0.7", TLSPort: 5901, Ticket: "k3Qx/9+=", Subject: "O=Example Ltd,CN=node7.example.com", CA: pool,
				SecureChannels: []wire.ChannelType{wire.Main, wire.Inputs, wire.Cursor, wire.Playback, wire.Record, wire.Display, 8, wire.USBRedir}}},
		"both ports": {"[virt-viewer]\ntype=spice\nhost=h\nport=5900\ntls-port=5901\nsecure-channels=main;\n",
			Config{Host: "h", Port: 5900, TLSPort: 5901, SecureChannels: []wire.ChannelType{wire.Main}}},
		"BOM, CRLF and blanks": {"\ufeff[virt-viewer]\r\n type = spice \r\nhost = h\r\n\r\nport=5900\r\npassword= a b \r\n", Config{Host: "h", Port: 5900, Ticket: "a b"}},
		"escapes":              {"[virt-viewer]\ntype=spice\nhost=h\nport=1\npassword=\\sa\\\\b\\tc\nhost-subject=O=A\\, B,CN=c\n", Config{Host: "h", Port: 1, Ticket: " a\\b\tc", Subject: `O=A\, B,CN=c`}},
		"other groups":         {"[other]\nport=nonsense\nno key\n[virt-viewer]\ntype=spice\nhost=h\nport=1\n[other]\nport=x\n", Config{Host: "h", Port: 1}},
		"no proxy":             {"[virt-viewer]\ntype=spice\nhost=h\nport=1\nproxy=\n", Config{Host: "h", Port: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ReadVV(strings.NewReader(x.file), "desk.vv")
			require.NoError(t, err)
			require.Equal(t, x.want.CA == nil, got.CA == nil)
			if got.CA != nil {
				require.True(t, x.want.CA.Equal(got.CA))
			}
			got.CA, x.want.CA = nil, nil
			require.Equal(t, x.want, got)
		})
	}
}

func TestBadVV(t *testing.T) {
	t.Parallel()
	const head = "[virt-viewer]\ntype=spice\npassword=S3CRET\n"
	for name, x := range map[string]struct{ file, want string }{
		"empty":              {"", "desk.vv:0: the group [virt-viewer] must have type=spice"},
		"another group":      {"[ovirt]\ntype=spice\n", "desk.vv:2: the group [virt-viewer] must have type=spice"},
		"another type":       {"[virt-viewer]\ntype=vnc\n", `desk.vv:2: the group [virt-viewer] must have type=spice, not "vnc"`},
		"open group":         {"[virt-viewer\n", "desk.vv:1: a group must end in ]"},
		"half a group":       {"\n[\n", "desk.vv:2: a group must end in ]"},
		"no value":           {head + "S3CRET\n", "desk.vv:4: expected key=value"},
		"port":               {head + "port=http\n", "desk.vv:4: port: must be a port from 1 to 65535"},
		"port too high":      {head + "\n\ntls-port=65536\n", "desk.vv:6: tls-port: must be a port"},
		"port too low":       {head + "port=-2\n", "desk.vv:4: port: must be a port"},
		"no host":            {head + "port=1\n", "desk.vv:4: no host"},
		"no port":            {head + "host=h\nport=-1\n", "desk.vv:5: neither a port nor a TLS port"},
		"CA":                 {head + "ca=S3CRET\n", "desk.vv:4: ca: no certificate"},
		"subject":            {head + "host-subject=node7\n", `desk.vv:4: host-subject: the pinned subject "node7"`},
		"channel":            {head + "secure-channels=main;sound\n", `desk.vv:4: secure-channels: no SPICE channel is called "sound"`},
		"no TLS port for it": {head + "host=h\nport=1\nsecure-channels=main\n", "desk.vv:6: channels must be secure, but there is no TLS port"},
		"proxy":              {head + "proxy=http://S3CRET@proxy:3128\n", "desk.vv:4: proxy: proxies are not supported"},
		"backslash":          {"[virt-viewer]\npassword=S3CRET\\\n", "desk.vv:2: password: the value ends in a backslash"},
		"long password":      {"[virt-viewer]\ntype=spice\nhost=h\nport=1\npassword=S3CRET" + strings.Repeat("x", 60) + "\n", "desk.vv:5: the ticket has 66 bytes, SPICE allows 60"},
		"long line":          {head + "x=" + strings.Repeat("S3CRET", 1<<18), "desk.vv: longer than 1048576 bytes"},
		"long file":          {head + "host=h\nport=1\n" + strings.Repeat("#\n", 1<<19), "desk.vv: longer than 1048576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := ReadVV(strings.NewReader(x.file), "desk.vv")
			require.ErrorContains(t, err, x.want)
			require.NotContains(t, err.Error(), "S3CRET")
			require.Equal(t, Config{}, c)
		})
	}
}

func FuzzVV(f *testing.F) {
	f.Add("[virt-viewer]\ntype=spice\nhost=h\nport=5900\npassword=x\n")
	f.Add("\ufeff[virt-viewer]\r\ntype=spice\r\nhost=h\r\ntls-port=1\r\nsecure-channels=main;inputs\r\nhost-subject=O=a\\, b,CN=c\r\n")
	f.Add("[virt-viewer]\ntype=spice\nca=" + strings.ReplaceAll(authority(f), "\n", `\n`) + "\nproxy=\n")
	f.Fuzz(func(t *testing.T, file string) {
		c, err := ReadVV(strings.NewReader(file), "desk.vv")
		if err != nil {
			require.Contains(t, err.Error(), "desk.vv:")
			require.NotErrorIs(t, err, bufio.ErrTooLong)
			return
		}
		require.NoError(t, c.check())
	})
}

func TestParseSubject(t *testing.T) {
	t.Parallel()
	for s, want := range map[string][]attribute{
		"CN=node7":                     {{"CN", "node7"}},
		"O=Example, CN=node7":          {{"O", "Example"}, {"CN", "node7"}},
		`O=Example\, Ltd.,CN=a\\b`:     {{"O", "Example, Ltd."}, {"CN", `a\b`}},
		"c = DE , o= x,cn=y=z":         {{"C", "DE"}, {"O", "x"}, {"CN", "y=z"}},
		"emailaddress=a@b,DC=x":        {{"emailAddress", "a@b"}, {"DC", "x"}},
		"2.5.4.11=unit,1.2.3=whatever": {{"OU", "unit"}, {"1.2.3", "whatever"}},
		"CN=":                          {{"CN", ""}},
	} {
		got, err := parseSubject(s)
		require.NoError(t, err, s)
		require.Equal(t, want, got, s)
	}
	for s, want := range map[string]string{
		"": "form", "node7": "form", "CN=a,": "form", ",CN=a": "form",
		"=a": "form", `CN=a\`: "ends in a backslash",
	} {
		_, err := parseSubject(s)
		require.ErrorContains(t, err, want, s)
	}
}

func FuzzSubject(f *testing.F) {
	f.Add("O=Example,CN=node7")
	f.Add(`C=DE,O=Example\, Ltd.,CN=a\\b`)
	f.Add(`CN=a\`)
	f.Fuzz(func(t *testing.T, s string) {
		attrs, err := parseSubject(s)
		if err != nil {
			return
		}
		require.NotEmpty(t, attrs)
		for _, a := range attrs {
			require.NotEmpty(t, a.name)
		}
	})
}
