package debian

import (
	"context"
	"os"
	"os/exec"
)

func nodeExporter() service {
	return service{
		name:  "node-exporter",
		ports: []int{9100},
		command: func(l *Lab) *exec.Cmd {
			return l.tool(context.Background(), "prometheus-node-exporter", "--web.listen-address="+l.at(9100))
		},
		answers: answersHTTP(9100, "/metrics"),
	}
}

func libvirtExporter() service {
	return service{
		name:  "libvirt-exporter",
		ports: []int{9177},
		command: func(l *Lab) *exec.Cmd {
			return l.tool(context.Background(), "prometheus-libvirt-exporter", "--web.listen-address="+l.at(9177),
				"--libvirt.uri="+l.libvirtSocket())
		},
		answers: answersHTTP(9177, "/metrics"),
	}
}

func prometheus() service {
	return service{
		name:    "prometheus",
		ports:   []int{9090},
		prepare: func(_ context.Context, l *Lab) error { return os.MkdirAll(l.data("prometheus"), 0o700) },
		command: func(l *Lab) *exec.Cmd {
			return l.tool(context.Background(), "prometheus", "--config.file="+l.etc("prometheus.yml"), "--web.listen-address="+l.at(9090),
				"--storage.tsdb.path="+l.data("prometheus"), "--storage.tsdb.retention.time=2d")
		},
		answers: answersHTTP(9090, "/-/ready"),
	}
}

// Prometheus is Prometheus's URL.
func (l *Lab) Prometheus() string { return l.url(9090) }
