package target

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	_ "embed"
)

// Arms says whether a target can be told to do steps later, by itself: another machine can.
func (t *Targets) Arms(target string) bool { return t.config[target].SSH != nil }

var (
	//go:embed arm.sh
	armScript string
	//go:embed disarm.sh
	disarmScript string
)

// Arm has a target do those of the steps that are its own, once after the time and again each 5 s until they succeed, unless Disarm
// comes before. The id becomes part of a file's name. The timer does not survive the machine's reboot.
func (t *Targets) Arm(ctx context.Context, target, id string, after time.Duration, steps []Step) error {
	s := t.config[target].SSH
	if s == nil {
		return fmt.Errorf("arming the undo at %s: the target is not of the kind ssh", target)
	}
	var undo strings.Builder
	undo.WriteString("failed=0\n")
	for _, step := range steps {
		if step.Target != target {
			continue
		}
		if err := step.Check(); err != nil {
			return fmt.Errorf("arming the undo at %s: %w", target, err)
		}
		script, err := s.whole(step)
		if err != nil {
			return fmt.Errorf("arming the undo at %s: %w", target, err)
		}
		undo.WriteString(script)
	}
	undo.WriteString("exit $failed\n")
	seconds := int((after + time.Second - 1) / time.Second)
	script := armFile(s.RunDir, id) + "seconds=" + strconv.Itoa(seconds) + "\n" + armScript
	if _, err := t.onMachine(ctx, s, target, script, remotePath+undo.String()); err != nil {
		return fmt.Errorf("arming the undo at %s: %w", target, err)
	}
	return nil
}

// Disarm takes back what Arm did, and says whether the target has done the steps already. What was never armed is fine.
func (t *Targets) Disarm(ctx context.Context, target, id string) (fired bool, err error) {
	s := t.config[target].SSH
	if s == nil {
		return false, fmt.Errorf("disarming the undo at %s: the target is not of the kind ssh", target)
	}
	output, err := t.onMachine(ctx, s, target, armFile(s.RunDir, id)+disarmScript, "")
	if err != nil {
		return false, fmt.Errorf("disarming the undo at %s: %w", target, err)
	}
	return strings.HasPrefix(output, "fired"), nil
}

func (t *Targets) onMachine(ctx context.Context, s *SSH, target, script, stdin string) (string, error) {
	if t.machines[target] == nil {
		return "", errors.New("there is no such machine")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.Step, fmt.Errorf("it took longer than %s", s.Step))
	defer cancel()
	return run(ctx, t.machines[target], script, stdin, nil)
}

func armFile(dir, id string) string {
	return "base=" + quote(path.Join(dir, "undo-"+path.Base(id))) + "\n"
}
