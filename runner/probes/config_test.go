package probes

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/runner/native"
)

// whole has every key.
const whole = `
prometheus: {url: "https://prometheus.example:9090/p", ca_file: ca.pem, token: {env: TOKEN}, timeout: 5s}
broker: {url: "https://broker.example:8443", ca_file: ca.pem, operator_token: {file: token}, timeout: 5s}
logins:
  - {name: office, user: canary, password: {file: p}, seat: N1-001, site: N1, thin_client: aa-bb, tags: {floor: "2"}, timeout: 30s}
  - {name: old, user: canary, password: {env: P}, cloud: true, domain: users, libvirt: "qemu+tls://%s/system", ca_file: ca.pem, subject: O=X}
cloud: {name: admin, file: /etc/clouds.yaml, owner: north}
dhcp:
  timeout: 2s
  window: 500ms
  renewals: 4
  networks:
    - {name: office, interface: probe0, namespace: /run/netns/probe, mac: "fa:16:3e:00:00:01", client_id: "01fa", servers: [10.0.0.2]}
    - {name: branch, mac: "fa:16:3e:00:00:02", relay: {address: 10.9.0.1, servers: [10.0.0.2]}}
    - {name: floor, lease_file: leases, lease_time: 24h}
  hosts: [{name: node1}, {name: node2, namespace: /run/netns/x}]
rabbitmq:
  brokers:
    - {name: b1, address: "10.0.0.1:5671", vhost: nova, user: canary, password: {file: p}, tls: true, ca_file: ca.pem, namespace: /run/netns/n, patience: 3s}
desktops: {flavor: small, image: windows, networks: [a, b], zone: nova, prefix: test, most: 7}
`

func TestReadsAll(t *testing.T) {
	c := mustRead(t, whole)
	require.Equal(t, 5*time.Second, c.Prometheus.Timeout)
	require.Equal(t, "TOKEN", c.Prometheus.Token.Env)
	require.True(t, strings.HasSuffix(c.Broker.CA, "/ca.pem") && strings.HasPrefix(c.Broker.CA, "/"))
	require.Equal(t, map[string]string{"floor": "2"}, c.Logins[0].Tags)
	require.Equal(t, time.Minute, c.Logins[1].Timeout)
	require.True(t, c.Logins[1].Cloud)
	require.Equal(t, "north", c.Cloud.Owner)
	require.Equal(t, 4, c.DHCP.Networks[0].Target.Renewals)
	require.Equal(t, 2*time.Second, c.DHCP.Networks[1].Target.Timeout)
	require.Equal(t, "10.9.0.1", c.DHCP.Networks[1].Target.Relay.Address.String())
	require.Nil(t, c.DHCP.Networks[2].Target)
	require.Equal(t, "/run/netns/x", c.DHCP.Hosts[1].Namespace)
	require.Equal(t, 3*time.Second, c.RabbitMQ[0].Patience)
	require.Equal(t, Desktops{Flavor: "small", Image: "windows", Networks: []string{"a", "b"}, Zone: "nova", Prefix: "test", Most: 7}, *c.Desktops)
}

