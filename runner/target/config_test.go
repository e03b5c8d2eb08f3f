package target_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/access"
	"github.com/deskstorm/deskstorm/internal/configfile"
	"github.com/deskstorm/deskstorm/runner/target"
)

func read(text string) (target.Config, error) {
	r, n := configfile.Parse([]byte(text), "/etc/deskstorm/deskstorm.yaml", "a test")
	if n == nil {
		return nil, r.Err()
	}
	c := target.Read(r, n)
	return c, r.Err()
}

func TestRead(t *testing.T) {
	c, err := read(`
broker-net:
  local: {namespace: /run/netns/broker, run_dir: /run/storm, step_timeout: 5m}
  faults: [net.*, dhcp.drop_renewals]
here: {local: {}}
compute1:
  ssh:
    address: compute1.example
    identity: keys/storm
    passphrase: {env: STORM_PASSPHRASE}
    known_hosts: known_hosts
    sudo: true
    user: storm
    timeout: 5s
    namespace: /run/netns/x
  faults: ["*"]
  services:
    agent: {stop: [service, agent, stop], start: [service, agent, start]}
compute2: {ssh: {address: "[fd00::1]:2222", identity: /id, known_hosts: /known}}
lab: {http: {url: "http://lab:9000", token: {file: token}, ca_file: ca.pem, timeout: 90s}}
stack: {cloud: {name: prod, file: clouds.yaml}}
`)
	require.NoError(t, err)
	require.Equal(t, target.Config{
		"broker-net": {Faults: []string{"net.*", "dhcp.drop_renewals"}, Local: &target.Local{Machine: target.Machine{
			Namespace: "/run/netns/broker", RunDir: "/run/storm", Step: 5 * time.Minute,
		}}},
		"here": {Local: &target.Local{Machine: target.Machine{RunDir: "/run/deskstorm", Step: time.Minute}}},
		"compute1": {Faults: []string{"*"}, SSH: &target.SSH{
			Machine: target.Machine{Namespace: "/run/netns/x", RunDir: "/run/deskstorm", Step: time.Minute},
			Address: "compute1.example:22", User: "storm", Identity: "/etc/deskstorm/keys/storm", Passphrase: c["compute1"].SSH.Passphrase,
			KnownHosts: "/etc/deskstorm/known_hosts", Sudo: true, Timeout: 5 * time.Second,
		}, Services: map[string]target.Service{"agent": {Stop: []string{"service", "agent", "stop"}, Start: []string{"service", "agent", "start"}}}},
		"compute2": {SSH: &target.SSH{
			Machine: target.Machine{RunDir: "/run/deskstorm", Step: time.Minute},
			Address: "[fd00::1]:2222", User: "root", Identity: "/id", KnownHosts: "/known", Timeout: 10 * time.Second,
		}},
		"lab":   {HTTP: &target.Web{URL: "http://lab:9000", Token: c["lab"].HTTP.Token, CA: "/etc/deskstorm/ca.pem", Timeout: 90 * time.Second}},
		"stack": {Cloud: &access.Cloud{Name: "prod", File: "/etc/deskstorm/clouds.yaml"}},
	}, c)
	require.Equal(t, "STORM_PASSPHRASE", c["compute1"].SSH.Passphrase.Env)
	require.Equal(t, "/etc/deskstorm/token", c["lab"].HTTP.Token.File)

	require.NoError(t, c.Allows("broker-net", "net.loss"))
	require.NoError(t, c.Allows("broker-net", "dhcp.drop_renewals"))
	require.NoError(t, c.Allows("compute1", "host.stop_service"))
	require.EqualError(t, c.Allows("broker-net", "dhcp.shared_socket"),
		"the configuration does not allow dhcp.shared_socket at the target broker-net, only net.*, dhcp.drop_renewals")
	require.EqualError(t, c.Allows("here", "net.loss"),
		"the configuration allows no fault at the target here; name net.loss in its faults to allow it")
	require.ErrorContains(t, c.Allows("nowhere", "net.loss"), `there is no target "nowhere" in the configuration; there are broker-net, compute1`)
	require.ErrorContains(t, target.Config{}.Allows("nowhere", "net.loss"), "the configuration has none")
}

func TestWrongConfig(t *testing.T) {
	for _, test := range []struct{ text, err string }{
		{"[]", "expected a mapping, found an empty list"},
		{"a b: {local: {}}", "1:1: a b: expected a name of at most 40 letters"},
		{"a: {}", "1:4: a: expected exactly one of local, ssh, http and cloud, found 0"},
		{"a: {local: {}, cloud: {}}", "found 2"},
		{"a: {local: {}, faults: [\"net.[\"]}", `expected a fault's name or a pattern such as "net.*"`},
		{"a: {local: {}, faults: []}", "expected a list with at least one item, found an empty list"},
		{"a: {local: {namespace: here}}", "a.local.namespace: expected an absolute path"},
		{"a: {local: {run_dir: /}}", "a.local.run_dir: expected an absolute path"},
		{"a: {local: {step_timeout: 1}}", "expected a duration from 1s to 30m"},
		{"a: {ssh: {address: h, identity: i}}", "a.ssh: known_hosts is missing"},
		{"a: {ssh: {address: root@h, identity: i, known_hosts: k}}", "a.ssh.address: expected host or host:port, without a user"},
		{"a: {ssh: {address: \":22\", identity: i, known_hosts: k}}", "a.ssh.address: expected host or host:port"},
		{"a: {ssh: {address: h, identity: i, known_hosts: k, passphrase: hunter2}}", "found the value itself"},
		{"a: {http: {url: \"http://u:hunter2@h\"}}", "a.http.url: expected an address such as"},
		{"a: {http: {url: ftp://h}}", "a.http.url: expected an address such as"},
		{"a: {cloud: {}, services: {x: {stop: [a], start: [b]}}}", "services are of a machine"},
		{"a: {local: {}, services: {x: {stop: [a]}}}", "a.services.x: start is missing"},
		{"a: {local: {}, setting: 1}", "unknown key; expected cloud, faults, http, local, services, ssh"},
	} {
		t.Run(test.text, func(t *testing.T) {
			_, err := read(test.text)
			require.ErrorContains(t, err, test.err)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}
