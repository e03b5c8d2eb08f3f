package debian

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/deskstorm/deskstorm/lab/sim/directory"
	policy "github.com/deskstorm/deskstorm/lab/slapd"
)

// templates are the configuration files of all services, each at its place below the lab's etc.
//
//go:embed etc python
var templates embed.FS

// settings are what templates know.
type settings struct {
	Address, Etc, Data, Run, Log string
	Secrets                      secrets
	People                       directory.Config
	PolicyDN                     string
	LibvirtHost, VirtType        string
	CPURatio                     int
	User                         string // of As
}

// As is for sections that name a service's user in Keystone.
func (s settings) As(user string) settings {
	s.User = user
	return s
}

func (l *Lab) settings() settings {
	return settings{
		Address: l.Address, Etc: l.etc(), Data: l.data(), Run: l.run(), Log: l.logs(), Secrets: l.secrets, People: l.people,
		PolicyDN:    policy.PolicyDN(l.people.BaseDN),
		LibvirtHost: libvirtHost, VirtType: l.VirtType, CPURatio: cpuRatio,
	}
}

// writeFiles writes the lab's options, its passwords when there are none, and all configuration files.
func (l *Lab) writeFiles(context.Context) error {
	text, err := json.MarshalIndent(l.Options, "", "  ")
	if err == nil {
		err = os.WriteFile(l.path(optionsFile, nil), append(text, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("writing the lab's options: %w", err)
	}
	if err := l.loadSecrets(); err != nil {
		return err
	}
	sections, err := template.ParseFS(templates, "etc/sections.tmpl")
	if err != nil {
		return err
	}
	for _, tree := range []struct{ from, to string }{{"etc", l.etc()}, {"python", l.data("python")}} {
		err := fs.WalkDir(templates, tree.from, func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || path.Base(name) == "sections.tmpl" {
				return err
			}
			return l.writeFile(sections, name, filepath.Join(tree.to, strings.TrimPrefix(name, tree.from)))
		})
		if err != nil {
			return fmt.Errorf("writing the services' configuration: %w", err)
		}
	}
	return nil
}

// writeFile writes a file of the package to a path of the lab; a template is filled in and loses its ending.
func (l *Lab) writeFile(sections *template.Template, name, to string) error {
	text, err := templates.ReadFile(name)
	if err != nil {
		return err
	}
	to, filled := strings.CutSuffix(to, ".tmpl")
	if filled {
		t, err := template.Must(sections.Clone()).New(name).Option("missingkey=error").Parse(string(text))
		if err != nil {
			return err
		}
		var b strings.Builder
		if err := t.Execute(&b, l.settings()); err != nil {
			return err
		}
		text = []byte(b.String())
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o600)
}
