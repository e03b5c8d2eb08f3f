package vdi

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/grafana/sobek"

	"github.com/deskstorm/deskstorm/spice"
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
	var err error
	o.config.CA, err = readCA(o.ca)
	return err
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
