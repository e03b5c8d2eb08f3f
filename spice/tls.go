package spice

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
)

// startTLS wraps conn and verifies the server: its chain against the CA, and
// then either its name or, as thin clients are told in .vv files, its subject.
func startTLS(ctx context.Context, conn net.Conn, c *Config) (net.Conn, error) {
	conf := &tls.Config{
		ServerName: c.Host,
		RootCAs:    c.CA,
		// spice-server offers no more than what its OpenSSL does; 1.2 is the
		// oldest that Debian 12's accepts.
		MinVersion: tls.VersionTLS12,
	}
	if c.Subject != "" {
		want, err := parseSubject(c.Subject)
		if err != nil {
			return nil, err
		}
		// Go ties the chain's verification to the name's; with a pinned
		// subject the name does not count, so both are done here.
		conf.InsecureSkipVerify = true
		conf.VerifyConnection = func(s tls.ConnectionState) error { return verifySubject(s, c.CA, want) }
	}
	t := tls.Client(conn, conf)
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return t, nil
}

func verifySubject(s tls.ConnectionState, ca *x509.CertPool, want []attribute) error {
	leaf := s.PeerCertificates[0]
	between := x509.NewCertPool()
	for _, c := range s.PeerCertificates[1:] {
		between.AddCert(c)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: ca, Intermediates: between}); err != nil {
		return err
	}
	var got []attribute
	for _, n := range leaf.Subject.Names {
		name, ok := attributeNames[n.Type.String()]
		if !ok {
			name = n.Type.String()
		}
		got = append(got, attribute{name, fmt.Sprint(n.Value)})
	}
	if len(got) != len(want) {
		return fmt.Errorf("the certificate's subject is %s, not %s", subjectText(got), subjectText(want))
	}
	for i := range got {
		if got[i] != want[i] {
			return fmt.Errorf("the certificate's subject is %s, not %s", subjectText(got), subjectText(want))
		}
	}
	return nil
}

// attribute is one part of a subject, such as CN=node7.
type attribute struct{ name, value string }

// attributeNames are the short names of RFC 4514, section 3, and of OpenSSL
// for emailAddress.
var attributeNames = map[string]string{
	"2.5.4.3": "CN", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.6": "C",
	"2.5.4.9": "STREET", "0.9.2342.19200300.100.1.25": "DC", "0.9.2342.19200300.100.1.1": "UID",
	"1.2.840.113549.1.9.1": "emailAddress",
}

// parseSubject reads "O=Example,CN=node7"; a backslash makes the next character
// part of the value, as virt-viewer does.
func parseSubject(s string) ([]attribute, error) {
	var attrs []attribute
	var part strings.Builder
	flush := func() error {
		name, value, ok := strings.Cut(strings.TrimSpace(part.String()), "=")
		if !ok || name == "" {
			return fmt.Errorf("the pinned subject %q must be of a form such as O=Example,CN=node7", s)
		}
		attrs = append(attrs, attribute{canonicalName(strings.TrimSpace(name)), strings.TrimSpace(value)})
		part.Reset()
		return nil
	}
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			part.WriteByte(s[i])
		case s[i] == '\\':
			return nil, errors.New("the pinned subject ends in a backslash")
		case s[i] == ',':
			if err := flush(); err != nil {
				return nil, err
			}
		default:
			part.WriteByte(s[i])
		}
	}
	if err := flush(); err != nil {
		return nil, err
	}
	return attrs, nil
}

func canonicalName(name string) string {
	for oid, short := range attributeNames {
		if strings.EqualFold(name, short) || name == oid {
			return short
		}
	}
	return name
}

func subjectText(attrs []attribute) string {
	parts := make([]string, len(attrs))
	for i, a := range attrs {
		parts[i] = a.name + "=" + a.value
	}
	return fmt.Sprintf("%q", strings.Join(parts, ","))
}
