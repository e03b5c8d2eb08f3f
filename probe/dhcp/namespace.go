package dhcp

import "github.com/deskstorm/deskstorm/internal/netspace"

// inNamespace is netspace.Do, which says which capability it lacks.
func inNamespace(path string, f func() error) error {
	if path != "" {
		if err := missing([]Capability{SysAdmin}); err != nil {
			return err
		}
	}
	return netspace.Do(path, f)
}
