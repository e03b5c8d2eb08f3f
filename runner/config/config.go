// Package config is deskstorm.yaml, the runner's configuration: each section is read by the package that it is for.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/goccy/go-yaml/ast"

	"github.com/deskstorm/deskstorm/internal/configfile"
	"github.com/deskstorm/deskstorm/runner/fault"
	"github.com/deskstorm/deskstorm/runner/history"
	"github.com/deskstorm/deskstorm/runner/influx"
	"github.com/deskstorm/deskstorm/runner/notify"
	"github.com/deskstorm/deskstorm/runner/probes"
	"github.com/deskstorm/deskstorm/runner/schedule"
	"github.com/deskstorm/deskstorm/runner/target"
	"github.com/deskstorm/deskstorm/runner/verdict"
)

// Config is the runner's configuration, read and without mistakes.
type Config struct {
	File     string        // where it was read from; empty: there is none, and all is as it is by default
	State    string        // the folder of what the runner keeps, absolute
	Targets  target.Config // none: no fault can be injected
	Limits   fault.Limits
	Probes   probes.Config
	Verdict  verdict.Objectives // what holds for experiments that say nothing else
	History  history.Config
	Influx   *influx.Config // nil: results do not go to InfluxDB
	Notify   notify.Config
	Schedule schedule.Config
}

const what = "deskstorm's configuration"

// Load reads the file. The error joins a *configfile.Error for each mistake.
func Load(path string) (Config, error) {
	// A watchdog works in another folder.
	path, err := filepath.Abs(path)
	if err != nil {
		return Config{}, fmt.Errorf("reading %s: %w", what, err)
	}
	r, root, err := configfile.Load(path, what)
	if err != nil {
		return Config{}, err
	}
	return read(r, root, path)
}

// Parse is Load of bytes; the name is the file's path.
func Parse(data []byte, name string) (Config, error) {
	r, root := configfile.Parse(data, name, what)
	return read(r, root, name)
}

// Default is the configuration of a machine that has no file: nothing may be broken, and what is kept is in the user's own folder.
func Default() (Config, error) { return Config{Limits: fault.DefaultLimits()}.withDefaults() }

func read(r *configfile.Reader, root ast.Node, path string) (Config, error) {
	c := Config{File: path, Limits: fault.DefaultLimits()}
	if root == nil {
		return Config{}, r.Err()
	}
	keys := c.Probes.Keys(r)
	maps.Copy(keys, configfile.Keys{
		"state":    r.Path(&c.State),
		"targets":  func(n ast.Node) { c.Targets = target.Read(r, n) },
		"limits":   func(n ast.Node) { c.Limits = fault.ReadLimits(r, n) },
		"verdict":  func(n ast.Node) { c.Verdict = verdict.ReadDefaults(r, n) },
		"history":  func(n ast.Node) { c.History = history.Read(r, n) },
		"influxdb": func(n ast.Node) { i := influx.Read(r, n); c.Influx = &i },
		"notify":   func(n ast.Node) { c.Notify = notify.Read(r, n) },
		"schedule": func(n ast.Node) { c.Schedule = schedule.Read(r, n) },
	})
	r.Mapping(root, keys)
	for i, j := range c.Schedule.Jobs {
		for k, name := range j.Notify {
			if !slices.Contains(c.Notify.Names(), name) {
				r.Wrong(r.Node(fmt.Sprintf("$.schedule.%s.notify[%d]", j.Name, k)), "the section notify has no receiver %q", name)
			}
		}
		if j.Notify == nil {
			c.Schedule.Jobs[i].Notify = c.Notify.Names()
		}
	}
	if err := r.Err(); err != nil {
		return Config{}, err
	}
	return c.withDefaults()
}

func (c Config) withDefaults() (Config, error) {
	if c.State == "" {
		dir, err := stateDir()
		if err != nil {
			return Config{}, err
		}
		c.State = dir
	}
	var err error
	if c.State, err = filepath.Abs(c.State); err != nil {
		return Config{}, fmt.Errorf("finding the state folder: %w", err)
	}
	if !c.History.Database.Given() {
		c.History = history.Default(filepath.Join(c.State, "history.db"))
	}
	return c, nil
}

// stateDir is where a user's programs keep what they know (XDG Base Directory Specification); of root, where services do (FHS 5.8).
func stateDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/deskstorm/runner", nil
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "deskstorm"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("finding the state folder: %w; name it by the key state of deskstorm.yaml", err)
	}
	return filepath.Join(home, ".local", "state", "deskstorm"), nil
}

// Find returns the configuration's path where none was given: deskstorm.yaml here, or /etc/deskstorm/deskstorm.yaml; empty if there
// is neither.
func Find() (string, error) {
	for _, path := range []string{"deskstorm.yaml", "/etc/deskstorm/deskstorm.yaml"} {
		_, err := os.Stat(path)
		if err == nil {
			return path, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("looking for the configuration: %w", err)
		}
	}
	return "", nil
}
