package notify

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/deskstorm/deskstorm/runner/record"
	"github.com/deskstorm/deskstorm/runner/verdict"
)

// Event is a run that has ended.
type Event struct {
	Run     record.Run
	Verdict verdict.Verdict
}

// message is what is told of an event. It is a webhook's JSON.
type message struct {
	Event      string         `json:"event"` // an outcome, "recovered", or "test"
	ID         string         `json:"id"`    // the same when it is sent again after a failure
	Experiment string         `json:"experiment"`
	Title      string         `json:"title,omitempty"`
	RunID      string         `json:"run_id"`
	Began      time.Time      `json:"began"`
	Ended      time.Time      `json:"ended"`
	Reason     string         `json:"reason"`
	Findings   []string       `json:"findings"` // what is not as it should be, at most maxFindings
	Flaky      *verdict.Flaky `json:"flaky,omitempty"`
	Runs       int            `json:"runs"`                // of the last Last runs, those that were to be told of
	Last       int            `json:"last"`                // as many as there are
	Silenced   int            `json:"silenced,omitempty"`  // alarms that were not sent since the last message
	URL        string         `json:"url,omitempty"`       // of the run's report
	Unhealthy  bool           `json:"unhealthy,omitempty"` // an alarm, and no recovery
}

// recovered is the event after an alarm.
const recovered = "recovered"

// maxFindings are as many as a telephone shows.
const maxFindings = 8

// maxText keeps one finding from filling a message: an error may hold a page of HTML.
const maxText = 300

func newMessage(page string, e Event) message {
	m := message{
		Event: string(e.Verdict.Outcome), ID: e.Run.ID, Experiment: text(e.Run.Experiment), Title: text(e.Run.Title), RunID: text(e.Run.ID),
		Began: e.Run.Began, Ended: e.Run.Ended, Reason: text(e.Verdict.Reason), Flaky: e.Verdict.Flaky, Findings: []string{},
	}
	for _, result := range []verdict.Result{verdict.Broken, verdict.Unsound, verdict.Bad, verdict.Undecided} {
		for _, f := range e.Verdict.With(result) {
			m.Findings = append(m.Findings, text(f.Text))
		}
	}
	m.Findings = slices.Clip(m.Findings[:min(len(m.Findings), maxFindings)])
	if page != "" {
		m.URL = strings.TrimSuffix(page, "/") + "/runs/" + e.Run.ID
	}
	return m
}

// text is one line of bounded length.
func text(s string) string {
	s = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || unicode.In(c, unicode.Cf) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if runes := []rune(s); len(runes) > maxText {
		return string(runes[:maxText]) + "…"
	}
	return s
}

// subject is the message in one line.
func (m message) subject() string {
	switch m.Event {
	case recovered:
		return m.Experiment + ": passed again"
	case string(verdict.NoVerdict):
		return m.Experiment + ": no verdict"
	case string(verdict.Failed):
		return m.Experiment + ": could not run"
	}
	return m.Experiment + ": " + m.Event
}

// lines are the message below its subject.
func (m message) lines() []string {
	var lines []string
	if m.Title != "" && m.Title != m.Experiment {
		lines = append(lines, m.Title)
	}
	lines = append(lines, m.Reason+".")
	for _, f := range m.Findings {
		if f != m.Reason {
			lines = append(lines, "- "+f)
		}
	}
	if m.Unhealthy && m.Last > 1 {
		lines = append(lines, fmt.Sprintf("%d of the last %d runs.", m.Runs, m.Last))
	}
	if f := m.Flaky; f != nil {
		lines = append(lines, fmt.Sprintf("It is flaky: %d of the last %d runs deviated, with %d changes, while no version changed.",
			f.Deviated, f.Runs, f.Changes))
	}
	if m.Silenced > 0 {
		lines = append(lines, fmt.Sprintf("%d alarms before this one were not sent.", m.Silenced))
	}
	lines = append(lines, fmt.Sprintf("Run %s, began %s.", m.RunID, m.Began.Format("2006-01-02 15:04 MST")))
	if m.URL != "" {
		lines = append(lines, m.URL)
	}
	return lines
}
