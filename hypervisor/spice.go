package hypervisor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"
)

// maxTicket is one less than SPICE_MAX_PASSWORD_LENGTH of spice-protocol's protocol.h: spice-server 0.15.1 keeps a ticket and
// its NUL in that many bytes, cuts one of 60 characters without a word, and then refuses the client that gives all 60.
const maxTicket = 59

// Spice is where a desktop's SPICE server listens.
type Spice struct {
	// Host is the address it listens on. Where it listens on all, it is the host's name from the URI, or over a Unix
	// socket the name that the host gives itself.
	Host    string
	Port    int // 0: not served in the clear
	TLSPort int // 0: not served over TLS
}

// Spice returns where a running desktop's SPICE server listens, from libvirt's description of it. Errors are
// ErrNoDomain, ErrNotRunning, ErrNoSpice, ErrConnection, or libvirt's own.
func (h *Host) Spice(ctx context.Context, domainUUID string) (Spice, error) {
	var found Spice
	err := h.onDomain(ctx, domainUUID, func(c *connection, domain libvirt.Domain) error {
		g, err := describe(c, domain)
		if err != nil {
			return err
		}
		found = Spice{Host: g.listen, Port: g.port, TLSPort: g.tlsPort}
		if ip := net.ParseIP(g.listen); g.listen == "" || ip != nil && ip.IsUnspecified() {
			found.Host = cmp.Or(h.address.host, c.name)
		}
		return nil
	})
	if err != nil {
		return Spice{}, fmt.Errorf("asking %s for the SPICE server of domain %s: %w", h, domainUUID, err)
	}
	return found, nil
}

// SetTicket makes a running desktop's SPICE server take a new ticket, and no longer the one before; sessions that are
// open stay open. The ticket is of 1 to 59 printable ASCII characters. It expires at the second that expires is cut to,
// by the host's clock; the zero time means never. A time that has passed makes a ticket that is refused.
//
// Errors are ErrNoDomain, ErrNotRunning, ErrNoSpice, ErrNoTicketing, ErrConnection, or libvirt's own. None holds the
// ticket.
func (h *Host) SetTicket(ctx context.Context, domainUUID, ticket string, expires time.Time) error {
	err := checkTicket(ticket)
	if err == nil {
		err = h.onDomain(ctx, domainUUID, func(c *connection, domain libvirt.Domain) error {
			g, err := describe(c, domain)
			if err != nil {
				return err
			}
			update := g.withTicket(ticket, expires)
			err = c.libvirt.DomainUpdateDeviceFlags(domain, update, libvirt.DomainDeviceModifyLive)
			// A server that must not change its ticket under a client fails with the same words.
			if attribute(g.start, "connected") != "fail" && ticketless(err) {
				return ErrNoTicketing
			}
			return withoutTicket(err, ticket)
		})
	}
	if err != nil {
		return fmt.Errorf("setting a ticket on %s for domain %s: %w", h, domainUUID, err)
	}
	return nil
}

// onDomain does something to a running domain, a second time if the connection was lost during the first.
func (h *Host) onDomain(ctx context.Context, domainUUID string, f func(*connection, libvirt.Domain) error) error {
	id, err := uuid.Parse(domainUUID)
	if err != nil {
		return fmt.Errorf("%q is no UUID", domainUUID)
	}
	return typed(h.call(ctx, func(c *connection) error {
		domain, err := c.libvirt.DomainLookupByUUID(libvirt.UUID(id))
		if err != nil {
			return err
		}
		if domain.ID < 0 { // only running domains have one
			return ErrNotRunning
		}
		return f(c, domain)
	}))
}

// describe returns the SPICE element of a domain. It is asked for without secrets: an old ticket is nobody's business.
func describe(c *connection, domain libvirt.Domain) (graphics, error) {
	description, err := c.libvirt.DomainGetXMLDesc(domain, 0)
	if err != nil {
		return graphics{}, err
	}
	return findGraphics(description)
}

func checkTicket(ticket string) error {
	if ticket == "" || len(ticket) > maxTicket {
		return fmt.Errorf("a ticket has 1 to %d characters, this one %d", maxTicket, len(ticket))
	}
	for _, c := range []byte(ticket) {
		if c < ' ' || c > '~' {
			return errors.New("a ticket has printable ASCII characters only")
		}
	}
	return nil
}

// typed returns one of the package's errors for one of libvirt's, where there is one.
func typed(err error) error {
	var of libvirt.Error
	if !errors.As(err, &of) {
		return err
	}
	switch libvirt.ErrorNumber(of.Code) {
	case libvirt.ErrNoDomain:
		return ErrNoDomain
	case libvirt.ErrOperationInvalid:
		// The domain ended between the look for it and the call.
		if strings.Contains(of.Message, "not running") {
			return ErrNotRunning
		}
	}
	return fmt.Errorf("libvirt: %s (error %d)", of.Message, of.Code)
}

// ticketless tells whether QEMU refused to set a ticket. libvirt 9 has no error code of its own for it: it answers internal
// error, "unable to execute QEMU command 'set_password': Could not set password", of which QEMU's part is not translated.
func ticketless(err error) bool {
	var of libvirt.Error
	return errors.As(err, &of) && strings.Contains(of.Message, "'set_password'")
}

// withoutTicket returns libvirt's error for an update. One about the XML quotes it on further lines, so only the first
// line is kept.
func withoutTicket(err error, ticket string) error {
	var of libvirt.Error
	if !errors.As(err, &of) {
		return err
	}
	line, _, _ := strings.Cut(of.Message, "\n")
	of.Message = strings.ReplaceAll(line, ticket, "(ticket)")
	return of
}
