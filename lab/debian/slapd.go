package debian

import (
	"context"
	"net"
	"os"
	"os/exec"

	"github.com/go-ldap/ldap/v3"
)

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
			if err := os.WriteFile(file, []byte(entries), 0o600); err != nil {
				return err
			}
			return l.logged(l.tool(ctx, "slapadd", "-q", "-f", l.etc("slapd.conf"), "-l", file), "slapadd")
		},
		command: func(l *Lab) *exec.Cmd {
			return l.tool(context.Background(), "slapd", "-d", "none", "-f", l.etc("slapd.conf"), "-h", l.LDAP())
		},
		answers: func(ctx context.Context, l *Lab) error {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.at(389))
			if err != nil {
				return err
			}
			defer context.AfterFunc(ctx, func() { conn.Close() })() // the LDAP library knows no contexts
			c := ldap.NewConn(conn, false)
			c.Start()
			defer c.Close()
			return c.Bind(l.people.ServiceDN, l.people.ServicePassword)
		},
	}
}

// LDAP is the directory's URL.
func (l *Lab) LDAP() string { return "ldap://" + l.at(389) }
