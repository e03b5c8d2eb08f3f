package debian

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"

	"github.com/go-ldap/ldap/v3"

	"github.com/deskstorm/deskstorm/lab/sim/directory"
	policy "github.com/deskstorm/deskstorm/lab/slapd"
)

// maxFailures is how many wrong passwords lock an account: more than a test of wrong passwords gives.
const maxFailures = 1000

func slapd() service {
	return service{
		name:  "slapd",
		ports: []int{389},
		// The directory's content is made anew at each start, so that it has the people that the lab was asked for.
		prepare: func(ctx context.Context, l *Lab) error {
			if err := os.RemoveAll(l.data("slapd")); err != nil {
				return err
			}
			if err := os.MkdirAll(l.data("slapd"), 0o700); err != nil {
				return err
			}
			entries, err := l.people.LDIF()
			if err != nil {
				return err
			}
			file := l.etc("people.ldif")
			entries += policy.PolicyLDIF(l.people.BaseDN, maxFailures)
			if err := os.WriteFile(file, []byte(entries), 0o600); err != nil {
				return err
			}
			return l.logged(l.tool(ctx, "slapadd", "-q", "-f", l.etc("slapd.conf"), "-l", file), "slapadd")
		},
		command: func(l *Lab) *exec.Cmd {
			return l.tool(context.Background(), "slapd", "-d", "none", "-f", l.etc("slapd.conf"), "-h", l.LDAP())
		},
		answers: func(ctx context.Context, l *Lab) error {
			return l.directory(ctx, l.people.ServiceDN, l.people.ServicePassword, func(*ldap.Conn) error { return nil })
		},
	}
}

// directory logs in to the directory for one task.
func (l *Lab) directory(ctx context.Context, dn, password string, task func(*ldap.Conn) error) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.at(389))
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })() // the LDAP library knows no contexts
	c := ldap.NewConn(conn, false)
	c.Start()
	defer c.Close()
	if err := c.Bind(dn, password); err != nil {
		return err
	}
	return task(c)
}

// lockedForGood is the time of an account's lock that an administrator alone ends (slapo-ppolicy(5)).
const lockedForGood = "000001010000Z"

// Lock locks, and unlocks, the account of a person in the directory.
func (l *Lab) Lock(ctx context.Context, name string, locked bool) error {
	i := slices.IndexFunc(l.people.Users, func(u directory.User) bool { return u.Name == name })
	if i < 0 {
		return fmt.Errorf("locking the account of %s: there is no such person", name)
	}
	const attribute = "pwdAccountLockedTime"
	change := ldap.NewModifyRequest(l.people.UserDN(name, l.people.Users[i].OUs), nil)
	if locked {
		change.Replace(attribute, []string{lockedForGood})
	} else {
		change.Replace(attribute, nil)
	}
	err := l.directory(ctx, "cn=admin,"+l.people.BaseDN, l.secrets.Directory, func(c *ldap.Conn) error { return c.Modify(change) })
	if err != nil {
		return fmt.Errorf("locking the account of %s: %w", name, err)
	}
	return nil
}

// People are who is in the directory, and the account that may search it.
func (l *Lab) People() directory.Config { return l.people }

// LDAP is the directory's URL.
func (l *Lab) LDAP() string { return "ldap://" + l.at(389) }
