package sim

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/goccy/go-yaml"

	"github.com/deskstorm/deskstorm/lab/sim/keystone"
)

// The clouds of CloudsYAML.
const (
	AdminCloud = "sim"      // the administrator, in the project "desktops"
	UserCloud  = "sim-user" // a template: a user's name and password are to be filled in
)

// CloudsYAML is a clouds.yaml of the lab, as OpenStack's clients read it. It has the administrator's password.
func (l *Lab) CloudsYAML() []byte {
	type auth struct {
		URL           string `yaml:"auth_url"`
		User          string `yaml:"username"`
		Password      string `yaml:"password"`
		UserDomain    string `yaml:"user_domain_name"`
		Project       string `yaml:"project_name"`
		ProjectDomain string `yaml:"project_domain_name"`
	}
	type cloud struct {
		Auth    auth   `yaml:"auth"`
		Region  string `yaml:"region_name"`
		Version string `yaml:"identity_api_version"`
	}
	of := func(user, password, domain string) cloud {
		return cloud{auth{l.AuthURL, user, password, domain, Project, keystone.DefaultDomain}, Region, "3"}
	}
	text, err := yaml.Marshal(map[string]any{"clouds": map[string]cloud{
		AdminCloud: of(AdminUser, l.config.AdminPassword, keystone.DefaultDomain),
		UserCloud:  of("USER", "PASSWORD", UsersDomain),
	}})
	if err != nil {
		panic(fmt.Sprintf("clouds.yaml: %v", err)) // strings can be written
	}
	return text
}

// WriteCloudsYAML writes clouds.yaml into a directory, readable by its owner only, and returns its path.
func (l *Lab) WriteCloudsYAML(dir string) (string, error) {
	file := filepath.Join(dir, "clouds.yaml")
	if err := os.WriteFile(file, l.CloudsYAML(), 0o600); err != nil {
		return "", fmt.Errorf("writing the simulated cloud's credentials: %w", err)
	}
	return file, nil
}
