package demo

import (
	"fmt"
	"math"
	"strings"
)

// labelWidth is the summary's left column.
const labelWidth = 16

// renderSummary is the summary for people, in lines of at most 80 columns where names allow.
func renderSummary(s *Summary, st style) string {
	r := report{style: style{colour: st.colour}}
	r.heading(s)
	r.people(s)
	r.parts(s)
	r.trips(s)
	r.sites(s)
	r.keys(s)
	r.losses(s)
	r.faults(s)
	r.costs(s)
	r.lines = append(append(r.lines, ""), strings.Split(next(s), "\n")...)
	return "\n" + r.style.fit(r.lines)
}

// report collects the summary's lines.
type report struct {
	style style
	lines []string
}

// add adds a line with a label at its left.
func (r *report) add(label, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if label != "" || len(r.lines) > 0 {
		text = fmt.Sprintf("%-*s", labelWidth, label) + text
	}
	r.lines = append(r.lines, text)
}

func (r *report) gap() { r.lines = append(r.lines, "") }

func (r *report) heading(s *Summary) {
	text := fmt.Sprintf("%s by %s to %s desktops, profile %s", count(s.Clients, "person", "people"), wayOf(s.Path), s.Desktops, s.Profile)
	if s.Interrupted {
		r.lines = append(r.lines,
			r.style.paint(sgrBold, fmt.Sprintf("%.0f s of %.0f s, stopped early:", math.Floor(s.ElapsedSeconds), s.DurationSeconds)),
			r.style.paint(sgrBold, text))
		return
	}
	r.lines = append(r.lines, r.style.paint(sgrBold, fmt.Sprintf("%.0f s: %s", s.DurationSeconds, text)))
}

// wayOf names a path, for people.
func wayOf(path string) string {
	if path == PathCloud {
		return "Keystone and Nova"
	}
	return "broker"
}

func (r *report) people(s *Summary) {
	coming := s.ArrivalsSeconds
	if s.Interrupted {
		coming = min(coming, math.Floor(s.ElapsedSeconds))
	}
	r.gap()
	r.add("logged in", "%s of %s, in %.0f s%s", number(s.LoggedIn), number(s.Clients), coming, r.out(s))
	for i, f := range s.Failures {
		label := ""
		if i == 0 {
			label = "failed"
		}
		at := "at " + f.Step
		if f.Step == "" {
			at = "before the first step"
		}
		if f.Metric == connectFailed {
			at = "connecting, " + at
		}
		class := ""
		if f.Class != "" {
			class = ": " + f.Class
		}
		r.add(label, "%s", r.style.paint(sgrRed, fmt.Sprintf("%s %s%s", count(f.Logins, "login", "logins"), at, class)))
	}
	if p := s.Pool; p != nil {
		r.add("pool", "at its emptiest %s ready; at most %d were assigned", count(p.LeastReady, "desktop was", "desktops were"), p.MostAssigned)
	}
}

// out says whether all logged out.
func (r *report) out(s *Summary) string {
	switch {
	case s.LoginsLeft > 0:
		return "; " + r.style.paint(sgrRed, number(s.LoginsLeft)+" stayed logged in")
	case s.LoggedIn > 0:
		return "; all logged out"
	}
	return ""
}

// parts say where each second of the waiting went.
func (r *report) parts(s *Summary) {
	if s.Wait.Count == 0 {
		return
	}
	r.gap()
	r.add("waiting", "%s from password to picture (median; p95 %s)", millis(s.Wait.Median), millis(s.Wait.P95))
	r.gap()
	r.add("where it went", "%-31s%9s%6s%9s%9s", "", "seconds", "share", "median", "p95")
	most := 0
	for i, p := range s.Parts {
		if p.Seconds > s.Parts[most].Seconds {
			most = i
		}
	}
	explained := parts(s.Path)
	for i, p := range s.Parts {
		line := fmt.Sprintf("%-31s%9.2f%6s%9s%9s", explained[i].explained, p.Seconds, percent(p.Share), known(p.Quantiles, p.Median), known(p.Quantiles, p.P95))
		if i == most {
			line = r.style.paint(sgrBold, line)
		}
		r.add("  "+p.Part, "%s", line)
	}
	r.add("  all", "%-31s%9.2f%6s%9s%9s", fmt.Sprintf("%s to the picture", count(s.Connected, "person", "people")), s.WaitSeconds, "100 %",
		millis(s.Wait.Median), millis(s.Wait.P95))
	r.add("", "Seconds are of all people together and add up. Medians and p95s")
	r.add("", "are of each part by itself, of those who had it, and do not.")
}

func (r *report) keys(s *Summary) {
	r.gap()
	r.add("typed", "%s keys, those of the measurements included.", number(s.Keys))
	switch received := s.KeysReceived; {
	case received == nil:
	case *received == int64(s.Keys):
		r.add("", "The desktops counted as many.")
	default:
		r.add("", "The desktops counted %s: %s.", number(*received), difference(*received-int64(s.Keys)))
	}
	if s.SessionSeconds > 0 {
		r.add("traffic", "%s from the desktops, %s to them;", size(float64(s.BytesReceived)), size(float64(s.BytesSent)))
		r.add("", "of one session: %s/s and %s/s.",
			size(float64(s.BytesReceived)/s.SessionSeconds), size(float64(s.BytesSent)/s.SessionSeconds))
	}
}

