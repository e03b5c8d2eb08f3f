package bootstorm

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/exporters/bootstorm/storage"
	"github.com/deskstorm/deskstorm/internal/access"
	"github.com/deskstorm/deskstorm/internal/configfile"
)

func parse(text string) (Config, error) {
	r, root := configfile.Parse([]byte(text), "/etc/deskstorm/exporter.yaml", "the test's configuration")
	if root == nil {
		return Config{}, r.Err()
	}
	c := Read(r, root)
	return c, r.Err()
}

func TestConfig(t *testing.T) {
	c, err := parse("cloud: {}\n")
	require.NoError(t, err)
	require.Equal(t, Config{
		LostAfter: time.Minute, GiveUpAfter: time.Hour, Poll: 15 * time.Second, Slow: 50 * time.Millisecond, Drowning: 200 * time.Millisecond,
	}, c)

	c, err = parse(`
cloud: {name: mycloud, file: clouds.yaml}
tag: deskstorm-owner=north
notifications: {url: {env: URL}, ca_file: ca.pem, exchanges: [openstack], topic: versioned_notifications}
leases: {files: [/var/lib/neutron/dhcp/*/leases], length: 12h}
usable_port: 3389
lost_after: 30s
give_up_after: 2h
poll: 5s
hosts: [{name: node1, diskstats: {}}]
slow: 20ms
drowning: 100ms
`)
	require.NoError(t, err)
	require.Equal(t, Config{
		Cloud: access.Cloud{Name: "mycloud", File: "/etc/deskstorm/clouds.yaml"}, Tag: "deskstorm-owner=north",
		Notifications: c.Notifications,
		Leases:        &Leases{Files: []string{"/var/lib/neutron/dhcp/*/leases"}, Length: 12 * time.Hour},
		UsablePort:    3389, LostAfter: 30 * time.Second, GiveUpAfter: 2 * time.Hour, Poll: 5 * time.Second,
		Hosts: []storage.HostConfig{{Name: "node1", Diskstats: &storage.Diskstats{}}}, Slow: 20 * time.Millisecond, Drowning: 100 * time.Millisecond,
	}, c)
	require.Equal(t, []string{"openstack"}, c.Notifications.Exchanges)
	require.Equal(t, "versioned_notifications", c.Notifications.Topic)
	require.Equal(t, "/etc/deskstorm/ca.pem", c.Notifications.CAFile)
	require.Equal(t, "URL", c.Notifications.URL.Env)

	for text, says := range map[string]string{
		"poll: 5s\n":                                       "1:1: cloud is missing",
		"cloud: {}\npoll: 1h\n":                            "2:7: poll: expected a duration from 1s to 10m",
		"cloud: {}\nnotifications: {}\n":                   "2:16: notifications: url is missing",
		"cloud: {}\nnotifications: {url: amqp://a:b@c/}\n": "2:22: notifications.url: expected {file: PATH} or {env: NAME}",
		"cloud: {}\nleases: {files: []}\n":                 "2:17: leases.files: expected a list with at least one item",
		"cloud: {}\nusable_port: 70000\n":                  "2:14: usable_port: expected a whole number from 1 to 65535",
		"cloud: {}\nslow: 300ms\n":                         "1:1: expected drowning to be at least slow, which is 300ms, found 200ms",
		"cloud: {name: 5}\n":                               "1:15: cloud.name: expected text",
	} {
		_, err := parse(text)
		require.ErrorContains(t, err, "/etc/deskstorm/exporter.yaml:"+says)
	}
}

// TestNewFails: what the configuration names is there when the exporter starts, and no error tells a secret.
func TestNewFails(t *testing.T) {
	dir := t.TempDir()
	clouds := filepath.Join(dir, "clouds.yaml")
	require.NoError(t, os.WriteFile(clouds, []byte("clouds: {c: {auth: {auth_url: http://127.0.0.1:1/v3, username: u, password: hunter2, project_name: p}}}\n"), 0o600))
	noPEM := filepath.Join(dir, "ca.pem")
	require.NoError(t, os.WriteFile(noPEM, nil, 0o600))
	t.Setenv("URL", "amqp://me:hunter2@host:x/")
	t.Setenv("GOOD_URL", "amqps://me:hunter2@host/")
	for name, c := range map[string]Config{
		"no clouds.yaml":   {Cloud: access.Cloud{Name: "c", File: filepath.Join(dir, "none.yaml")}},
		"no such cloud":    {Cloud: access.Cloud{Name: "d", File: clouds}},
		"no URL":           {Cloud: access.Cloud{Name: "c", File: clouds}, Notifications: &access.Notifications{URL: configfile.Secret{Env: "URL"}}},
		"no secret":        {Cloud: access.Cloud{Name: "c", File: clouds}, Notifications: &access.Notifications{URL: configfile.Secret{Env: "DESKSTORM_TEST_UNSET"}}},
		"no certificate":   {Cloud: access.Cloud{Name: "c", File: clouds}, Notifications: &access.Notifications{URL: configfile.Secret{Env: "GOOD_URL"}, CAFile: noPEM}},
		"no way to a disk": {Cloud: access.Cloud{Name: "c", File: clouds}, Hosts: []storage.HostConfig{{Name: "node1"}}},
	} {
		_, err := New(c, slog.New(slog.DiscardHandler))
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "hunter2")
	}
}
