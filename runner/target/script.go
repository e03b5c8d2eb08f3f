package target

import (
	_ "embed"
	"fmt"
	"path"
	"strconv"
	"strings"
)

// quote makes one word of a text for a POSIX shell.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

func quoteAll(argv []string) string {
	words := make([]string, len(argv))
	for i, a := range argv {
		words[i] = quote(a)
	}
	return strings.Join(words, " ")
}

// The scripts take their arguments as variables that are set before them.
var (
	//go:embed start.sh
	startScript string
	//go:embed signal.sh
	signalScript string
)

// script is a step of a machine as a shell's script. A machine elsewhere runs it over SSH, or later by itself, when nobody can reach
// it any more; so there is one form of it.
func (m Machine) script(s Step) (script, stdin string, fine []int, err error) {
	switch {
	case s.Command != nil:
		return "exec " + quoteAll(m.inside(s.Command.Argv)), s.Command.Stdin, s.Command.Fine, nil
	case s.Start != nil:
		if !strings.HasPrefix(s.Start.PidFile, m.RunDir+"/") {
			return "", "", nil, fmt.Errorf("the pid file %s is not below the target's run_dir, %s", s.Start.PidFile, m.RunDir)
		}
		return "pidfile=" + quote(s.Start.PidFile) + "\ndir=" + quote(path.Dir(s.Start.PidFile)) +
			"\nset -- " + quoteAll(m.inside(s.Start.Argv)) + "\n" + startScript, "", nil, nil
	case s.Signal != nil:
		return "pidfile=" + quote(s.Signal.PidFile) + "\nprogram=" + quote(s.Signal.Program) +
			"\nsignal=" + quote(s.Signal.Signal) + "\n" + signalScript, "", nil, nil
	}
	return "", "", nil, fmt.Errorf("a machine cannot do this kind of step")
}

// inside is a command in the machine's network namespace.
func (m Machine) inside(argv []string) []string {
	if m.Namespace == "" {
		return argv
	}
	return append([]string{"nsenter", "--net=" + m.Namespace, "--"}, argv...)
}

// whole is a step as a script of its own that gives itself its input, is fine with the fine exit codes, and fails with others.
func (m Machine) whole(s Step) (string, error) {
	script, stdin, fine, err := m.script(s)
	if err != nil {
		return "", err
	}
	codes := "0"
	for _, f := range fine {
		codes += "|" + strconv.Itoa(f)
	}
	return "printf %s " + quote(stdin) + " | sh -c " + quote(script) + "\ncase $? in " + codes + ") ;; *) failed=1 ;; esac\n", nil
}