func TestRefuses(t *testing.T) {
	for _, test := range []struct{ text, says string }{
		{"prometheus: {}", "deskstorm.yaml:1:13: prometheus: url is missing"},
		{"prometheus: {url: \"http://user:pw@x\"}", "expected an address such as"},
		{"prometheus: {url: \"http://x\", token: {env: A}, user: u, password: {env: P}}", "not both"},
		{"prometheus: {url: \"http://x\", user: u}", "user and password go together"},
		{"broker: {url: \"ftp://x\"}", "expected an address such as https://broker"},
		{"broker: {url: \"http://x\", operator_token: abc}", "expected {file: PATH} or {env: NAME}, found the value itself"},
		{"logins: [{name: a, user: u}]", "password is missing"},
		{"logins: [{name: a, user: u, password: {env: P}, domain: d}]", "are of a login with cloud: true"},
		{"logins: [{name: a, user: u, password: {env: P}}, {name: a, user: u, password: {env: P}}]", "there is another named a"},
		{"dhcp: {networks: [{name: a}]}", "expected an interface or a relay"},
		{"dhcp: {networks: [{name: a, lease_file: l}]}", "lease_time is missing"},
		{"dhcp: {networks: [{name: a, relay: {address: 10.0.0.1, servers: [10.0.0.2]}}]}", "mac is missing"},
		{"rabbitmq: {brokers: [{name: a, address: x, user: u, password: {env: P}}]}", "expected host:port"},
		{"rabbitmq: {brokers: [{name: a, address: \"x:1\", user: u, password: {env: P}, ca_file: c}]}", "ca_file goes with tls"},
		{"desktops: {flavor: f}", "image is missing"},
		{"desktops: {flavor: f, image: i, most: 0}", "expected a whole number from 1"},
		{"probes: {}", "unknown key; expected broker, cloud, desktops, dhcp, logins, prometheus, rabbitmq"},
	} {
		t.Run(test.text, func(t *testing.T) {
			_, err := read(t, test.text)
			require.ErrorContains(t, err, test.says)
		})
	}
}

func TestTable(t *testing.T) {
	names := map[string]bool{}
	for _, f := range Table(Env{}) {
		require.False(t, names[f.Name], f.Name)
		names[f.Name] = true
		require.NotEmpty(t, f.Doc)
		require.Nil(t, f.Run, "a table that only describes")
		for _, p := range f.Parameters {
			require.NotEmpty(t, p.Doc)
		}
		require.Equal(t, f.Kind == native.Probe, f.Check(native.Arguments{fieldName: "x"}) == nil || !strings.Contains(f.Check(native.Arguments{fieldName: "x"}).Error(), fieldName))
	}
}

// TestWithoutASection checks that every function says which section it lacks, and asks nobody.
func TestWithoutASection(t *testing.T) {
	for name, test := range map[string]struct {
		a    native.Arguments
		says string
	}{
		"promql":          {native.Arguments{"query": "up"}, "section prometheus"},
		"login":           {nil, "section logins"},
		"broker.health":   {nil, "section broker"},
		"dhcp.renew":      {nil, "section dhcp.networks"},
		"dhcp.audit":      {nil, "section dhcp.hosts"},
		"leases":          {nil, "section dhcp.networks"},
		"amqp.canary":     {nil, "section rabbitmq"},
		"amqp.idle":       {native.Arguments{"silence": 1}, "section rabbitmq"},
		"amqp.ladder":     {native.Arguments{"silences": []any{"1s"}}, "section rabbitmq"},
		"cloud.health":    {nil, "section cloud"},
		"cloud.canary":    {nil, "section cloud"},
		"cloud.desktops":  {nil, "section cloud"},
		"desktops.active": {nil, "section cloud"},
		"desktops.wait":   {nil, "section cloud"},
		"desktops.ports":  {nil, "section cloud"},
		"desktops.create": {native.Arguments{"count": 1}, "section desktops"},
		"desktops.delete": {nil, "section cloud"},
	} {
		_, err := call(t, Env{}, name, test.a)
		require.ErrorContains(t, err, name+" needs the "+test.says, name)
	}
}

func TestWhichOne(t *testing.T) {
	c := mustRead(t, whole)
	_, err := call(t, Env{Config: c}, "dhcp.renew", nil)
	require.EqualError(t, err, "which network? The configuration has office, branch, floor")
	_, err = call(t, Env{Config: c}, "login", native.Arguments{"login": "nobody"})
	require.EqualError(t, err, `there is no login "nobody" in the configuration; it has office, old`)
	_, err = call(t, Env{Config: c}, "leases", native.Arguments{"network": "office"})
	require.ErrorContains(t, err, "has no lease_file")
	_, err = call(t, Env{Config: c}, "dhcp.renew", native.Arguments{"network": "floor"})
	require.ErrorContains(t, err, "no interface and no relay")
}
