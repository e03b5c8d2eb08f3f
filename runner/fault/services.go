package fault

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/deskstorm/deskstorm/internal/configfile"
	"github.com/deskstorm/deskstorm/runner/target"
)

// Service is how a service of a host is stopped and started where it is no systemd unit.
type Service struct {
	Start []string // fine when it runs already
	Stop  []string // fine when it does not run; empty: its process gets SIGTERM
	// PidFile is the file in which its daemon writes its process id, and Program the base name of the daemon's executable.
	PidFile string
	Program string
}

// ReadServices reads the section services: a service each, by its name.
func ReadServices(r *configfile.Reader, n ast.Node) map[string]Service {
	all := map[string]Service{}
	r.Entries(n, func(key ast.MapKeyNode, name string, n ast.Node) {
		var s Service
		r.Mapping(n, configfile.Keys{
			"start":    r.Texts(&s.Start),
			"stop":     r.Texts(&s.Stop),
			"pid_file": r.Text(&s.PidFile),
			"program":  r.Text(&s.Program),
		}, "start")
		path := n.GetPath()
		switch {
		case !isUnit(name):
			r.Wrong(key, "expected a name of letters, digits, dots, hyphens, underscores and @, found %q", name)
		case r.Has(path+".pid_file") != r.Has(path+".program"):
			r.Wrong(n, "expected pid_file and program together, found one of them")
		case len(s.Stop) == 0 && s.PidFile == "":
			r.Wrong(n, "expected stop, or pid_file and program")
		}
		all[name] = s
	})
	return all
}

// isUnit tells whether a name may be given to systemctl, and is no option of it.
func isUnit(name string) bool { return unit.MatchString(name) }

var unit = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._@:-]{0,127}$`)

// stop and start are the steps that stop and start a service.
func (r *request) stop(service string) target.Step {
	switch s, ok := r.Services[service]; {
	case !ok:
		return command("systemctl", "stop", service)
	case len(s.Stop) == 0:
		return s.signal("TERM")
	default:
		return command(s.Stop...)
	}
}

func (r *request) start(service string) target.Step {
	if s, ok := r.Services[service]; ok {
		return command(s.Start...)
	}
	return command("systemctl", "start", service)
}

// kill is the step that ends a service's processes as a crash would.
func (r *request) kill(service, signal string) (target.Step, error) {
	switch s, ok := r.Services[service]; {
	case !ok:
		return command("systemctl", "kill", "--signal", signal, service), nil
	case s.PidFile == "":
		return target.Step{}, fmt.Errorf("the service %s has no pid_file in the configuration, which says what to kill", service)
	default:
		return s.signal(signal), nil
	}
}

func (s Service) signal(signal string) target.Step {
	return target.Step{Signal: &target.Signal{PidFile: s.PidFile, Program: s.Program, Signal: signal}}
}

// mustRun refuses a service that does not run: nothing would be broken, and the undo would start what was not to run.
func (r *request) mustRun(ctx context.Context, service string) error {
	if !isUnit(service) {
		return wrong("service", "expected the name of a service, found %q", service)
	}
	look := shell(`systemctl is-active --quiet "$1" && echo runs || echo not`, service)
	s, configured := r.Services[service]
	switch {
	case configured && s.PidFile == "":
		return nil // nothing tells
	case configured:
		look = shell(`kill -0 "$(cat "$1")" 2>/dev/null && echo runs || echo not`, s.PidFile)
	default:
		if err := r.needs(ctx, "systemctl", "systemd, or say in the configuration's services how "+service+" is stopped and started"); err != nil {
			return err
		}
	}
	said, err := r.look(ctx, look)
	if err != nil {
		return fmt.Errorf("looking whether the service %s runs: %w", service, err)
	}
	if !slices.Contains(strings.Fields(said), "runs") {
		return fmt.Errorf("the service %s does not run: there is nothing to stop, and the undo would start it", service)
	}
	return nil
}
