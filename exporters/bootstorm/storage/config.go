package storage

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"path/filepath"

	"github.com/goccy/go-yaml/ast"

	"github.com/deskstorm/deskstorm/hypervisor"
	"github.com/deskstorm/deskstorm/internal/configfile"
)

// HostConfig is a host and the one way to its disks' counters; the others are nil.
type HostConfig struct {
	Name      string // a label's value: at most 40 letters, digits, '.', '_' and '-'; no two hosts have the same
	Diskstats *Diskstats
	Libvirt   *Libvirt
	QMP       *QMP
}

// Read reads a list of hosts:
//
//   - name: node1
//     diskstats: {path: /proc/diskstats, devices: [sda, "nvme*"]} # both may be left out: {}
//   - name: node7
//     libvirt: {uri: qemu+tls://node7/system}
//   - name: node9
//     qmp: {sockets: /run/desktops/*.qmp}
func Read(r *configfile.Reader, n ast.Node) []HostConfig {
	var hosts []HostConfig
	names := map[string]bool{}
	r.List(func(n ast.Node) {
		h := readHost(r, n)
		if h.Name != "" && names[h.Name] {
			r.Wrong(n, "expected hosts of different names, found %s again", h.Name)
		}
		names[h.Name] = true
		hosts = append(hosts, h)
	})(n)
	return hosts
}

func readHost(r *configfile.Reader, n ast.Node) HostConfig {
	var h HostConfig
	ways := 0
	r.Mapping(n, configfile.Keys{
		"name": r.Name(&h.Name),
		"diskstats": func(n ast.Node) {
			ways++
			h.Diskstats = &Diskstats{}
			r.Mapping(n, configfile.Keys{"path": r.Path(&h.Diskstats.Path), "devices": devices(r, &h.Diskstats.Devices)})
		},
		"libvirt": func(n ast.Node) {
			ways++
			h.Libvirt = &Libvirt{}
			r.Mapping(n, configfile.Keys{"uri": uri(r, &h.Libvirt.URI)}, "uri")
		},
		"qmp": func(n ast.Node) {
			ways++
			h.QMP = &QMP{}
			r.Mapping(n, configfile.Keys{"sockets": sockets(r, &h.QMP.Sockets)}, "sockets")
		},
	}, "name")
	if _, ok := n.(*ast.MappingNode); ok && ways != 1 {
		r.Wrong(n, "expected one of diskstats, libvirt and qmp, found %d", ways)
	}
	return h
}

func devices(r *configfile.Reader, to *[]string) func(ast.Node) {
	return r.List(func(n ast.Node) {
		var pattern string
		r.Text(&pattern)(n)
		if _, err := path.Match(pattern, ""); err != nil {
			r.Wrong(n, "expected a device's name or a pattern of names, found %q: %v", pattern, err)
		}
		*to = append(*to, pattern)
	})
}

func sockets(r *configfile.Reader, to *string) func(ast.Node) {
	return func(n ast.Node) {
		r.Path(to)(n)
		if _, err := filepath.Match(*to, ""); err != nil {
			r.Wrong(n, "expected a pattern of sockets' paths, found %q: %v", *to, err)
		}
	}
}

func uri(r *configfile.Reader, to *string) func(ast.Node) {
	return func(n ast.Node) {
		const expected = "a libvirt URI such as qemu+tls://HOST/system"
		s, ok := r.Scalar(n, expected)
		if !ok {
			return
		}
		if err := hypervisor.CheckURI(s); err != nil {
			var malformed *url.Error
			if errors.As(err, &malformed) {
				err = malformed.Err // without the URI: it may hold a password
			}
			r.Wrong(n, "expected %s: %v", expected, err)
			return
		}
		*to = s
	}
}

// Open returns the reader of a host's counters. It reaches for nothing yet: a host that is away makes Read fail, not this.
func Open(c HostConfig) (Reader, error) {
	switch {
	case c.Diskstats != nil:
		return *c.Diskstats, nil
	case c.Libvirt != nil:
		return *c.Libvirt, nil
	case c.QMP != nil:
		return *c.QMP, nil
	}
	return nil, fmt.Errorf("opening the disk statistics of host %s: it has none of diskstats, libvirt and qmp", c.Name)
}
