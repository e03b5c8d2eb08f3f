package vdi

import (
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/grafana/sobek"
	"go.k6.io/k6/v2/js/common"
	"go.k6.io/k6/v2/lib/types"

	"github.com/deskstorm/deskstorm/spice"
	"github.com/deskstorm/deskstorm/spice/wire"
)

// defaultTimeout bounds a connect, from the first packet to the first picture.
const defaultTimeout = 30 * time.Second

// connectOptions are connect's argument.
type connectOptions struct {
	config  spice.Config
	file    string // a .vv file's path or text
	ca      string // a certificate's path or text
	timeout time.Duration
	site    string
}

// fields reads an object's fields strictly: what is not asked for is an error.
type fields struct {
	values map[string]any
	err    error
}

func fieldsOf(rt *sobek.Runtime, v sobek.Value) fields {
	f := fields{values: map[string]any{}}
	if common.IsNullish(v) {
		return f
	}
	obj := v.ToObject(rt)
	for _, key := range obj.Keys() {
		if value := obj.Get(key); !common.IsNullish(value) {
			f.values[key] = value.Export()
		}
	}
	return f
}

func (f *fields) take(name string) (any, bool) {
	v, ok := f.values[name]
	delete(f.values, name)
	return v, ok
}

func (f *fields) fail(name, format string, args ...any) {
	if f.err == nil {
		f.err = fmt.Errorf("%s %s", name, fmt.Sprintf(format, args...))
	}
}

func (f *fields) text(name string, to *string) {
	if v, ok := f.take(name); ok {
		if s, isText := v.(string); isText {
			*to = s
		} else {
			f.fail(name, "must be a string")
		}
	}
}

func (f *fields) port(name string, to *int) {
	v, ok := f.take(name)
	if !ok {
		return
	}
	n, whole := number(v)
	if !whole || n < 1 || n > 65535 {
		f.fail(name, "must be a port from 1 to 65535")
		return
	}
	*to = int(n)
}

func (f *fields) duration(name string, to *time.Duration) {
	v, ok := f.take(name)
	if !ok {
		return
	}
	d, err := types.GetDurationValue(v)
	if err != nil || d <= 0 {
		f.fail(name, "must be a duration above 0, such as '30s', or milliseconds")
		return
	}
	*to = d
}

// end returns the first error, or the fields that nobody asked for.
func (f *fields) end() error {
	if f.err == nil && len(f.values) > 0 {
		names := make([]string, 0, len(f.values))
		for name := range f.values {
			names = append(names, name)
		}
		sort.Strings(names)
		return fmt.Errorf("unknown option %s", strings.Join(names, ", "))
	}
	return f.err
}

// number is a JavaScript number's value and whether it is a whole one.
func number(v any) (float64, bool) {
	switch n := v.(type) {
	case int64:
		return float64(n), true
	case float64:
		return n, n == math.Trunc(n)
	}
	return 0, false
}

// parseConnect reads connect's argument.
func parseConnect(rt *sobek.Runtime, v sobek.Value) (connectOptions, error) {
	o := connectOptions{timeout: defaultTimeout}
	f := fieldsOf(rt, v)
	f.text("host", &o.config.Host)
	f.port("port", &o.config.Port)
	f.port("tlsPort", &o.config.TLSPort)
	f.text("ticket", &o.config.Ticket)
	f.text("ca", &o.ca)
	f.text("subject", &o.config.Subject)
	f.text("file", &o.file)
	f.text("site", &o.site)
	f.duration("timeout", &o.timeout)
	f.duration("deadline", &o.config.Deadline)
	f.channels("secureChannels", &o.config.SecureChannels)
	if err := f.end(); err != nil {
		return o, err
	}
	if o.file == "" && o.config.Host == "" {
		return o, errors.New("needs host and port or tlsPort, or file")
	}
	c := &o.config
	if o.file != "" && (c.Host != "" || c.Port != 0 || c.TLSPort != 0 || c.Subject != "" || c.SecureChannels != nil) {
		return o, errors.New("takes either file, or host, port, tlsPort, subject and secureChannels; with file only ticket, ca, site, timeout and deadline")
	}
	return o, nil
}

func (f *fields) channels(name string, to *[]wire.ChannelType) {
	v, ok := f.take(name)
	if !ok {
		return
	}
	names, isList := v.([]any)
	if !isList {
		f.fail(name, "must be a list of channel names")
		return
	}
	for _, n := range names {
		t, err := wire.ParseChannelType(fmt.Sprint(n))
		if err != nil {
			f.fail(name, "%v", err)
			return
		}
		*to = append(*to, t)
	}
}

// readFiles reads what the options name, beside the event loop. A .vv file may
// be a path or, from k6's open(), its text; a certificate likewise.
func (o *connectOptions) readFiles() error {
	if o.file != "" {
		if err := o.readVV(); err != nil {
			return err
		}
	}
	if o.ca == "" {
		return nil
	}
	pem := []byte(o.ca)
	if !strings.Contains(o.ca, "-----BEGIN") {
		var err error
		if pem, err = os.ReadFile(o.ca); err != nil {
			return fmt.Errorf("ca: %w", err)
		}
	}
	o.config.CA = x509.NewCertPool()
	if !o.config.CA.AppendCertsFromPEM(pem) {
		return errors.New("ca holds no certificate in PEM form")
	}
	return nil
}

// readVV takes the file's desktop; a ticket that was given as well is newer.
func (o *connectOptions) readVV() error {
	name, text := ".vv text", o.file
	if !strings.Contains(o.file, "[virt-viewer]") {
		b, err := os.ReadFile(o.file)
		if err != nil {
			return fmt.Errorf("file: %w", err)
		}
		name, text = o.file, string(b)
	}
	c, err := spice.ReadVV(strings.NewReader(text), name)
	if err != nil {
		return err
	}
	if o.config.Ticket != "" {
		c.Ticket = o.config.Ticket
	}
	c.Deadline, c.DialContext = o.config.Deadline, o.config.DialContext
	o.config = c
	return nil
}
