package fault

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/deskstorm/deskstorm/runner/native"
	"github.com/deskstorm/deskstorm/runner/target"
)

// A service is stopped and started as the target's services in the configuration say, or by systemctl where they say nothing.

// isUnit tells whether a name may be given to systemctl, and is no option of it.
func isUnit(name string) bool { return unit.MatchString(name) }

var unit = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._@:-]{0,127}$`)

func (r *request) stop(service string) target.Step {
	if s, ok := r.services[service]; ok {
		return command(s.Stop...)
	}
	return command("systemctl", "stop", service)
}

func (r *request) start(service string) target.Step {
	if s, ok := r.services[service]; ok {
		return command(s.Start...)
	}
	return command("systemctl", "start", service)
}

// mustRun refuses a service that does not run, where systemd can tell: nothing would be broken, and the undo would start what was not to
// run. Of a configured service nothing tells.
func (r *request) mustRun(ctx context.Context, services ...string) error {
	for _, service := range services {
		if err := r.canStart(ctx, service); err != nil {
			return err
		}
		if _, configured := r.services[service]; configured {
			continue
		}
		said, err := r.look(ctx, shell(`systemctl is-active --quiet "$1" && echo runs || echo not`, service))
		if err != nil {
			return fmt.Errorf("looking whether the service %s runs: %w", service, err)
		}
		if !slices.Contains(strings.Fields(said), "runs") {
			return fmt.Errorf("the service %s does not run: there is nothing to stop, and the undo would start it", service)
		}
	}
	return nil
}

// canStart refuses a service that the undo could not start: nobody there would know how.
func (r *request) canStart(ctx context.Context, service string) error {
	if s, configured := r.services[service]; configured {
		return r.needs(ctx, s.Start[0], "it, or say in the target's services how "+service+" is started")
	}
	if !isUnit(service) {
		return fmt.Errorf("expected the name of a service, found %q", service)
	}
	return r.needs(ctx, "systemctl", "systemd, or say in the target's services how "+service+" is stopped and started")
}

// daemonParameters say which process is meant.
func daemonParameters() []native.Parameter {
	return []native.Parameter{
		{Name: "pid_file", Type: native.Text,
			Doc: "the file with the process id of the service's daemon; the processes that systemd knows if absent"},
		{Name: "program", Type: native.Text,
			Doc: "the base name of the daemon's executable, so that no other process is meant; with pid_file"},
	}
}

// daemon reads what daemonParameters says; of a daemon that does not run it says so.
func (r *request) daemon(ctx context.Context, service, signal string) (target.Step, error) {
	file, program := r.Text("pid_file", ""), r.Text("program", "")
	switch {
	case (file == "") != (program == ""):
		return target.Step{}, errors.New("say pid_file and program together")
	case file == "":
		if _, ok := r.services[service]; ok {
			return target.Step{}, native.Wrong("pid_file", "is missing: systemd does not know the configured service %s", service)
		}
		return command("systemctl", "kill", "--signal", signal, service), r.mustRun(ctx, service)
	case !path.IsAbs(file) || path.Clean(file) != file:
		return target.Step{}, native.Wrong("pid_file", "expected an absolute path")
	}
	if err := r.canStart(ctx, service); err != nil {
		return target.Step{}, err
	}
	const look = `exe=$(readlink "/proc/$(cut -d' ' -f1 "$1" 2>/dev/null | head -n1)/exe"); exe=${exe% (deleted)}; echo "${exe##*/}"`
	said, err := r.look(ctx, shell(look, file))
	if err != nil {
		return target.Step{}, fmt.Errorf("looking whether %s runs: %w", program, err)
	}
	if runs := strings.TrimSpace(said); runs != program {
		return target.Step{}, fmt.Errorf("the process of %s is %q and not %s: it does not run", file, runs, program)
	}
	return target.Step{Signal: &target.Signal{PidFile: file, Program: program, Signal: signal}}, nil
}
