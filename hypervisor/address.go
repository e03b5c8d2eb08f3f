package hypervisor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
)

// Where libvirtd listens unless told otherwise (libvirt.org/uri.html, /etc/services).
const (
	defaultSocket  = "/run/libvirt/libvirt-sock"
	defaultTCPPort = "16509"
	defaultTLSPort = "16514"
)

// address is a libvirt URI, taken apart.
type address struct {
	uri     string
	network string // tcp or unix
	target  string // what to dial
	host    string // as the URI has it; empty for unix
	driver  string // what libvirtd is asked to open: a URI without transport
	tls     *certificates
}

// certificates are the files of a TLS client.
type certificates struct{ authority, certificate, key string }

func (a address) String() string { return a.uri }

func parse(uri string) (address, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return address{}, err // quotes the URI
	}
	a := address{uri: u.Redacted(), host: u.Hostname(), driver: "qemu://" + u.Path}
	known := ""
	switch {
	case u.User != nil:
		return address{}, fmt.Errorf("%s: users and passwords are not supported", a.uri)
	case u.Path != "/system" && u.Path != "/session":
		return address{}, fmt.Errorf("%s: the path must be /system or /session", a.uri)
	case u.Scheme == "qemu+unix" || u.Scheme == "qemu" && u.Host == "":
		if u.Host != "" {
			return address{}, fmt.Errorf("%s: a Unix socket has no host: write qemu+unix:///", a.uri)
		}
		a.network, a.target, known = "unix", defaultSocket, "socket"
		if socket := u.Query().Get("socket"); socket != "" {
			a.target = socket
		} else if u.Path == "/session" {
			return address{}, fmt.Errorf("%s: name the session daemon's socket: ?socket=PATH", a.uri)
		}
	case u.Scheme == "qemu+tcp":
		a.network, a.target = "tcp", hostPort(u, defaultTCPPort)
	case u.Scheme == "qemu+tls" || u.Scheme == "qemu":
		a.network, a.target, known = "tcp", hostPort(u, defaultTLSPort), "pkipath"
		a.tls = certificatesIn(u.Query().Get("pkipath"))
	default:
		return address{}, fmt.Errorf("%s: it must begin with qemu+unix, qemu+tcp or qemu+tls", a.uri)
	}
	if a.network == "tcp" && a.host == "" {
		return address{}, fmt.Errorf("%s: it names no host", a.uri)
	}
	for parameter := range u.Query() {
		if parameter != known {
			return address{}, fmt.Errorf("%s: the parameter %q is not supported", a.uri, parameter)
		}
	}
	return a, nil
}

func hostPort(u *url.URL, port string) string {
	if u.Port() != "" {
		port = u.Port()
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func certificatesIn(dir string) *certificates {
	if dir == "" {
		return &certificates{
			authority:   "/etc/pki/CA/cacert.pem",
			certificate: "/etc/pki/libvirt/clientcert.pem",
			key:         "/etc/pki/libvirt/private/clientkey.pem",
		}
	}
	return &certificates{
		authority:   filepath.Join(dir, "cacert.pem"),
		certificate: filepath.Join(dir, "clientcert.pem"),
		key:         filepath.Join(dir, "clientkey.pem"),
	}
}

func (a address) dial(ctx context.Context) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, a.network, a.target)
	if err != nil || a.tls == nil {
		return conn, err
	}
	secured, err := a.secure(ctx, conn)
	if err != nil {
		conn.Close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("securing the connection to %s: %w", a.target, err)
	}
	return secured, nil
}

func (a address) secure(ctx context.Context, conn net.Conn) (net.Conn, error) {
	config, err := a.tls.load()
	if err != nil {
		return nil, err
	}
	config.ServerName = a.host
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	// libvirtd sends one byte first, 1, when it has found the client's certificate good; else it just closes
	// (virnettlscontext.c, virnetserverclient.c).
	var verdict [1]byte
	if _, err := io.ReadFull(secured, verdict[:]); err != nil {
		return nil, fmt.Errorf("libvirtd's verdict on the client's certificate %s: %w", a.tls.certificate, err)
	}
	if verdict[0] != 1 {
		return nil, fmt.Errorf("libvirtd refuses the client's certificate %s", a.tls.certificate)
	}
	return secured, nil
}

func (c *certificates) load() (*tls.Config, error) {
	authority, err := os.ReadFile(c.authority)
	if err != nil {
		return nil, fmt.Errorf("reading the authority's certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", c.authority)
	}
	own, err := tls.LoadX509KeyPair(c.certificate, c.key)
	if err != nil {
		return nil, fmt.Errorf("reading the client's certificate: %w", err)
	}
	return &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS12}, nil
}
