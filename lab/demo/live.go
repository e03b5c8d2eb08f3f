package demo

import (
	"fmt"
	"strings"
	"time"
)

// explained is what the round trips are, for people.
func explained(trip string) string {
	return map[string]string{
		"server":  "mouse, acknowledged",
		"guest":   "lock key, its light",
		"visible": "key, seen on screen",
	}[trip]
}

// Columns of the live picture before and after the sparklines.
const (
	beforeSparkline = 60
	leastSparkline  = 10
	mostSparkline   = 60
)

// sparklineWidth is how many columns a history gets.
func (s style) sparklineWidth() int {
	return min(mostSparkline, max(leastSparkline, s.width-beforeSparkline))
}

// renderView is the live picture: lines without cursor movements.
func renderView(v view, s style) string {
	lines := []string{
		s.paint(sgrBold, "deskstorm demo") + fmt.Sprintf(": %s, profile %s", count(v.Plan.clients, v.Plan.kind+" desktop", v.Plan.kind+" desktops"), v.Plan.profile),
		s.bar(v) + fmt.Sprintf("  %s of %s", clock(v.Elapsed), clock(v.Plan.duration)),
		"",
	}
	if !v.Begun {
		return s.fit(append(lines, "starting k6 and its thin clients"))
	}
	lines = append(lines,
		fmt.Sprintf("thin clients  %s of %s connected%s", number(v.Connected), number(v.Plan.clients), s.troubles(v)),
		"logging in    "+loginText(v),
		fmt.Sprintf("typing        %.0f keys/s, %s so far", v.KeysPerSecond, number(v.Keys)),
		fmt.Sprintf("traffic       %s/s from the desktops, %s/s to them", size(v.ReceivedPerSecond), size(v.SentPerSecond)),
		"",
		s.paint(sgrDim, fmt.Sprintf("%-30s%10s%10s%7s   %s", "round trips, last "+length(v.Recent), "median", "p95", "lost", "p95 over time")),
	)
	for _, t := range v.Trips {
		lost := s.alarm(fmt.Sprintf("%7d", t.Lost), t.Lost > 0)
		lines = append(lines, fmt.Sprintf("%-8s%-22s%10s%10s%s   %s",
			t.Name, explained(t.Name), millis(t.Median), millis(t.P95), lost, s.paint(sgrGreen, sparkline(t.P95s))))
	}
	silent := fmt.Sprintf("%-50s", silentText(v.Silent))
	lines = append(lines,
		s.alarm(silent, v.Silent > 0)+fmt.Sprintf("%7s   ", "lost")+s.paint(sgrRed, sparkline(v.Lost)), "")
	for _, f := range v.Faults {
		lines = append(lines, s.fault(f)...)
	}
	return s.fit(lines)
}

// silentText says how many desktops did not answer when they were last asked.
func silentText(n int) string {
	if n == 0 {
		return "all desktops answer"
	}
	return count(n, "desktop", "desktops") + " did not answer when last asked"
}

// bar shows how much of the shift is over.
func (s style) bar(v view) string {
	const columns = 40
	done := int(columns * v.Elapsed / max(1, v.Plan.duration))
	return s.paint(sgrGreen, strings.Repeat("█", done)) + s.paint(sgrDim, strings.Repeat("░", columns-done))
}

func (s style) alarm(text string, on bool) string {
	if on {
		return s.paint(sgrRed, text)
	}
	return text
}

// troubles are sessions that are not there.
func (s style) troubles(v view) string {
	var text string
	if v.FailedLogins > 0 {
		text += fmt.Sprintf(", %s could not log in", number(v.FailedLogins))
	}
	if v.Ended > 0 {
		text += fmt.Sprintf(", %s thrown out", number(v.Ended))
	}
	return s.paint(sgrRed, text)
}

func loginText(v view) string {
	if v.LoggedIn == 0 {
		return "nobody yet"
	}
	return fmt.Sprintf("%s (median): %s", millis(v.Wait), stepList(v.Steps))
}

// stepList writes the medians of a login's parts, in milliseconds.
func stepList(medians map[string]float64) string {
	var all []string
	for _, step := range steps() {
		text := strings.TrimSuffix(millis(medians[step]), " ms")
		if strings.HasSuffix(text, "s") { // too long for milliseconds
			text = fmt.Sprintf("%.0f", medians[step])
		}
		all = append(all, step+" "+text)
	}
	return strings.Join(all, ", ") + " ms"
}

// fault is what was broken and whether it was noticed, on two lines so that both fit 80 columns.
func (s style) fault(f faultView) []string {
	if f.Failed != nil {
		return []string{"       " + failedText(f)}
	}
	return []string{
		fmt.Sprintf("%5s  %s", clock(f.After), f.What),
		"       " + noticedText(f, s),
	}
}

func failedText(f faultView) string {
	return fmt.Sprintf("could not be done: %s: %v", f.What, f.Failed)
}

func noticedText(f faultView, s style) string {
	if f.Noticed == 0 {
		return s.paint(sgrDim, "not noticed yet")
	}
	return s.paint(sgrGreen, "noticed within "+seconds(f.Noticed))
}

// seconds writes a duration that is known to a tenth, upwards.
func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", round(d.Seconds())) }

// renderLine is the picture as one line, for what is no terminal.
func renderLine(v view) string {
	if !v.Begun {
		return "starting k6 and its thin clients\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %d of %d connected  %.0f keys/s ", clock(v.Elapsed), v.Connected, v.Plan.clients, v.KeysPerSecond)
	for _, t := range v.Trips {
		fmt.Fprintf(&b, " %s %s (p95 %s) ", t.Name, millis(t.Median), millis(t.P95))
	}
	fmt.Fprintf(&b, " %s  %s/s in, %s/s out\n",
		silentText(v.Silent), size(v.ReceivedPerSecond), size(v.SentPerSecond))
	return b.String()
}
