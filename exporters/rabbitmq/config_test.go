package rabbitmq

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/configfile"
)

func TestRead(t *testing.T) {
	r, n := configfile.Parse([]byte(`
brokers:
  - name: broker1
    management:
      url: https://broker1:15671
      user: monitor
      password: {file: monitor.password}
      ca_file: ca.pem
      node: rabbit@broker1
      interval: 1m
      timeout: 50s
    sockets: {ports: [5672], namespace: /run/netns/broker, interval: 10s}
    canary:
      address: broker1:5671
      vhost: canary
      user: canary
      password: {env: CANARY_PASSWORD}
      tls: true
      instance: monitoring1
      interval: 30s
      patience: 5s
      ladder: [1m, 2h]
      idle:
        - {name: like-nova, silence: 2h, heartbeat: 60s}
        - {name: like-neutron, silence: 2h, keepalive: 5m}
  - name: broker2
    idle_cut_off: 1h
    sockets: {}
services: [nova-compute]
groups:
  compute: [10.1.0.0/16, "fd00:1::/32"]
  control: [10.2.0.7/24]
`), "/etc/deskstorm/exporters.yaml", "a test")
	c := Read(r, n)
	require.NoError(t, r.Err())
	require.Equal(t, []string{"nova-compute"}, c.Services)
	require.Equal(t, []Group{
		{"compute", []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00:1::/32")}},
		{"control", []netip.Prefix{netip.MustParsePrefix("10.2.0.0/24")}},
	}, c.Groups)
	require.Len(t, c.Brokers, 2)
	require.Equal(t, &Sockets{Ports: []uint16{5672}, Namespace: "/run/netns/broker", Interval: 10 * time.Second}, c.Brokers[0].Sockets)
	require.Equal(t, "rabbit@broker1", c.Brokers[0].Management.Node)
	require.Equal(t, "/etc/deskstorm/monitor.password", c.Brokers[0].Management.Password.File)
	require.Equal(t, []time.Duration{time.Minute, 2 * time.Hour}, c.Brokers[0].Canary.Ladder)
	require.Equal(t, []IdleCanary{
		{Name: "like-nova", Silence: 2 * time.Hour, Heartbeat: time.Minute},
		{Name: "like-neutron", Silence: 2 * time.Hour, KeepAlive: 5 * time.Minute},
	}, c.Brokers[0].Canary.Idle)
	require.Equal(t, Broker{Name: "broker2", CutOff: time.Hour, Sockets: &Sockets{}}, c.Brokers[1])
}

func TestReadMistakes(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"services: [a]", "f.yaml:1:1: brokers is missing"},
		{"brokers: [{name: a}]", "f.yaml:1:11: brokers[0]: expected at least one of management, sockets and canary"},
		{"brokers: [{sockets: {}}]", "name is missing"},
		{"brokers: [{name: a, sockets: {}}, {name: a, sockets: {}}]", "another broker named a"},
		{"brokers: [{name: a, sockets: {port: 1}}]", "unknown key; expected interval, namespace, ports"},
		{"brokers: [{name: a, sockets: {ports: [0]}}]", "expected a whole number from 1 to 65535, found 0"},
		{"brokers: [{name: a, sockets: {interval: 10}}]", "expected a duration"},
		{"brokers: [{name: a, management: {url: 'http://u:s3cret@h', user: u, password: {env: P}}}]", "without user and password, found something else"},
		{"brokers: [{name: a, management: {url: 'http://h'}}]", "user is missing"},
		{"brokers: [{name: a, management: {url: 'http://h', user: u, password: s3cret}}]", "password"},
		{"brokers: [{name: a, canary: {address: broker, user: u, password: {env: P}}}]", "expected host:port"},
		{"brokers: [{name: a, canary: {address: 'b:1', user: u, password: {env: P}, ladder: [1m, 60s]}}]", "has this silence already"},
		{"brokers: [{name: a, canary: {address: 'b:1', user: u, password: {env: P}, idle: [{name: fresh, silence: 1m}]}}]", "a name of its own"},
		{"brokers: [{name: a, sockets: {}}]\ngroups: {compute: [10.1.0.0]}", "f.yaml:2:20: groups.compute[0]: expected a network such as 10.1.0.0/16"},
	} {
		t.Run(test.text, func(t *testing.T) {
			r, n := configfile.Parse([]byte(test.text), "f.yaml", "a test")
			Read(r, n)
			require.ErrorContains(t, r.Err(), test.want)
			require.NotContains(t, r.Err().Error(), "s3cret")
		})
	}
}

func TestNewFails(t *testing.T) {
	for _, b := range []Broker{
		{},
		{Management: &Management{CA: "/there-is-none"}},
		{Management: &Management{CA: "config_test.go"}},
		{Canary: &Canary{TLS: true, CA: "/there-is-none"}},
	} {
		_, err := New(Config{Brokers: []Broker{b}}, slog.New(slog.DiscardHandler))
		require.Error(t, err)
	}
}
