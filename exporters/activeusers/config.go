package activeusers

import (
	"fmt"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/deskstorm/deskstorm/exporters/activeusers/baseline"
	"github.com/deskstorm/deskstorm/exporters/activeusers/roster"
	"github.com/deskstorm/deskstorm/internal/configfile"
	"github.com/deskstorm/deskstorm/internal/wallclock"
)

// Config is the exporter's section. Default fills what has a default.
type Config struct {
	// Secret is what clients' and sites' tokens are made from (report.ClientToken). Required.
	Secret configfile.Secret
	// PreviousSecret's tokens are taken too, while clients are given new ones. Optional.
	PreviousSecret configfile.Secret
	// Sites and Departments bound the metrics' labels: sites x departments is at most baseline.MaxSeries. What is neither counts
	// as "other". Required.
	Sites       []Site
	Departments []string
	// Inventory is a CSV file of the clients there are: client, site, department. A name that ends in * stands for all that
	// begin so. Without it all clients are taken that have a token, and say themselves where they are.
	Inventory string
	Rosters   []roster.File // optional

	// History is the file that keeps the gaps of earlier weeks; without it they are lost at the exporter's end.
	History string
	Weeks   int // that are kept and compared with: baseline.MinWeeks to baseline.MaxWeeks, 8

	ActiveWithin time.Duration // since the last input; 10 s to 1 h, 300 s
	SilentAfter  time.Duration // since the last report; 5 s to 1 h, 60 s
	Late         time.Duration // how old a report may be; 1 min to 24 h, 2 h: longer than an agent's queue
	Future       time.Duration // how far a client's clock may be ahead; 0 to 10 min, 1 min
	MaxClients   int           // that are tracked, some 500 bytes each; 1 to 1,000,000, 20,000
}

// Site is where clients are.
type Site struct {
	Name string
	Zone *time.Location // of its clocks
}

// Other is the label of sites and departments that are not configured.
const Other = "other"

// Default is the Config of a section that says nothing.
func Default() Config {
	return Config{
		Weeks: 8, ActiveWithin: 300 * time.Second, SilentAfter: time.Minute, Late: 2 * time.Hour, Future: time.Minute,
		MaxClients: 20_000,
	}
}

// Read reads the exporter's section.
func Read(r *configfile.Reader, n ast.Node) Config {
	c := Default()
	var departments []ast.Node
	r.Mapping(n, configfile.Keys{
		"secret":          r.Secret(&c.Secret),
		"previous_secret": r.Secret(&c.PreviousSecret),
		"sites":           r.List(func(n ast.Node) { c.Sites = append(c.Sites, readSite(r, n, c.Sites)) }),
		"departments": r.List(func(n ast.Node) {
			departments = append(departments, n)
			c.Departments = append(c.Departments, readName(r, n, c.Departments))
		}),
		"inventory":     r.Path(&c.Inventory),
		"rosters":       r.List(func(n ast.Node) { c.Rosters = append(c.Rosters, readRoster(r, n)) }),
		"history":       r.Path(&c.History),
		"weeks":         r.Number(&c.Weeks, baseline.MinWeeks, baseline.MaxWeeks),
		"active_within": r.Duration(&c.ActiveWithin, 10*time.Second, time.Hour),
		"silent_after":  r.Duration(&c.SilentAfter, 5*time.Second, time.Hour),
		"late":          r.Duration(&c.Late, time.Minute, 24*time.Hour),
		"future":        r.Duration(&c.Future, 0, 10*time.Minute),
		"max_clients":   r.Number(&c.MaxClients, 1, 1_000_000),
	}, "secret", "sites", "departments")
	if len(departments) > 0 && len(c.Sites)*len(c.Departments) > baseline.MaxSeries {
		r.Wrong(departments[0], "expected at most %d departments at sites, found %d x %d",
			baseline.MaxSeries, len(c.Sites), len(c.Departments))
	}
	return c
}

func readSite(r *configfile.Reader, n ast.Node, before []Site) Site {
	s := Site{Zone: time.UTC}
	names := make([]string, len(before))
	for i, b := range before {
		names[i] = b.Name
	}
	r.Mapping(n, configfile.Keys{
		"name": func(n ast.Node) { s.Name = readName(r, n, names) },
		"zone": readZone(r, &s.Zone),
	}, "name", "zone")
	return s
}

// readName reads a site's or department's name that is not one of those before.
func readName(r *configfile.Reader, n ast.Node, before []string) string {
	name, ok := r.Scalar(n, "a name")
	if !ok {
		return ""
	}
	if err := nameIsNew(name, before); err != nil {
		r.Wrong(n, "%s", err)
	}
	return name
}

func readZone(r *configfile.Reader, to **time.Location) func(ast.Node) {
	return func(n ast.Node) {
		name, ok := r.Scalar(n, "a time zone")
		if !ok {
			return
		}
		zone, err := wallclock.LoadZone(name)
		if err != nil {
			r.Wrong(n, "%s", err)
			return
		}
		*to = zone
	}
}

func readRoster(r *configfile.Reader, n ast.Node) roster.File {
	f := roster.File{Zone: time.UTC}
	r.Mapping(n, configfile.Keys{
		"file":       r.Path(&f.Path),
		"site":       r.Text(&f.Site),
		"department": r.Text(&f.Department),
		"zone":       readZone(r, &f.Zone),
		"zones": func(n ast.Node) {
			f.Zones = map[string]*time.Location{}
			r.Entries(n, func(_ ast.MapKeyNode, name string, value ast.Node) {
				zone := time.UTC
				readZone(r, &zone)(value)
				f.Zones[name] = zone
			})
		},
	}, "file")
	return f
}

func nameIsNew(name string, before []string) error {
	if len(name) > 64 || name == Other {
		return fmt.Errorf("expected a name of at most 64 bytes that is not %q", Other)
	}
	for _, b := range before {
		if b == name {
			return fmt.Errorf("%q is there twice", name)
		}
	}
	return nil
}
