package verdict

import (
	"time"

	"github.com/deskstorm/deskstorm/runner/record"
)

// Night is an earlier run of the experiment, in as few numbers as later ones are held against.
type Night struct {
	RunID    string            `json:"run_id"`
	Began    time.Time         `json:"began"`
	Outcome  Outcome           `json:"outcome"`
	Versions map[string]string `json:"versions"`
	Figures  []Figure          `json:"figures"`
}

// NightOf is what later runs are held against.
func NightOf(run record.Run, v Verdict) Night {
	return Night{RunID: run.ID, Began: run.Began, Outcome: v.Outcome, Versions: run.Versions, Figures: v.Figures}
}

// sound says whether what the night measured can be relied on.
func (n Night) sound() bool { return n.Outcome == Passed || n.Outcome == Deviated }

// last returns the last sound nights, at most as many as wanted, the latest last.
func last(nights []Night, wanted int) []Night {
	var sound []Night
	for _, n := range nights {
		if n.sound() {
			sound = append(sound, n)
		}
	}
	return sound[max(0, len(sound)-wanted):]
}

// nightly returns the last sound run of each night, from noon to noon by this machine's clock. An experiment that is run every quarter
// of an hour, or again and again by hand, is not to be held against itself of an hour ago. Runs of which it is not known when they
// began are each of a night of their own.
func nightly(runs []Night) []Night {
	var nights []Night
	var before string
	for _, n := range last(runs, len(runs)) {
		night := n.Began.Local().Add(-12 * time.Hour).Format(time.DateOnly)
		if len(nights) > 0 && night == before && !n.Began.IsZero() {
			nights = nights[:len(nights)-1]
		}
		nights, before = append(nights, n), night
	}
	return nights
}

// earlier are the sites at which the last sound night measured the same. Steps may be missing, where nobody needed them.
func earlier(m measured, nights []Night) []string {
	var sites []string
	for _, n := range last(nights, 1) {
		for _, f := range n.Figures {
			if f.Measure == m.measure && (m.objective.Step == "" || f.Step == m.objective.Step) {
				sites = append(sites, f.Site)
			}
		}
	}
	return sites
}
