package directory_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/broker/directory"
)

func TestBadConfigurations(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(empty, []byte("nothing"), 0o600))
	for want, change := range map[string]func(*directory.Config){
		"URLs are missing":                  func(c *directory.Config) { c.URLs = nil },
		"must begin with ldap:// or ldaps:": func(c *directory.Config) { c.URLs = []string{"ldap.example.com:389"} },
		"begin with ldap:// or ldaps://":    func(c *directory.Config) { c.URLs = []string{"ldapi:///run/ldapi"} },
		"has no host":                       func(c *directory.Config) { c.URLs = []string{"ldap://:389"} },
		"settings of their own":             func(c *directory.Config) { c.URLs = []string{"ldap://host/dc=example"} },
		"has a user in it":                  func(c *directory.Config) { c.URLs = []string{"ldap://user:bind-secret@host"} },
		"is encrypted already":              func(c *directory.Config) { c.URLs = []string{"ldaps://host"}; c.StartTLS = true },
		`BindDN "nonsense" is not a DN`:     func(c *directory.Config) { c.BindDN = "nonsense" },
		"BindPassword is missing":           func(c *directory.Config) { c.BindPassword = "" },
		"UserBase is missing":               func(c *directory.Config) { c.UserBase = "" },
		`GroupBase "nonsense" is not a DN`:  func(c *directory.Config) { c.GroupBase = "nonsense" },
		"has no %s":                         func(c *directory.Config) { c.UserFilter = "(uid=ann)" },
		`UserFilter "(uid=%s" is not a`:     func(c *directory.Config) { c.UserFilter = "(uid=%s" },
		`GroupFilter "(cn=a" with`:          func(c *directory.Config) { c.GroupFilter = "(cn=a" },
		"set Nested too":                    func(c *directory.Config) { c.InChain = true },
		"must not be negative":              func(c *directory.Config) { c.Timeout = -time.Second },
		"no such file":                      func(c *directory.Config) { c.CAFile = filepath.Join(t.TempDir(), "nowhere.pem") },
		"has no certificate":                func(c *directory.Config) { c.CAFile = empty },
	} {
		t.Run(want, func(t *testing.T) {
			config := directory.Config{
				URLs: []string{"ldap://host"}, UserBase: "dc=example", GroupBase: "dc=example",
				BindDN: "cn=broker,dc=example", BindPassword: "bind-secret",
			}
			_, err := directory.New(config)
			require.NoError(t, err)
			change(&config)
			_, err = directory.New(config)
			require.ErrorContains(t, err, want)
			require.NotContains(t, err.Error(), "bind-secret")
		})
	}
}

func TestConfigShowsNoPassword(t *testing.T) {
	config := directory.Config{URLs: []string{"ldap://host"}, BindDN: "cn=broker", BindPassword: "bind-secret"}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		require.NotContains(t, fmt.Sprintf(format, config), "bind-secret", format)
		require.NotContains(t, fmt.Sprintf(format, &config), "bind-secret", format)
		require.NotContains(t, fmt.Sprintf(format, struct{ C directory.Config }{config}), "bind-secret", format)
	}
}
