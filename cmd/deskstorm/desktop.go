package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"github.com/deskstorm/deskstorm/spice"
)

// ticketVariable holds a desktop's ticket: a command line is no place for one.
const ticketVariable = "DESKSTORM_TICKET"

// desktopFlags name a desktop on the command line.
type desktopFlags struct {
	host          string
	port, tlsPort uint16
	ca, subject   string
	file          string
}

func (f *desktopFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.host, "host", "", "host of a desktop's SPICE server")
	flags.Uint16Var(&f.port, "port", 0, "its port without TLS")
	flags.Uint16Var(&f.tlsPort, "tls-port", 0, "its port with TLS")
	flags.StringVar(&f.ca, "ca", "", "file with the certificate authority (PEM); the system's by default")
	flags.StringVar(&f.subject, "subject", "", "the certificate's subject, such as O=Example,CN=node7, instead of the host's name")
	flags.StringVar(&f.file, "file", "", "virt-viewer file (.vv) that names all of this")
}

// config is the desktop, nil if none was named.
func (f *desktopFlags) config() (*spice.Config, error) {
	if f.file != "" {
		if f.host != "" || f.port != 0 || f.tlsPort != 0 || f.ca != "" || f.subject != "" {
			return nil, errors.New("give either --file or --host, --port, --tls-port, --ca and --subject")
		}
		file, err := os.Open(f.file)
		if err != nil {
			return nil, fmt.Errorf("--file: %w", err)
		}
		defer file.Close()
		c, err := spice.ReadVV(file, f.file)
		if ticket := os.Getenv(ticketVariable); ticket != "" {
			c.Ticket = ticket // newer than the file's
		}
		return &c, err
	}
	if (f.port != 0 || f.tlsPort != 0) != (f.host != "") {
		return nil, errors.New("give --host together with --port or --tls-port")
	}
	if f.host == "" {
		return nil, nil
	}
	c := &spice.Config{Host: f.host, Port: int(f.port), TLSPort: int(f.tlsPort), Ticket: os.Getenv(ticketVariable), Subject: f.subject}
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, fmt.Errorf("--ca: %w", err)
		}
		if c.CA = x509.NewCertPool(); !c.CA.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--ca: %s holds no certificate in PEM form", f.ca)
		}
	}
	return c, nil
}
