// Package exporters is what deskstorm tells Prometheus that no other exporter does, a folder each. Here are their table, their
// one configuration file and the server of their metrics.
package exporters

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/deskstorm/deskstorm/exporters/collector"
	"github.com/deskstorm/deskstorm/internal/configfile"
)

// entry is an exporter's line in the table.
type entry struct {
	name     string // of its folder and of its section in the configuration
	families []*collector.Family
	// read reads the exporter's section, and returns what makes the exporter once the whole file has no mistakes.
	read func(*configfile.Reader, ast.Node) open
}

// open makes an exporter. It reads secrets and files, and asks no server.
type open func(*slog.Logger) (collector.Exporter, error)

// Names are the exporters that there are.
func Names() []string {
	names := make([]string, len(table))
	for i, e := range table {
		names[i] = e.name
	}
	return names
}

// Families are all metrics by the exporter that serves them, in the table's order; the first is what each source has.
func Families() (names []string, families [][]*collector.Family) {
	names, families = []string{"exporter"}, [][]*collector.Family{collector.Families()}
	for _, e := range table {
		names, families = append(names, e.name), append(families, e.families)
	}
	return names, families
}

// what the file is, for errors.
const what = "the exporters' configuration"

// Config is the exporters' configuration, read and without mistakes.
type Config struct {
	sections []section
}

type section struct {
	name string
	open open
}

// Load reads the file: a section for each exporter, under its name. The error joins a *configfile.Error for each mistake.
func Load(path string) (Config, error) {
	r, root, err := configfile.Load(path, what)
	if err != nil {
		return Config{}, err
	}
	return read(r, root)
}

// Parse is Load of bytes; the name is the file's path.
func Parse(data []byte, name string) (Config, error) {
	r, root := configfile.Parse(data, name, what)
	return read(r, root)
}

func read(r *configfile.Reader, root ast.Node) (c Config, _ error) {
	if root == nil {
		return Config{}, r.Err()
	}
	keys := configfile.Keys{}
	for _, e := range table {
		keys[e.name] = func(n ast.Node) { c.sections = append(c.sections, section{e.name, e.read(r, n)}) }
	}
	r.Mapping(root, keys)
	if r.Err() == nil && len(c.sections) == 0 {
		r.Wrong(root, "expected a section for at least one of %s, found none", strings.Join(Names(), ", "))
	}
	if err := r.Err(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// Check says whether the exporters of the names are there and are configured; the first that is not is the error.
func (c Config) Check(names []string) error {
	for _, name := range names {
		if !slices.ContainsFunc(c.sections, func(s section) bool { return s.name == name }) {
			if !slices.Contains(Names(), name) {
				return fmt.Errorf("there is no exporter %q; there are %s", name, strings.Join(Names(), ", "))
			}
			return fmt.Errorf("the exporter %s has no section in the configuration; add %s: to it", name, name)
		}
	}
	return nil
}

// Open makes the exporters of the names, or all that are configured if there are none. One that is not configured is an error.
func (c Config) Open(names []string, log *slog.Logger) (made []collector.Exporter, err error) {
	if err := c.Check(names); err != nil {
		return nil, err
	}
	var errs []error
	for _, s := range c.sections {
		if len(names) > 0 && !slices.Contains(names, s.name) {
			continue
		}
		e, err := s.open(log.With("exporter", s.name))
		if err != nil {
			errs = append(errs, fmt.Errorf("opening the exporter %s: %w", s.name, err))
			continue
		}
		made = append(made, e)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return made, nil
}
