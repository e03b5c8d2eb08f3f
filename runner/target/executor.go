package target

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/deskstorm/deskstorm/cloud"
)

// ErrGone is of a step whose object is no longer there, such as a server that was deleted: doing it again will not help, and an undo
// has nothing to undo.
var ErrGone = errors.New("it is not there any more")

// Targets carries out steps at the targets of a configuration. It connects when it is asked to, so that it can be made while targets
// are down. Its methods may be called by many goroutines at once.
type Targets struct {
	config   Config
	machines map[string]machineRunner
	webs     map[string]*web
	clouds   map[string]*stack
}

// New makes the executor of a configuration. It reads no secret and connects to nobody; what is wrong with a target's files is an
// error of its steps.
func New(c Config) *Targets {
	t := &Targets{config: c, machines: map[string]machineRunner{}, webs: map[string]*web{}, clouds: map[string]*stack{}}
	for name, target := range c {
		switch {
		case target.Local != nil:
			t.machines[name] = local{}
		case target.SSH != nil:
			t.machines[name] = &remote{config: *target.SSH}
		case target.HTTP != nil:
			t.webs[name] = &web{config: *target.HTTP}
		case target.Cloud != nil:
			t.clouds[name] = &stack{connect: target.Cloud.Lazy}
		}
	}
	return t
}

// machineRunner runs a shell's script on a machine.
type machineRunner interface {
	// run gives the script stdin, and returns the end of what it wrote and its exit code. The error is of a script that was not run to
	// its end.
	run(ctx context.Context, script, stdin string) (output string, code int, err error)
}

// Do does a step. Its output is at most 64 KiB, the last of it, and of an HTTP answer the first 4 MiB.
func (t *Targets) Do(ctx context.Context, s Step) (string, error) {
	output, err := t.do(ctx, s)
	if err != nil {
		return output, fmt.Errorf("%s: %w", s, err)
	}
	return output, nil
}

func (t *Targets) do(ctx context.Context, s Step) (string, error) {
	if err := s.Check(); err != nil {
		return "", err
	}
	target, ok := t.config[s.Target]
	if !ok {
		return "", t.config.unknown(s.Target)
	}
	switch {
	case s.HTTP != nil:
		if w := t.webs[s.Target]; w != nil {
			return w.do(ctx, s.HTTP)
		}
		return "", errors.New("the target is not of the kind http")
	case s.Server != nil:
		if c := t.clouds[s.Target]; c != nil {
			return c.do(ctx, s.Server)
		}
		return "", errors.New("the target is not of the kind cloud")
	}
	m, ok := target.Machine()
	if !ok {
		return "", errors.New("the target is neither of the kind local nor ssh")
	}
	script, stdin, fine, err := m.script(s)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, m.Step, fmt.Errorf("it took longer than %s", m.Step))
	defer cancel()
	return run(ctx, t.machines[s.Target], script, stdin, fine)
}

// run runs a script and makes an error of an exit code that is not fine.
func run(ctx context.Context, m machineRunner, script, stdin string, fine []int) (string, error) {
	output, code, err := m.run(ctx, script, stdin)
	if err == nil && (code == 0 || slices.Contains(fine, code)) {
		return output, nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return output, fmt.Errorf("%w%s", cause, said(output))
	}
	if err != nil {
		return output, err
	}
	return output, fmt.Errorf("exit code %d%s", code, said(output))
}

// said is the end of an output for an error's text.
func said(output string) string {
	const most = 400
	text := strings.Join(strings.Fields(strings.ToValidUTF8(output, "?")), " ")
	if text == "" {
		return ""
	}
	if len(text) > most {
		text = "..." + strings.ToValidUTF8(text[len(text)-most:], "")
	}
	return ": " + text
}

