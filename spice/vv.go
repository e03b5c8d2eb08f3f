package spice

import (
	"bufio"
	"bytes"
	"crypto/x509"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/deskstorm/deskstorm/spice/wire"
)

// maxVV bounds a .vv file, which holds a certificate at most.
const maxVV = 1 << 20

// ReadVV reads a connection file of virt-viewer (.vv): a key file whose group
// [virt-viewer] has type=spice and the keys host, port, tls-port, password, ca,
// host-subject and secure-channels. Other keys say how a window looks and are
// skipped; a proxy is refused, because the connection would not go the file's
// way. Name stands in errors, which give the line and never the ticket.
func ReadVV(r io.Reader, name string) (Config, error) {
	var c Config
	fail := func(line int, format string, args ...any) (Config, error) {
		return Config{}, fmt.Errorf("%s:%d: %s", name, line, fmt.Sprintf(format, args...))
	}
	file, err := io.ReadAll(io.LimitReader(r, maxVV+1))
	if err != nil {
		return Config{}, fmt.Errorf("reading %s: %w", name, err)
	}
	if len(file) > maxVV {
		return Config{}, fmt.Errorf("%s: longer than %d bytes", name, maxVV)
	}
	lines := bufio.NewScanner(bytes.NewReader(file))
	lines.Buffer(nil, maxVV+1)
	group, typ, n := "", "", 0
	for lines.Scan() {
		n++
		line := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\ufeff"))
		switch {
		case line == "" || line[0] == '#':
			continue
		case line[0] == '[':
			if line[len(line)-1] != ']' {
				return fail(n, "a group must end in ]")
			}
			group = line[1 : len(line)-1]
			continue
		case group != "virt-viewer":
			continue
		}
		key, raw, ok := strings.Cut(line, "=")
		if !ok {
			return fail(n, "expected key=value")
		}
		key = strings.TrimSpace(key)
		value, err := unescape(strings.TrimSpace(raw))
		if err == nil {
			err = c.setVV(key, value, &typ)
		}
		if err != nil {
			return fail(n, "%s: %v", key, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fail(n, "%v", err)
	}
	if typ != "spice" {
		return fail(n, "the group [virt-viewer] must have type=spice, not %q", typ)
	}
	if err := c.check(); err != nil {
		return fail(n, "%v", err)
	}
	return c, nil
}

// setVV takes one key's value.
func (c *Config) setVV(key, value string, typ *string) (err error) {
	switch key {
	case "type":
		*typ = value
	case "host":
		c.Host = value
	case "port":
		c.Port, err = port(value)
	case "tls-port":
		c.TLSPort, err = port(value)
	case "password":
		c.Ticket = value
	case "ca":
		c.CA = x509.NewCertPool()
		if !c.CA.AppendCertsFromPEM([]byte(value)) {
			err = fmt.Errorf("no certificate in PEM form")
		}
	case "host-subject":
		if _, err = parseSubject(value); err == nil {
			c.Subject = value
		}
	case "secure-channels":
		for _, name := range strings.FieldsFunc(value, func(r rune) bool { return r == ';' || r == ',' }) {
			t, err := wire.ParseChannelType(strings.TrimSpace(name))
			if err != nil {
				return err
			}
			c.SecureChannels = append(c.SecureChannels, t)
		}
	case "proxy":
		if value != "" {
			err = fmt.Errorf("proxies are not supported")
		}
	}
	return err
}

// port reads a port; -1 and 0 mean that it is not served.
func port(value string) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < -1 || n > 65535 {
		return 0, fmt.Errorf("must be a port from 1 to 65535, or -1 for none")
	}
	return max(n, 0), nil
}

// unescape reads a value as GLib's key files write it: \s \n \t \r and \\.
func unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		if i++; i == len(s) {
			return "", fmt.Errorf("the value ends in a backslash")
		}
		switch s[i] {
		case 's':
			b.WriteByte(' ')
		case 'n':
			b.WriteByte('\n')
		case 't':
			b.WriteByte('\t')
		case 'r':
			b.WriteByte('\r')
		case '\\':
			b.WriteByte('\\')
		default:
			// GLib leaves an unknown escape, such as a subject's "\,", alone.
			b.WriteByte('\\')
			b.WriteByte(s[i])
		}
	}
	return b.String(), nil
}
