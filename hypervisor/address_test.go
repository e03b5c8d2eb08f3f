package hypervisor

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	system := &certificates{"/etc/pki/CA/cacert.pem", "/etc/pki/libvirt/clientcert.pem", "/etc/pki/libvirt/private/clientkey.pem"}
	for uri, want := range map[string]address{
		"qemu+unix:///system":               {network: "unix", target: "/run/libvirt/libvirt-sock", driver: "qemu:///system"},
		"qemu:///system":                    {network: "unix", target: "/run/libvirt/libvirt-sock", driver: "qemu:///system"},
		"qemu+unix:///system?socket=/a%2Fb": {network: "unix", target: "/a/b", driver: "qemu:///system"},
		"qemu+unix:///session?socket=/a":    {network: "unix", target: "/a", driver: "qemu:///session"},
		"qemu+tcp://node7/system":           {network: "tcp", target: "node7:16509", host: "node7", driver: "qemu:///system"},
		"qemu+tcp://[::1]:99/system":        {network: "tcp", target: "[::1]:99", host: "::1", driver: "qemu:///system"},
		"qemu+tls://node7/system":           {network: "tcp", target: "node7:16514", host: "node7", driver: "qemu:///system", tls: system},
		"qemu://node7/system":               {network: "tcp", target: "node7:16514", host: "node7", driver: "qemu:///system", tls: system},
		"qemu+tls://node7:1/system?pkipath=/p": {network: "tcp", target: "node7:1", host: "node7", driver: "qemu:///system",
			tls: &certificates{"/p/cacert.pem", "/p/clientcert.pem", "/p/clientkey.pem"}},
	} {
		t.Run(uri, func(t *testing.T) {
			got, err := parse(uri)
			require.NoError(t, err)
			want.uri = uri
			require.Equal(t, want, got)
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for uri, want := range map[string]string{
		"":                                    "must be /system or /session",
		"node7":                               "must be /system or /session",
		"qemu+tls://node7":                    "must be /system or /session",
		"qemu+tls:///system":                  "names no host",
		"qemu+unix://node7/system":            "has no host",
		"qemu+unix:///session":                "?socket=PATH",
		"qemu+ssh://node7/system":             "must begin with",
		"xen:///system":                       "must begin with",
		"qemu+tls://node7/system?no_verify=1": `"no_verify" is not supported`,
		"qemu+tcp://node7/system?socket=/a":   `"socket" is not supported`,
		"qemu+tcp://me:hush@node7/system":     "passwords are not supported",
		"qemu+tcp://node7:port/system":        "invalid port",
	} {
		t.Run(uri, func(t *testing.T) {
			_, err := Connect(t.Context(), uri)
			require.ErrorContains(t, err, want)
			require.NotContains(t, err.Error(), "hush")
			if uri != "" && uri != "qemu+tcp://me:hush@node7/system" {
				require.ErrorContains(t, err, uri)
			}
		})
	}
}
