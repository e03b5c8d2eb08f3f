package exporters

//go:generate go run ./reference ../docs/exporter-metrics.md

import (
	"log/slog"

	"github.com/goccy/go-yaml/ast"

	"github.com/deskstorm/deskstorm/exporters/activeusers"
	"github.com/deskstorm/deskstorm/exporters/bootstorm"
	"github.com/deskstorm/deskstorm/exporters/collector"
	"github.com/deskstorm/deskstorm/exporters/dhcp"
	"github.com/deskstorm/deskstorm/exporters/openstack"
	"github.com/deskstorm/deskstorm/exporters/ports"
	"github.com/deskstorm/deskstorm/exporters/rabbitmq"
	"github.com/deskstorm/deskstorm/internal/configfile"
)

// table has a line for each exporter.
var table = []entry{
	{"activeusers", activeusers.Families(), configured(activeusers.Read, activeusers.New)},
	{"bootstorm", bootstorm.Families(), configured(bootstorm.Read, bootstorm.New)},
	{"dhcp", dhcp.Families(), configured(dhcp.Read, dhcp.New)},
	{"openstack", openstack.Families(), configured(openstack.Read, openstack.New)},
	{"ports", ports.Families(), configured(ports.Read, ports.Open)},
	{"rabbitmq", rabbitmq.Families(), configured(rabbitmq.Read, rabbitmq.New)},
}

// configured joins what reads an exporter's section and what makes the exporter of it.
func configured[C any](read func(*configfile.Reader, ast.Node) C, create func(C, *slog.Logger) (collector.Exporter, error)) func(*configfile.Reader, ast.Node) open {
	return func(r *configfile.Reader, n ast.Node) open {
		c := read(r, n)
		return func(log *slog.Logger) (collector.Exporter, error) { return create(c, log) }
	}
}
