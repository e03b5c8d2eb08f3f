package cloud

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/remoteconsoles"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
)

// directMicroversion brought spice-direct, and tls_port in what a console's token stands for (Nova 2025.1).
const directMicroversion = "2.99"

// ConsoleAddress is where a server's SPICE server listens, as its compute host sees it. Nova knows of no ticket.
type ConsoleAddress struct {
	Host     string
	Port     int // 0: not in the clear
	TLSPort  int // 0: not over TLS, or a Nova before 2.99, which does not say
	ServerID string
}

// SpiceDirect asks for the console that Nova offers to native SPICE clients. ErrNotOffered: the cloud is older than 2025.1, or
// does not have them enabled. Two requests; the second is for administrators and services by Nova's default policy.
func (c *Cloud) SpiceDirect(ctx context.Context, id string) (ConsoleAddress, error) {
	if c.compute.Microversion != directMicroversion {
		return ConsoleAddress{}, &Error{
			Op: "asking for the spice-direct console of server", Resource: id, Err: ErrNotOffered,
			Message: "it needs microversion " + directMicroversion + ", and this cloud speaks " + c.compute.Microversion,
		}
	}
	return c.console(ctx, id, "spice-direct")
}

// SpiceHTML5 asks for the console that Nova offers to browsers through a proxy, and resolves its token as the proxy would:
// what the proxy connects to is the SPICE server. ErrNotOffered: the cloud has no SPICE consoles. Two requests; the second is
// for administrators and services by Nova's default policy.
func (c *Cloud) SpiceHTML5(ctx context.Context, id string) (ConsoleAddress, error) {
	return c.console(ctx, id, remoteconsoles.ConsoleTypeSPICEHTML5)
}

func (c *Cloud) console(ctx context.Context, id string, kind remoteconsoles.ConsoleType) (ConsoleAddress, error) {
	var token string
	err := c.call(ctx, "asking for the "+string(kind)+" console of server", id, func(ctx context.Context) error {
		server, err := segment("the server's ID", id)
		if err != nil {
			return err
		}
		console, err := remoteconsoles.Create(ctx, c.compute, server, remoteconsoles.CreateOpts{
			Protocol: remoteconsoles.ConsoleProtocolSPICE,
			Type:     kind,
		}).Extract()
		if err != nil {
			return c.notRunning(ctx, server, notOffered(err, kind))
		}
		if console == nil {
			return errors.New("the cloud's answer holds no console")
		}
		token, err = consoleToken(console.URL)
		return err
	})
	if err != nil {
		return ConsoleAddress{}, err
	}
	var answer struct {
		Console struct {
			Host     string `json:"host"`
			Port     port   `json:"port"`
			TLSPort  port   `json:"tls_port"`
			ServerID string `json:"instance_uuid"`
		} `json:"console"`
	}
	err = c.call(ctx, "resolving the "+string(kind)+" console of server", id, func(ctx context.Context) error {
		address := c.compute.ServiceURL("os-console-auth-tokens", url.PathEscape(token))
		if _, err := c.compute.Get(ctx, address, &answer, nil); err != nil {
			return err
		}
		switch at := answer.Console; {
		case at.Host == "" || at.Port == 0 && at.TLSPort == 0:
			return errors.New("the cloud does not say where the console listens")
		case at.ServerID != "" && at.ServerID != id:
			return errors.New("the cloud names the console of another server")
		}
		return nil
	}, token)
	if err != nil {
		return ConsoleAddress{}, err
	}
	at := answer.Console
	return ConsoleAddress{Host: at.Host, Port: int(at.Port), TLSPort: int(at.TLSPort), ServerID: id}, nil
}

// notOffered tells a console that a cloud does not have from other bad requests: Nova answers 400 "Unavailable console type
// spice-direct" when it is disabled, and when the hypervisor has another kind.
func notOffered(err error, kind remoteconsoles.ConsoleType) error {
	var answer gophercloud.ErrUnexpectedResponseCode
	if errors.As(err, &answer) && answer.Actual == http.StatusBadRequest &&
		bytes.Contains(bytes.ToLower(answer.Body), []byte("console type")) {
		return fmt.Errorf("%w: %s consoles are not enabled in its Nova, or not for this hypervisor", ErrNotOffered, kind)
	}
	return err
}

// notRunning tells a server that does not run from a broken Nova: libvirt has no port of such a guest, which Nova answers with 500
// (ValueError, seen in Zed).
func (c *Cloud) notRunning(ctx context.Context, id string, err error) error {
	if !gophercloud.ResponseCodeIs(err, http.StatusInternalServerError) {
		return err
	}
	server, unknown := servers.Get(ctx, c.compute, id).Extract()
	if unknown != nil || server.Status == "ACTIVE" {
		return err
	}
	return fmt.Errorf("%w: it is %s, and has no console", ErrConflict, server.Status)
}

// consoleToken finds the token in a console's address: ?token=... or, as newer proxies want it, inside of ?path=%3Ftoken%3D...
// Its errors do not repeat the address.
func consoleToken(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", errors.New("the console's address is not one")
	}
	query := u.Query()
	if token := query.Get("token"); token != "" {
		return token, nil
	}
	if inner, err := url.Parse(query.Get("path")); err == nil {
		if token := inner.Query().Get("token"); token != "" {
			return token, nil
		}
	}
	return "", errors.New("the console's address holds no token")
}

// port is a number, or the same as a string, or null, as Nova's releases and databases have it.
type port int

// UnmarshalJSON refuses what is no port.
func (p *port) UnmarshalJSON(text []byte) error {
	s := strings.Trim(string(text), `"`)
	if s == "null" || s == "" {
		*p = 0
		return nil
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return errors.New("the console's port is not one")
	}
	*p = port(n)
	return nil
}
