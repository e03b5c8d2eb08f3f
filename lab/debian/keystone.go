package debian

import (
	"context"
	"os"
	"os/exec"
)

// uwsgi is the program that runs Keystone and Placement, whose own ones are WSGI scripts.
const uwsgi = "uwsgi_python3"

func keystone() service {
	return service{
		name:  "keystone",
		ports: []int{5000},
		command: func(l *Lab) *exec.Cmd {
			cmd := l.tool(context.Background(), uwsgi, "--ini", l.etc("keystone-uwsgi.ini"))
			cmd.Env = l.environment("OS_KEYSTONE_CONFIG_FILES=" + l.etc("keystone.conf"))
			return cmd
		},
		answers: answersHTTP(5000, "/v3"),
	}
}

// AuthURL is Keystone's, as OS_AUTH_URL has it.
func (l *Lab) AuthURL() string { return l.url(5000) + "/v3" }

// bootstrapKeystone makes the keys that tokens are encrypted with, and the administrator with the identity service's endpoints.
func (l *Lab) bootstrapKeystone(ctx context.Context) error {
	manage := func(args ...string) error {
		return l.logged(l.tool(ctx, "keystone-manage", append([]string{"--config-file", l.etc("keystone.conf")}, args...)...), "keystone-manage")
	}
	for _, dir := range []string{"fernet", "credential"} {
		if err := os.MkdirAll(l.data("keystone", dir), 0o700); err != nil {
			return err
		}
		if err := manage(dir+"_setup", "--keystone-user", "root", "--keystone-group", "root"); err != nil {
			return err
		}
	}
	bootstrap := l.tool(ctx, "keystone-manage", "--config-file", l.etc("keystone.conf"), "bootstrap",
		"--bootstrap-region-id", region, "--bootstrap-public-url", l.AuthURL(), "--bootstrap-internal-url", l.AuthURL(),
		"--bootstrap-admin-url", l.AuthURL())
	bootstrap.Env = l.environment("OS_BOOTSTRAP_PASSWORD=" + l.secrets.Admin) // not in the arguments, which all users see
	return l.logged(bootstrap, "keystone-manage")
}
