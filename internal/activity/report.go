// Package activity is what a thin client tells the exporter of active users: how many input events there were, in what span of
// time, and how the thin client is. It never says which key was pressed or where the pointer was, and nothing in it names a
// person. Thin clients' agents, and load generators that move the same gauges, send reports with a Client.
package activity

import (
	"errors"
	"fmt"
	"time"
)

// Path is where an exporter takes reports, by POST.
const Path = "/v1/reports"

// Limits of a request. An exporter refuses what is beyond them.
const (
	MaxReports = 1000    // in a request
	MaxBody    = 1 << 20 // bytes of a request; a report with a state is some 500
	MaxName    = 64      // bytes of a client's, run's, site's, department's and version's name
	MaxEvents  = 1e6     // in a report; a mouse makes at most 1,000 a second
	MaxSpan    = time.Hour
)

// Report is what happened at one client in a span of time. Client, Run and Sequence identify it: it is counted once, however
// often it is sent.
type Report struct {
	Client   string `json:"client"`   // letters, digits, dot, hyphen, underscore, colon
	Run      string `json:"run"`      // new at each start of the reporter, whose sequence begins again: random
	Sequence uint64 `json:"sequence"` // from 1, one more each report

	From   time.Time `json:"from"`   // the span's begin
	To     time.Time `json:"to"`     // its end; From of the next report
	Events uint64    `json:"events"` // keys and buttons pressed, and movements of the pointer, in the span
	// LastInput is when the latest event was, also one before the span: an exporter that was restarted knows from it who is
	// active. Without it, To of a report with events is taken.
	LastInput time.Time `json:"last_input,omitzero"`

	Connected *bool `json:"connected,omitempty"` // whether the client shows a desktop; true, if left out
	Leaving   bool  `json:"leaving,omitempty"`   // the last report: the client is switched off, and its silence is no fault

	// Site and Department are used where the exporter has no inventory.
	Site       string `json:"site,omitempty"`
	Department string `json:"department,omitempty"`

	State *State `json:"state,omitempty"`
}

// State is how a client is. What a client cannot tell is left out.
type State struct {
	Version       string    `json:"version,omitempty"`               // of the agent
	Boot          time.Time `json:"boot,omitzero"`                   // when the client last booted
	Temperature   *float64  `json:"temperature_celsius,omitempty"`   // of its hottest sensor
	DiskFree      *float64  `json:"disk_free_ratio,omitempty"`       // 0 to 1, of its disk
	DisplayErrors uint64    `json:"display_client_errors,omitempty"` // of the program that shows the desktop, in the span
	Dropped       uint64    `json:"dropped_reports,omitempty"`       // that the agent lost since the one before
}

// Request is the body of a POST to Path.
type Request struct {
	Reports []Report `json:"reports"`
}

// Answer has a Result for each report, in the request's order. Refusals are problem details (RFC 9457) with the same member.
type Answer struct {
	Results []Result `json:"results"`
}

// Result is what became of a report.
type Result string

// All that can become of a report.
const (
	Accepted  Result = "accepted"
	Duplicate Result = "duplicate" // it was counted before
	Late      Result = "late"      // it ended longer ago than the exporter takes
	Future    Result = "future"    // it ends after now: the client's clock is wrong
	Unknown   Result = "unknown"   // the client is not in the exporter's inventory
	Forged    Result = "forged"    // the token is missing, or it does not speak for this client
	Malformed Result = "malformed" // it breaks the limits, or is no JSON
	Full      Result = "full"      // the exporter tracks as many clients as it may
)

// Results are all of them.
func Results() []Result {
	return []Result{Accepted, Duplicate, Late, Future, Unknown, Forged, Malformed, Full}
}

// Settled says whether sending the report again would change nothing. A client that is unknown today may be in the inventory
// tomorrow, and a token may be put right.
func (r Result) Settled() bool {
	switch r {
	case Unknown, Forged, Full:
		return false
	}
	return true
}

// Validate says what is wrong with the report in itself.
func (r *Report) Validate() error {
	switch {
	case !ValidName(r.Client):
		return errors.New("client: expected 1 to 64 letters, digits, dots, hyphens, underscores or colons")
	case !ValidName(r.Run):
		return errors.New("run: expected 1 to 64 letters, digits, dots, hyphens, underscores or colons")
	case r.Sequence == 0:
		return errors.New("sequence: expected a number from 1")
	case r.From.IsZero() || r.To.Before(r.From) || r.To.Sub(r.From) > MaxSpan:
		return fmt.Errorf("from, to: expected two times, the second at most %s after the first", MaxSpan)
	case r.Events > MaxEvents:
		return fmt.Errorf("events: expected at most %d", int(MaxEvents))
	case len(r.Site) > MaxName || len(r.Department) > MaxName:
		return errors.New("site, department: expected at most 64 bytes")
	}
	if s := r.State; s != nil {
		switch {
		case len(s.Version) > MaxName:
			return errors.New("state.version: expected at most 64 bytes")
		case s.DisplayErrors > MaxEvents || s.Dropped > MaxEvents:
			return fmt.Errorf("state: expected counts of at most %d", int(MaxEvents))
		case s.Temperature != nil && (*s.Temperature < -100 || *s.Temperature > 200):
			return errors.New("state.temperature_celsius: expected -100 to 200")
		case s.DiskFree != nil && (*s.DiskFree < 0 || *s.DiskFree > 1):
			return errors.New("state.disk_free_ratio: expected 0 to 1")
		}
	}
	return nil
}

// ValidName says whether a client or a run may be called so.
func ValidName(s string) bool {
	if s == "" || len(s) > MaxName {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '-', c == '_', c == ':':
		default:
			return false
		}
	}
	return true
}
