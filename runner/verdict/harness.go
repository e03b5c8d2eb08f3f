package verdict

import (
	"cmp"
	"fmt"
	"time"

	"github.com/deskstorm/deskstorm/runner/record"
)

// k6's exit codes that say nothing against the load (go.k6.io/k6/v2/errext/exitcodes).
const (
	exitThresholds = 99  // a threshold of the script was crossed
	exitStopped    = 105 // by a signal
	exitMarked     = 110 // the script called test.fail
)

// harness judges whether what was measured can be relied on.
//
// Dropped iterations are a case of their own. k6 drops what is due while all its virtual users wait, and they wait because the cloud
// is slow: to call that no verdict would let the worst nights pass for want of one. There was less load than was asked for, so that
// what passed has not been shown; what failed failed under less, and stands. The machine's CPU, the clock and lost results are the
// harness's alone: whatever was measured under them may be their doing.
func harness(run record.Run, limits Harness) []Finding {
	var findings []Finding
	say := func(name string, result Result, format string, args ...any) {
		findings = append(findings, Finding{Check: CheckHarness, Name: name, Result: result, Text: fmt.Sprintf(format, args...)})
	}
	var iterations, dropped int64
	var cpu float64
	for _, g := range run.Generators {
		iterations += max(0, g.Iterations)
		dropped += max(0, g.Dropped)
		cpu = max(cpu, g.MachineCPU)
		who := fmt.Sprintf("the load generator of %q, segment %s", g.Activity, g.Segment)
		switch {
		case g.ExitCode == 0 || g.ExitCode == exitStopped && g.Stopped:
		case g.ExitCode == exitThresholds:
			findings = append(findings, Finding{
				Check: CheckScript, Name: g.Activity + ", " + g.Segment, Result: Bad, Text: who + ": a threshold of the script was crossed",
			})
		case g.ExitCode == exitMarked:
			findings = append(findings, Finding{
				Check: CheckScript, Name: g.Activity + ", " + g.Segment, Result: Bad, Text: who + ": the script marked the test as failed",
			})
		default:
			say("exit", Unsound, "%s ended with exit code %d (%s)", who, g.ExitCode, cmp.Or(g.ExitMeans, "unknown"))
		}
		if g.Lost != "" {
			say("results", Unsound, "%s lost results: %s", who, g.Lost)
		}
	}
	if cpu > limits.CPU {
		say("cpu", Unsound, "the load generators' machine was %s busy, above %s: it may have been the bottleneck; "+
			"generate less load, or more of it elsewhere", Share.Format(cpu), Share.Format(limits.CPU))
	}
	if jump := run.Clock.Jump.Abs(); jump > limits.ClockJump {
		say("clock", Unsound, "the clock jumped by %s, more than %s", jump.Round(time.Millisecond), limits.ClockJump)
	}
	due := iterations + dropped
	lost := 0.0
	if due > 0 {
		lost = float64(dropped) / float64(due)
	}
	if lost > limits.Dropped {
		say("dropped", Undecided, "%d of %d iterations were dropped (%s, more than %s): there was less load than was asked for; "+
			"what passed has not been shown", dropped, due, Share.Format(lost), Share.Format(limits.Dropped))
	}
	if len(run.Generators) > 0 && len(findings) == 0 {
		say("sound", Noted, "the machine was at most %s busy, %d of %d iterations were dropped, the clock moved by %s",
			Share.Format(cpu), dropped, due, run.Clock.Jump.Abs().Round(time.Millisecond))
	}
	return findings
}