// Check says what is wrong with a step that no executor could do.
func (s Step) Check() error {
	kinds := 0
	for _, set := range []bool{s.Command != nil, s.HTTP != nil, s.Server != nil, s.Start != nil, s.Signal != nil} {
		if set {
			kinds++
		}
	}
	switch {
	case s.Target == "":
		return errors.New("a step names no target")
	case kinds != 1:
		return fmt.Errorf("a step has to be of exactly one kind, not of %d", kinds)
	case s.Command != nil && !goodArgv(s.Command.Argv):
		return errors.New("a command needs an argument vector without zero bytes")
	case s.HTTP != nil && (!methods.MatchString(s.HTTP.Method) || !strings.HasPrefix(s.HTTP.Path, "/")):
		return errors.New("a request needs a method, and a path that begins with /")
	case s.Server != nil && ((s.Server.ID == "") == (len(s.Server.IDs) == 0) || slices.Contains(s.Server.IDs, "") ||
		serverActions[s.Server.Action] == nil):
		return errors.New("a server's action needs its ID, or several, and is one of start, stop, reboot, delete")
	case s.Start != nil && (!goodArgv(s.Start.Argv) || !goodPath(s.Start.PidFile)):
		return errors.New("starting a program needs an argument vector without zero bytes and an absolute path for its pid file")
	case s.Signal != nil && (!goodPath(s.Signal.PidFile) || s.Signal.Program == "" || !signals[s.Signal.Signal]):
		return errors.New("a signal needs an absolute path of a pid file, a program, and is one of TERM, KILL, STOP, CONT, INT, HUP")
	}
	return nil
}

var (
	methods = regexp.MustCompile(`^[A-Z]+$`)
	signals = map[string]bool{"TERM": true, "KILL": true, "STOP": true, "CONT": true, "INT": true, "HUP": true}
)

func goodArgv(argv []string) bool {
	return len(argv) > 0 && argv[0] != "" && !strings.Contains(strings.Join(argv, ""), "\x00")
}

func goodPath(p string) bool {
	return path.IsAbs(p) && path.Clean(p) == p && !strings.Contains(p, "\x00")
}

// String says what a step does, without what it sends.
func (s Step) String() string {
	at := " at " + s.Target
	switch {
	case s.Command != nil:
		return "running " + shorten(strings.Join(s.Command.Argv, " ")) + at
	case s.HTTP != nil:
		return s.HTTP.Method + " " + shorten(s.HTTP.Path) + at
	case s.Server != nil && len(s.Server.IDs) > 0:
		return fmt.Sprintf("%s of %d servers", s.Server.Action, len(s.Server.IDs)) + at
	case s.Server != nil:
		return s.Server.Action + " server " + s.Server.ID + at
	case s.Start != nil:
		return "starting " + shorten(strings.Join(s.Start.Argv, " ")) + at
	case s.Signal != nil:
		return "sending SIG" + s.Signal.Signal + " to " + s.Signal.Program + at
	}
	return "a step" + at
}

func shorten(text string) string {
	const most = 120
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "..."
	}
	return text
}

// serverActions are what a Server step can do; each is fine with a server that is so already.
var serverActions = map[string]func(ctx context.Context, c *cloud.Cloud, s cloud.Server) error{
	"start": func(ctx context.Context, c *cloud.Cloud, s cloud.Server) error {
		if s.Status == "ACTIVE" {
			return nil
		}
		return c.StartServer(ctx, s.ID)
	},
	"stop": func(ctx context.Context, c *cloud.Cloud, s cloud.Server) error {
		if s.Status == "SHUTOFF" {
			return nil
		}
		return c.StopServer(ctx, s.ID)
	},
	"reboot": func(ctx context.Context, c *cloud.Cloud, s cloud.Server) error { return c.RebootServer(ctx, s.ID) },
	"delete": func(ctx context.Context, c *cloud.Cloud, s cloud.Server) error { return c.DeleteServer(ctx, s.ID) },
}

// settled is how long a server's own business, such as that it is just being stopped, is waited for before an action.
const settled = time.Minute
