// Package directory checks people's passwords against an LDAP directory, and tells which organizational units and groups
// they are in: what the broker's Allocators decide on.
//
// A login is a search for the user by a service account, a bind as the user, and a search for the user's groups; more
// searches where groups are in groups. Searches and binds have connections of their own, because a connection speaks for
// who bound it last.
package directory

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// Directory is an LDAP directory. Its methods may be called by many goroutines at once.
type Directory struct {
	config   Config
	tls      *tls.Config
	servers  *servers
	searches *pool // bound as the service account, always
	binds    *pool // bound as whoever logged in last
	ancestry *ancestry

	open      context.Context // ends with Close
	closeOnce sync.Once
	close     context.CancelCauseFunc
}

var errClosed = fmt.Errorf("%w: the broker closed its connections", ErrDown)

// New returns a directory after checking its configuration. It connects to nothing: Check does.
func New(config Config) (*Directory, error) {
	config = config.withDefaults()
	if err := config.check(); err != nil {
		return nil, fmt.Errorf("configuring the directory: %w", err)
	}
	roots, err := config.roots()
	if err != nil {
		return nil, fmt.Errorf("configuring the directory: %w", err)
	}
	d := &Directory{
		config:   config,
		tls:      &tls.Config{RootCAs: roots},
		servers:  &servers{},
		ancestry: newAncestry(config.GroupTTL, time.Now),
	}
	for _, u := range config.URLs {
		s, err := parseServer(u)
		if err != nil {
			return nil, fmt.Errorf("configuring the directory: %w", err)
		}
		d.servers.all = append(d.servers.all, s)
	}
	d.searches = newPool(config.MaxConns, func(ctx context.Context) (*conn, error) { return d.connect(ctx, true) }, d.servers)
	d.binds = newPool(config.MaxConns, func(ctx context.Context) (*conn, error) { return d.connect(ctx, false) }, d.servers)
	d.open, d.close = context.WithCancelCause(context.Background())
	return d, nil
}

// Close ends all logins under way and closes all connections.
func (d *Directory) Close() {
	d.closeOnce.Do(func() {
		d.close(errClosed)
		d.searches.close()
		d.binds.close()
	})
}

// Check tells whether the directory can be used: a server answers, lets the service account in and shows it the bases of
// users and groups.
func (d *Directory) Check(ctx context.Context) error {
	for _, base := range []string{d.config.UserBase, d.config.GroupBase} {
		if base == "" {
			continue
		}
		request := d.searchRequest(base, ldap.ScopeBaseObject, "(objectClass=*)", "1.1")
		err := d.run(ctx, d.searches, func(c *ldap.Conn) error {
			_, err := c.Search(request)
			return err
		})
		if err != nil {
			return fmt.Errorf("checking the directory: looking at %s: %w", base, err)
		}
	}
	return nil
}

// searchRequest returns a search that the directory itself ends when nobody waits for it any more. The attribute "1.1"
// stands for none (RFC 4511 section 4.5.1.8).
func (d *Directory) searchRequest(base string, scope int, filter string, attributes ...string) *ldap.SearchRequest {
	seconds := int((d.config.Timeout + time.Second - 1) / time.Second)
	return ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, 0, seconds, false, filter, attributes, nil)
}

// run runs one operation on a connection of the pool, within the time an operation may take. The operation runs twice
// where the first connection had been closed while it was idle, or where its server said that it is unavailable and there
// is another one.
func (d *Directory) run(ctx context.Context, p *pool, operation func(*ldap.Conn) error) error {
	bounded, cancel := d.bound(ctx)
	defer cancel()
	if err := p.acquire(bounded); err != nil {
		return err
	}
	defer p.release()
	for attempt := 1; ; attempt++ {
		c, err := p.take(bounded)
		if err != nil {
			return err
		}
		used := c.used
		err = c.do(bounded, operation)
		_, answered := resultCode(err)
		done := err == nil || answered && !unavailable(err)
		if done && bounded.Err() == nil {
			p.give(c)
			return explain(err)
		}
		c.abort()
		switch {
		case done: // the answer came just before the end
			return explain(err)
		case bounded.Err() != nil:
			if ctx.Err() == nil { // it is the server that took too long, not the caller who waits no longer
				d.servers.failed(c, true)
			}
			return ended(bounded)
		}
		d.servers.failed(c, answered)
		again := used
		if answered {
			again = len(d.servers.all) > 1
		}
		if attempt > 1 || !again {
			return explain(err)
		}
	}
}

// explain gives an error of an operation its class.
func explain(err error) error {
	code, answered := resultCode(err)
	switch {
	case err == nil:
		return nil
	case !answered:
		return fmt.Errorf("%w: the connection broke: %w", ErrDown, err)
	case unavailable(err):
		return fmt.Errorf("%w: %w", ErrDown, err)
	case code == ldap.LDAPResultTimeLimitExceeded:
		return fmt.Errorf("%w: %w", ErrSlow, err)
	case code == ldap.LDAPResultNoSuchObject:
		return fmt.Errorf("it does not exist, or the service account may not see it: %w", err)
	case code == ldap.LDAPResultInsufficientAccessRights:
		return fmt.Errorf("the service account may not search here: %w", err)
	case code == ldap.LDAPResultConfidentialityRequired, code == ldap.LDAPResultStrongAuthRequired:
		return fmt.Errorf("the directory wants TLS, use ldaps:// or StartTLS: %w", err)
	case code == ldap.LDAPResultSizeLimitExceeded, code == ldap.LDAPResultAdminLimitExceeded:
		return fmt.Errorf("the directory limits searches, raise that for the service account: %w", err)
	}
	return err
}

// bound returns a context for one operation. It ends with ctx, after the time an operation may take, and with Close.
func (d *Directory) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	closable, cancelCause := context.WithCancelCause(ctx)
	stop := context.AfterFunc(d.open, func() { cancelCause(errClosed) })
	bounded, cancel := context.WithTimeout(closable, d.config.Timeout)
	return bounded, func() {
		stop()
		cancel()
		cancelCause(nil)
	}
}

// ended returns why an operation's context ended.
func ended(bounded context.Context) error {
	switch {
	case errors.Is(context.Cause(bounded), errClosed):
		return errClosed
	case errors.Is(bounded.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", ErrSlow, context.DeadlineExceeded)
	}
	return bounded.Err()
}