func difference(n int64) string {
	if n < 0 {
		return fmt.Sprintf("%s fewer than were sent", number(-n))
	}
	return fmt.Sprintf("%s more than k6 told of", number(n))
}

func (r *report) trips(s *Summary) {
	r.gap()
	r.add("round trips", "%-20s%10s%10s%10s%8s%6s", "", "median", "p95", "p99", "answers", "lost")
	for _, t := range s.Trips {
		r.row("  "+t.Trip, explained(t.Trip), t.Quantiles, t.Lost)
	}
}

// sites compare how long people waited and how typing felt, site by site.
func (r *report) sites(s *Summary) {
	if len(s.Sites) == 0 {
		return
	}
	r.gap()
	r.add("sites", "%8s%10s%10s%14s%10s%6s", "people", "waited", "p95", "key, seen", "p95", "lost")
	for _, one := range s.Sites {
		r.add("  "+one.Site, "%8s%10s%10s%14s%10s%6s", number(one.Wait.Count), known(one.Wait, one.Wait.Median), known(one.Wait, one.Wait.P95),
			known(one.Visible, one.Visible.Median), known(one.Visible, one.Visible.P95), number(one.Lost))
	}
}

// known writes a quantile, if there is one.
func known(q Quantiles, ms float64) string {
	if q.Count == 0 {
		return "-"
	}
	return millis(ms)
}

func (r *report) row(label, what string, q Quantiles, lost int) {
	p99 := "-"
	if q.Count >= 100 { // of fewer it would be the worst one
		p99 = millis(q.P99)
	}
	r.add(label, "%-20s%10s%10s%10s%8s%6s", what, known(q, q.Median), known(q, q.P95), p99, number(q.Count), number(lost))
}

func (r *report) losses(s *Summary) {
	for i, l := range s.Losses {
		label := ""
		if i == 0 {
			label = "lost"
		}
		var parts []string
		for _, trip := range trips() {
			if n := l.Lost[trip]; n > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", n, trip))
			}
		}
		while := "while, and just after, " + l.While
		if l.While == "" {
			while = "while nothing was broken"
		}
		r.add(label, "%s:", while)
		r.add("", "%s", strings.Join(parts, ", "))
	}
	for i, e := range s.Ended {
		label := ""
		if i == 0 {
			label = "thrown out"
		}
		r.add(label, "%s: %s", count(e.Sessions, "session", "sessions"), reason(e.Reason))
	}
}

// reason says in words why a session ended; the kinds are k6/x/vdi's.
func reason(kind string) string {
	switch kind {
	case "evicted":
		return "another client took the desktop over"
	case "gone":
		return "the desktop's server was gone"
	}
	return kind
}

func (r *report) faults(s *Summary) {
	if len(s.Faults) == 0 {
		return
	}
	r.gap()
	for i, f := range s.Faults {
		label := ""
		if i == 0 {
			label = "broken by demo"
		}
		switch {
		case f.Error != "":
			r.add(label, "%s: could not be done: %s", f.What, f.Error)
		case f.NoticedSeconds == nil:
			r.add(label, "%s, after %.1f s", f.What, f.AfterSeconds)
			r.add("", "%s", r.style.paint(sgrRed, "not noticed: "+f.NotNoticed))
		default:
			r.add(label, "%s, after %.1f s", f.What, f.AfterSeconds)
			r.add("", "%s", r.style.paint(sgrGreen, fmt.Sprintf("noticed within %.1f s", *f.NoticedSeconds)))
		}
	}
}

func (r *report) costs(s *Summary) {
	r.gap()
	r.add("this machine", "k6 took %.1f s of CPU and %s of memory,", s.Harness.K6CPUSeconds, size(float64(s.Harness.K6MemoryBytes)))
	r.add("", "all else, from LDAP to %s, %.1f s of CPU.", last(s), s.Harness.CloudCPUSeconds)
	if s.FirstPictureSeconds > 0 {
		r.add("", "The first person was at work %.1f s after the demo's start.", s.FirstPictureSeconds)
	}
}

// last is what of the cloud runs in this process and is farthest from people.
func last(s *Summary) string {
	if s.Desktops == "QEMU" {
		return "OpenStack"
	}
	return "the simulated desktops"
}

// next says what to try next. The script lies in scenarios/.
func next(s *Summary) string {
	switch {
	case s.Desktops == "QEMU":
		return "Next, your own:\ndeskstorm k6 run -e DESKSTORM_BROKER=URL -e DESKSTORM_USERS=CSV \\\n  scenarios/morning-shift.js"
	case s.Path == PathBroker:
		return "Next, the same morning the old way, with no broker: deskstorm demo --path cloud\n" +
			"and on real desktops under QEMU: deskstorm demo --kvm"
	}
	return "Next, the same on real desktops under QEMU: deskstorm demo --kvm"
}
