package storage_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/exporters/bootstorm/storage"
	"github.com/deskstorm/deskstorm/internal/configfile"
)

func read(yaml string) ([]storage.HostConfig, error) {
	r, n := configfile.Parse([]byte(yaml), "/etc/deskstorm/hosts.yaml", "hosts")
	if n == nil {
		return nil, r.Err()
	}
	hosts := storage.Read(r, n)
	return hosts, r.Err()
}

func TestRead(t *testing.T) {
	hosts, err := read(`
- name: node1
  diskstats: {}
- name: node2
  diskstats: {path: /host/proc/diskstats, devices: [sda, "nvme*"]}
- name: node7
  libvirt: {uri: qemu+tls://node7/system}
- name: node9
  qmp: {sockets: desktops/*.qmp}
`)
	require.NoError(t, err)
	require.Equal(t, []storage.HostConfig{
		{Name: "node1", Diskstats: &storage.Diskstats{}},
		{Name: "node2", Diskstats: &storage.Diskstats{Path: "/host/proc/diskstats", Devices: []string{"sda", "nvme*"}}},
		{Name: "node7", Libvirt: &storage.Libvirt{URI: "qemu+tls://node7/system"}},
		{Name: "node9", QMP: &storage.QMP{Sockets: "/etc/deskstorm/desktops/*.qmp"}},
	}, hosts)
	for i, want := range []storage.Reader{
		storage.Diskstats{},
		storage.Diskstats{Path: "/host/proc/diskstats", Devices: []string{"sda", "nvme*"}},
		storage.Libvirt{URI: "qemu+tls://node7/system"},
		storage.QMP{Sockets: "/etc/deskstorm/desktops/*.qmp"},
	} {
		reader, err := storage.Open(hosts[i])
		require.NoError(t, err)
		require.Equal(t, want, reader)
	}
	_, err = storage.Open(storage.HostConfig{Name: "node1"})
	require.ErrorContains(t, err, "node1")
}

func TestReadRefuses(t *testing.T) {
	for yaml, want := range map[string]string{
		"[]":              "1:1: expected a list with at least one item, found an empty list",
		"- name: n":       "1:3: [0]: expected one of diskstats, libvirt and qmp, found 0",
		"- diskstats: {}": "name is missing",
		"- {name: n, diskstats: {}, qmp: {sockets: /a}}":                  "expected one of diskstats, libvirt and qmp, found 2",
		"- {name: n, diskstats: {}}\n- {name: n, diskstats: {}}":          "2:3: [1]: expected hosts of different names, found n again",
		"- {name: n, disks: {}}":                                          "unknown key; expected diskstats, libvirt, name, qmp",
		"- {name: a b, diskstats: {}}":                                    "expected a name of at most 40 letters",
		"- {name: n, diskstats: {devices: []}}":                           "expected a list with at least one item",
		"- {name: n, diskstats: {devices: ['[']}}":                        "expected a device's name or a pattern",
		"- {name: n, qmp: {}}":                                            "sockets is missing",
		"- {name: n, qmp: {sockets: '/a/['}}":                             "expected a pattern of sockets' paths",
		"- {name: n, libvirt: {}}":                                        "uri is missing",
		"- {name: n, libvirt: {uri: 'xen:///system'}}":                    "must begin with qemu+unix, qemu+tcp or qemu+tls",
		"- {name: n, libvirt: {uri: 'qemu+tcp://me:hush@n/system'}}":      "users and passwords are not supported",
		"- {name: n, libvirt: {uri: 'qemu+tcp://me:hush@n:port/system'}}": "invalid port",
		"- {name: n, libvirt: {uri: 7}}":                                  "expected a libvirt URI such as",
		"- name":                                                          "expected a mapping",
	} {
		t.Run(yaml, func(t *testing.T) {
			_, err := read(yaml)
			require.ErrorContains(t, err, want)
			require.NotContains(t, err.Error(), "hush")
		})
	}
}
