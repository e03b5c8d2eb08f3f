package notify

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/runner/verdict"
)

// TestDecide: a run an hour; p passed, d deviated, n no verdict. What is said of each: A alarm, R recovery, - nothing.
func TestDecide(t *testing.T) {
	when := []verdict.Outcome{verdict.Deviated, verdict.Failed}
	for _, test := range []struct {
		name       string
		c          Receiver
		runs, said string
	}{
		{"each", Receiver{Of: Of{1, 1}, Recover: true}, "pddppd", "-AAR-A"},
		{"no recovery", Receiver{Of: Of{1, 1}}, "pddppd", "-AA--A"},
		{"two of three", Receiver{Of: Of{2, 3}, Recover: true}, "pdpdpppdd", "---AR---A"},
		{"one that passes is no recovery yet", Receiver{Of: Of{2, 3}, Recover: true}, "ddpdpp", "-A-AR-"},
		{"no verdict is neither", Receiver{Of: Of{1, 1}, Recover: true}, "dnnp", "A--R"},
		{"cooldown", Receiver{Of: Of{1, 1}, Recover: true, Cooldown: 3 * time.Hour}, "dddddp", "A--A-R"},
		{"cooldown, back and forth", Receiver{Of: Of{1, 1}, Recover: true, Cooldown: 3 * time.Hour}, "dpdpdp", "AR--AR"},
		{"at most two in four hours", Receiver{Of: Of{1, 1}, Recover: true, Most: Most{2, 4 * time.Hour}}, "dddddd", "AA--AA"},
		{"a recovery waits for its turn", Receiver{Of: Of{1, 1}, Recover: true, Most: Most{1, 3 * time.Hour}}, "dpppp", "A--R-"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.c.When = when
			var said strings.Builder
			var state told
			now := time.Date(2026, 11, 26, 2, 15, 0, 0, time.UTC)
			for i, c := range test.runs {
				outcome := map[rune]verdict.Outcome{'p': verdict.Passed, 'd': verdict.Deviated, 'n': verdict.NoVerdict}[c]
				run := fmt.Sprint("run", i)
				a, _ := state.decide(test.c, run, outcome, now)
				if a != nothing {
					state.sent(a, run, now)
				}
				said.WriteByte("-AR"[a])
				again, _ := state.decide(test.c, run, outcome, now)
				require.Equal(t, nothing, again, "the same run again says nothing")
				now = now.Add(time.Hour)
			}
			require.Equal(t, test.said, said.String())
		})
	}
}

// TestUndelivered: what did not arrive is told when the run is told of again, or at the next one.
func TestUndelivered(t *testing.T) {
	c := Receiver{When: []verdict.Outcome{verdict.Deviated}, Of: Of{2, 2}, Cooldown: time.Hour}
	var state told
	now := time.Date(2026, 11, 26, 2, 15, 0, 0, time.UTC)
	for i, want := range []action{nothing, alarm, alarm} {
		a, runs := state.decide(c, fmt.Sprint("run", i), verdict.Deviated, now)
		require.Equal(t, want, a)
		require.Equal(t, min(i+1, 2), runs)
		a, runs = state.decide(c, fmt.Sprint("run", i), verdict.Deviated, now)
		require.Equal(t, want, a)
		require.Equal(t, min(i+1, 2), runs, "the same run counts once")
	}
}
