package debian

import (
	"context"
	"os"
	"os/exec"
	"strings"
)

func mariadb() service {
	return service{
		name:  "mariadb",
		ports: []int{3306},
		prepare: func(ctx context.Context, l *Lab) error {
			if _, err := os.Stat(l.data("mariadb", "mysql")); err == nil {
				return nil
			}
			return l.logged(l.tool(ctx, "mariadb-install-db", "--no-defaults", "--user=root", "--datadir="+l.data("mariadb"),
				"--skip-test-db", "--auth-root-authentication-method=socket"), "mariadb-install")
		},
		command: func(l *Lab) *exec.Cmd {
			return l.tool(context.Background(), "mariadbd", "--defaults-file="+l.etc("my.cnf"))
		},
		answers: func(ctx context.Context, l *Lab) error {
			return l.tool(ctx, "mariadb-admin", "--no-defaults", "--socket="+l.run("mariadb.sock"), "ping").Run()
		},
	}
}

// query runs SQL as MariaDB's administrator. It is given on the standard input, where nobody else sees the passwords in it.
func (l *Lab) query(ctx context.Context, sql string) error {
	cmd := l.tool(ctx, "mariadb", "--no-defaults", "--socket="+l.run("mariadb.sock"), "--user=root")
	cmd.Stdin = strings.NewReader(sql)
	return l.logged(cmd, "mariadb-client")
}
