package vdi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/broker/client/console"
	"github.com/deskstorm/deskstorm/broker/client/openstack"
	"github.com/deskstorm/deskstorm/cloud"
)

// The ways to a desktop, as the tag `path` has them.
const (
	pathBroker = "broker"
	pathCloud  = "cloud"
)

// way is a way to a desktop as a script names it. It is comparable: thin
// clients with the same way share what may be shared.
type way struct {
	path    string
	url     string        // of a broker
	ca      string        // of a broker, or of a cloud's SPICE servers: a certificate's path or text
	subject string        // of a cloud's SPICE servers' certificates
	libvirt string        // URI of a cloud's compute nodes, with %s for the node's name; empty: Nova tells of consoles
	cloud   string        // of clouds.yaml; empty: the OS_ variables
	domain  string        // of a cloud's users; empty: the service account's
	timeout time.Duration // of a call
}

type dialer func(context.Context, string, string) (net.Conn, error)

// driver returns the way's driver. A broker's is the virtual user's own, with
// connections of its own, as a thin client in an office has them.
func (i *instance) driver(ctx context.Context, w way, dial dialer) (client.Driver, error) {
	if w.path == pathCloud {
		return i.process.clouds.driver(ctx, w)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if d, ok := i.brokers[w]; ok {
		return d, nil
	}
	config := client.BrokerConfig{URL: w.url, DialContext: dial, Timeout: w.timeout}
	if w.ca != "" {
		pool, err := readCA(w.ca)
		if err != nil {
			return nil, &client.Error{Class: client.BadRequest, Message: "broker." + err.Error(), Err: err}
		}
		config.TLS = &tls.Config{RootCAs: pool}
	}
	d := client.NewBroker(config)
	i.brokers[w] = d
	return d, nil
}

// readCA reads a certificate authority: a path, or PEM text.
func readCA(pathOrText string) (*x509.CertPool, error) {
	pem, err := readPEM(pathOrText)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(pem)) {
		return nil, errors.New("ca holds no certificate in PEM form")
	}
	return pool, nil
}

func readPEM(pathOrText string) (string, error) {
	if strings.Contains(pathOrText, "-----BEGIN") {
		return pathOrText, nil
	}
	pem, err := os.ReadFile(pathOrText)
	if err != nil {
		return "", fmt.Errorf("ca: %w", err)
	}
	return string(pem), nil
}

// clouds are the drivers of the old path, one a cloud and process: the service
// account stands for what was patched into Nova, not for a thin client.
type clouds struct {
	making singleflight.Group

	mu   sync.Mutex
	made map[way]client.Driver
}

// driver returns a cloud's driver. Whoever comes first has the service account
// logged in; the others wait for that. A failure is not kept: the next asks
// again.
func (c *clouds) driver(ctx context.Context, w way) (client.Driver, error) {
	c.mu.Lock()
	d, ok := c.made[w]
	c.mu.Unlock()
	if ok {
		return d, nil
	}
	made := c.making.DoChan(fmt.Sprintf("%+v", w), func() (any, error) {
		// Not by the first one's context: if k6 ends its iteration, the others go on.
		ctx, cancel := context.WithTimeout(context.Background(), w.timeout)
		defer cancel()
		d, err := connectCloud(ctx, w)
		if err != nil {
			return nil, err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.made == nil {
			c.made = map[way]client.Driver{}
		}
		c.made[w] = d
		return d, nil
	})
	select {
	case r := <-made:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(client.Driver), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func connectCloud(ctx context.Context, w way) (client.Driver, error) {
	config, err := cloud.Load(w.cloud)
	if err != nil {
		return nil, &client.Error{Class: client.BadRequest, Message: err.Error(), Err: err}
	}
	consoles, err := w.consoles()
	if err != nil {
		return nil, &client.Error{Class: client.BadRequest, Message: "cloud." + err.Error(), Err: err}
	}
	d, err := openstack.New(ctx, openstack.Config{Cloud: config, Domain: w.domain, Consoles: consoles})
	if err != nil {
		return nil, serviceAccountError(err)
	}
	return d, nil
}

// consoles are a cloud's ways to consoles. Libvirt comes first where it is named: Nova knows of no tickets.
func (w way) consoles() (func(*cloud.Cloud) console.Finder, error) {
	var finders []console.Finder
	if w.libvirt != "" {
		libvirt, err := console.NewLibvirt(console.LibvirtConfig{Connect: console.ConnectTo(w.libvirt)})
		if err != nil {
			return nil, fmt.Errorf("libvirt: %w", err)
		}
		finders = append(finders, libvirt)
	}
	pem := w.ca
	if w.ca != "" {
		var err error
		if pem, err = readPEM(w.ca); err != nil {
			return nil, err
		}
	}
	return func(service *cloud.Cloud) console.Finder {
		all := append(finders, console.SpiceDirect(service), console.SpiceHTML5(service))
		return console.Trust(console.First(all...), pem, w.subject)
	}, nil
}

// serviceAccountError classes what went wrong before any user's login. A wrong
// password is not the user's here.
func serviceAccountError(err error) error {
	e := &client.Error{Class: client.CloudFailed, Step: client.StepAuth, Message: err.Error(), Err: err}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		e.Class = client.DirectorySlow
	case errors.Is(err, cloud.ErrUnavailable):
		e.Class = client.DirectoryDown
	}
	if answer, ok := errors.AsType[*cloud.Error](err); ok {
		e.RequestID, e.Message = answer.RequestID, strings.TrimSuffix(e.Message, " (request "+answer.RequestID+")")
	}
	return e
}
