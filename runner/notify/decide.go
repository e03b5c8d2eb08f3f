package notify

import (
	"slices"
	"time"

	"github.com/deskstorm/deskstorm/runner/verdict"
)

// told is what is remembered of a receiver and an experiment, as JSON.
type told struct {
	Recent   []seen      `json:"recent"`             // the last runs, the latest last
	Sent     []time.Time `json:"sent"`               // messages
	SentFor  string      `json:"sent_for,omitempty"` // the run of the last message
	Alarmed  time.Time   `json:"alarmed,omitzero"`
	Open     bool        `json:"open"`     // there was an alarm, and no recovery since
	Silenced int         `json:"silenced"` // alarms since the last message
}

// seen is a run, and whether it was to be told of.
type seen struct {
	Run string `json:"run"`
	Bad bool   `json:"bad"`
}

// maxSent bounds what is remembered of messages: as many as Most may count.
const maxSent = 1000

// What to do about a run.
type action int

const (
	nothing action = iota
	alarm
	recovery
)

// decide says what to do about a run, and counts it. One that is told of twice, because the runner died in between, counts once.
func (t *told) decide(c Receiver, run string, outcome verdict.Outcome, now time.Time) (a action, runs int) {
	again := len(t.Recent) > 0 && t.Recent[len(t.Recent)-1].Run == run
	if again {
		t.Recent = t.Recent[:len(t.Recent)-1]
	}
	bad := slices.Contains(c.When, outcome)
	t.Recent = append(t.Recent, seen{run, bad})
	t.Recent = t.Recent[max(0, len(t.Recent)-c.Of.Last):]
	for _, s := range t.Recent {
		if s.Bad {
			runs++
		}
	}
	switch {
	case t.SentFor == run:
	case bad && runs >= c.Of.Runs:
		if !t.full(c.Most, now) && (t.Alarmed.IsZero() || now.Sub(t.Alarmed) >= c.Cooldown) {
			return alarm, runs
		}
		if !again {
			t.Silenced++
		}
	// One that passes while enough of those before it did not is no recovery.
	case !bad && outcome == verdict.Passed && t.Open && runs < c.Of.Runs:
		if !c.Recover {
			t.Open, t.Silenced = false, 0
		} else if !t.full(c.Most, now) {
			return recovery, runs
		}
	}
	return nothing, runs
}

// full says whether no message may be sent for now.
func (t *told) full(m Most, now time.Time) bool {
	if m.Messages == 0 {
		return false
	}
	n := 0
	for _, at := range t.Sent {
		if now.Sub(at) < m.In {
			n++
		}
	}
	return n >= m.Messages
}

// sent remembers a message that has arrived.
func (t *told) sent(a action, run string, now time.Time) {
	t.SentFor = run
	t.Sent = append(t.Sent, now)
	t.Sent = t.Sent[max(0, len(t.Sent)-maxSent):]
	t.Silenced = 0
	t.Open = a == alarm
	if a == alarm {
		t.Alarmed = now
	}
}
