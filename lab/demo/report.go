package demo

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// labelWidth is the summary's left column.
const labelWidth = 16

// renderSummary is the summary for people, in lines of at most 80 columns where names allow.
func renderSummary(s *Summary, st style) string {
	r := report{style: style{colour: st.colour}}
	r.add("", "%s", r.heading(s))
	r.logins(s)
	r.keys(s)
	r.trips(s)
	r.losses(s)
	r.faults(s)
	r.costs(s)
	r.lines = append(r.lines, "", next(s))
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

func (r *report) heading(s *Summary) string {
	text := fmt.Sprintf("%.0f s: %s at %s desktops, profile %s",
		s.DurationSeconds, count(s.Clients, "thin client", "thin clients"), s.Desktops, s.Profile)
	if s.Interrupted {
		text += ", stopped early"
	}
	return r.style.paint(sgrBold, text)
}

func (r *report) logins(s *Summary) {
	r.gap()
	failed := 0
	for _, n := range s.FailedLogins {
		failed += n
	}
	r.add("logged in", "%s of %s", number(s.LoggedIn), number(s.Clients))
	if failed > 0 {
		var at []string
		for _, step := range slices.Sorted(maps.Keys(s.FailedLogins)) {
			at = append(at, fmt.Sprintf("%d at %s", s.FailedLogins[step], step))
		}
		r.add("", "%s", r.style.paint(sgrRed, fmt.Sprintf("%d could not: %s", failed, strings.Join(at, ", "))))
	}
	if s.Wait.Count == 0 {
		return
	}
	r.add("waiting", "A person waited %s for the desktop (median; p95 %s).", millis(s.Wait.Median), millis(s.Wait.P95))
	medians := map[string]float64{}
	for _, step := range s.Steps {
		medians[step.Step] = step.Median
	}
	r.add("", "Medians: %s.", stepList(medians))
}

func (r *report) keys(s *Summary) {
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
	for i, site := range s.Sites {
		what := ""
		if i == 0 {
			what = "key, seen on screen"
		}
		r.row("  site "+site.Site, what, site.Quantiles, site.Lost)
	}
}

func (r *report) row(label, what string, q Quantiles, lost int) {
	median, p95, p99 := "-", "-", "-"
	if q.Count > 0 {
		median, p95 = millis(q.Median), millis(q.P95)
	}
	if q.Count >= 100 { // of fewer it would be the worst one
		p99 = millis(q.P99)
	}
	r.add(label, "%-20s%10s%10s%10s%8s%6s", what, median, p95, p99, number(q.Count), number(lost))
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
			r.add("", "%s", r.style.paint(sgrRed, "not noticed: no probe met it, or the shift was over before"))
		default:
			r.add(label, "%s, after %.1f s", f.What, f.AfterSeconds)
			r.add("", "%s", r.style.paint(sgrGreen, fmt.Sprintf("noticed within %.1f s", *f.NoticedSeconds)))
		}
	}
}

func (r *report) costs(s *Summary) {
	r.gap()
	r.add("this machine", "k6 took %.1f s of CPU and %s of memory,", s.Harness.K6CPUSeconds, size(float64(s.Harness.K6MemoryBytes)))
	rest := "the desktops and this display"
	if s.Desktops == "QEMU" {
		rest = "this display"
	}
	r.add("", "%s %.1f s of CPU.", rest, s.Harness.DesktopsCPUSeconds)
	if s.FirstLoginSeconds > 0 {
		r.add("", "The first thin client was connected %.1f s after the start.", s.FirstLoginSeconds)
	}
}

// next says what to try next. shift.js lies in scenarios/.
func next(s *Summary) string {
	if s.Desktops == "QEMU" {
		return "Next, your own: deskstorm k6 run -e DESKSTORM_DESKTOPS=HOST:PORT shift.js"
	}
	return "Next, the same on real desktops under QEMU: deskstorm demo --kvm"
}
