package verdict

import (
	"maps"

	"github.com/deskstorm/deskstorm/runner/record"
)

// Flaky says how an experiment went back and forth while nothing was changed.
type Flaky struct {
	Runs     int `json:"runs"` // this one and those before it, of the same versions, with a verdict
	Passed   int `json:"passed"`
	Deviated int `json:"deviated"`
	Changes  int `json:"changes"` // from one run to the next
}

// minChanges tells flaky from broken (one change) and from repaired or a bad night (two).
const minChanges = 3

// flaky counts the outcomes of the last runs with a verdict since the versions last changed.
func flaky(run record.Run, outcome Outcome, nights []Night, wanted int) *Flaky {
	nights = append(last(nights, wanted-1), Night{Outcome: outcome, Versions: run.Versions})
	var f Flaky
	var after Outcome
	for i := len(nights) - 1; i >= 0; i-- {
		n := nights[i]
		if !n.sound() {
			continue // this one
		}
		if !maps.Equal(n.Versions, run.Versions) {
			break
		}
		f.Runs++
		if n.Outcome == Passed {
			f.Passed++
		} else {
			f.Deviated++
		}
		if after != "" && after != n.Outcome {
			f.Changes++
		}
		after = n.Outcome
	}
	if f.Changes < minChanges {
		return nil
	}
	return &f
}
