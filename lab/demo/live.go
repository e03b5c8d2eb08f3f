package demo

import (
	"fmt"
	"math"
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

// barColumns is the length of the bars.
const barColumns = 40

// sparklineWidth is how many columns a history gets.
func (s style) sparklineWidth() int {
	return min(mostSparkline, max(leastSparkline, s.width-beforeSparkline))
}

// renderView is the live picture: lines without cursor movements.
func renderView(v view, s style) string {
	lines := []string{
		s.paint(sgrBold, "deskstorm demo") + ": " + heading(v.Plan),
		s.bar(v) + fmt.Sprintf("  %s of %s, %s", clock(v.Elapsed), clock(v.Plan.duration), doors(v)),
	}
	if !v.Begun {
		return s.fit(append(lines, "", "starting k6 and its thin clients"))
	}
	lines = append(lines, "people   "+s.people(v), "logins   "+loginText(v))
	if v.Pool != nil {
		lines = append(lines, "pool     "+s.pool(*v.Pool))
	}
	lines = append(lines,
		fmt.Sprintf("typing   %.0f keys/s, %s so far; desktops send %s/s, get %s/s",
			v.KeysPerSecond, number(v.Keys), size(v.ReceivedPerSecond), size(v.SentPerSecond)),
		"")
	lines = append(lines, s.timeTable(v)...)
	lines = append(lines, "")
	lines = append(lines, s.tripTable(v)...)
	return s.fit(append(lines, s.faultLines(v.Faults, s.height-len(lines))...))
}

// heading says what morning it is.
func heading(p plan) string {
	way := "broker, LDAP, pool and OpenStack"
	if p.path == PathCloud {
		way = "Keystone and Nova"
	}
	return fmt.Sprintf("a morning, %s by %s", count(p.people, "person", "people"), way)
}

// doors says until when people come.
func doors(v view) string {
	if v.Elapsed < v.Plan.arrivals {
		return "people come until " + clock(v.Plan.arrivals)
	}
	return "people came until " + clock(v.Plan.arrivals)
}

// bar shows how much of the shift is over; people come in its heavier part.
func (s style) bar(v view) string {
	column := func(d time.Duration) int { return int(barColumns * d / max(1, v.Plan.duration)) }
	done, coming := column(v.Elapsed), column(v.Plan.arrivals)
	return s.paint(sgrGreen, strings.Repeat("█", done)) +
		s.paint(sgrDim, strings.Repeat("▒", max(0, coming-done))+strings.Repeat("░", barColumns-max(done, coming)))
}

func (s style) alarm(text string, on bool) string {
	if on {
		return s.paint(sgrRed, text)
	}
	return text
}

// people says where they are.
func (s style) people(v view) string {
	var text string
	if v.Arrived > 0 {
		text = fmt.Sprintf("%s of %s came: %s logging in, ", number(v.Arrived), number(v.Plan.people), number(v.LoggingIn))
	}
	text += number(v.Working) + " at work"
	var troubles string
	if v.Failed > 0 {
		troubles += fmt.Sprintf(", %s failed", number(v.Failed))
	}
	if v.Ended > 0 {
		troubles += fmt.Sprintf(", %s thrown out", number(v.Ended))
	}
	if v.Home > 0 {
		text += fmt.Sprintf(", %s went home", number(v.Home))
	}
	return text + s.paint(sgrRed, troubles)
}

func loginText(v view) string {
	if math.IsNaN(v.Wait) {
		return "nobody yet"
	}
	now := fmt.Sprintf("%.1f a second", v.LoginsPerSecond)
	if v.Over == 0 {
		now = "none now"
	}
	return fmt.Sprintf("%s; from password to picture %s (median; p95 %s)", now, millis(v.Wait), millis(v.WaitP95))
}

func (s style) pool(p poolState) string {
	return s.alarm(fmt.Sprintf("%s ready", count(p.Ready, "desktop", "desktops")), p.Ready == 0) +
		fmt.Sprintf(", %d booting, %d assigned", p.Building, p.Assigned)
}

// timeTable says where the time of logins goes: a bar, and the parts in two columns.
func (s style) timeTable(v view) []string {
	over := ", last " + length(v.Over)
	if v.Over == 0 {
		over = ", all morning"
	}
	title := "where the time goes" + over
	head := fmt.Sprintf("%-10s%9s%9s%7s", "", "median", "p95", "share")
	lines := []string{
		s.paint(sgrDim, title+strings.Repeat(" ", max(2, barColumns-len(title)))) + s.shareBar(v),
		s.paint(sgrDim, head+"     "+head),
	}
	half := (len(v.Parts) + 1) / 2
	for i := range half {
		text := s.partText(v, i)
		if half+i < len(v.Parts) {
			text += "     " + s.partText(v, half+i)
		}
		lines = append(lines, text)
	}
	return lines
}

// partText is one part's row, the longest one's in bold.
func (s style) partText(v view, i int) string {
	p := v.Parts[i]
	text := fmt.Sprintf("%-10s%9s%9s%7s", p.Name, millis(p.Median), millis(p.P95), percent(p.Share))
	if i == v.Longest {
		return s.paint(sgrBold, text)
	}
	return text
}

// shareBar draws the parts' shares one after another. Those that are too short for their names come last, together.
func (s style) shareBar(v view) string {
	if v.Longest < 0 {
		return ""
	}
	var b strings.Builder
	drawn, sum, all := 0, 0., 0.
	for i, p := range v.Parts {
		all += p.Share
		columns := int(math.Round((sum+p.Share)*barColumns)) - drawn
		if columns < len("|"+p.Name) {
			continue
		}
		sum += p.Share
		drawn += columns
		text := segment(p.Name, columns)
		if i == v.Longest {
			text = s.paint(sgrBold, text)
		}
		b.WriteString(text)
	}
	rest := max(0, int(math.Round(all*barColumns))-drawn)
	name := "others"
	if rest < len("|"+name) {
		name = ""
	}
	return b.String() + segment(name, rest)
}

// segment is a part of a bar, with its border at the left.
func segment(name string, columns int) string {
	if columns == 0 {
		return ""
	}
	return "│" + name + strings.Repeat("─", columns-len("|"+name))
}

// tripTable says how typing feels.
func (s style) tripTable(v view) []string {
	lines := []string{
		s.paint(sgrDim, fmt.Sprintf("%-30s%10s%10s%7s   %s", "round trips, last "+length(v.Recent), "median", "p95", "lost", "p95 over time")),
	}
	for _, t := range v.Trips {
		lost := s.alarm(fmt.Sprintf("%7d", t.Lost), t.Lost > 0)
		lines = append(lines, fmt.Sprintf("%-8s%-22s%10s%10s%s   %s",
			t.Name, explained(t.Name), millis(t.Median), millis(t.P95), lost, s.paint(sgrGreen, sparkline(t.P95s))))
	}
	silent := fmt.Sprintf("%-50s", silentText(v.Silent))
	return append(lines, s.alarm(silent, v.Silent > 0)+fmt.Sprintf("%7s   ", "lost")+s.paint(sgrRed, sparkline(v.Lost)))
}

// silentText says how many desktops did not answer when they were last asked.
func silentText(n int) string {
	if n == 0 {
		return "all desktops answer"
	}
	return count(n, "desktop", "desktops") + " did not answer when last asked"
}

// faultLines are what was broken and whether it was noticed, as far as there is room: the last ones. Height 0 is any.
func (s style) faultLines(faults []faultView, room int) []string {
	var lines []string
	for _, f := range faults {
		lines = append(lines, s.fault(f))
	}
	if s.height > 0 && len(lines) > room {
		return lines[len(lines)-max(0, room):]
	}
	if s.height == 0 || len(lines) < room {
		lines = append([]string{""}, lines...)
	}
	return lines
}

func (s style) fault(f faultView) string {
	if f.Failed != nil {
		return "       " + failedText(f)
	}
	return fmt.Sprintf("%5s  %s: %s", clock(f.After), f.What, noticedText(f, s))
}

func failedText(f faultView) string {
	return fmt.Sprintf("could not be done: %s: %v", f.What, f.Failed)
}

func noticedText(f faultView, s style) string {
	if f.Unmet {
		return s.paint(sgrDim, "nobody met it")
	}
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
	fmt.Fprintf(&b, "%s  %s", clock(v.Elapsed), style{}.people(v))
	if v.Pool != nil {
		b.WriteString("  pool " + style{}.pool(*v.Pool))
	}
	if v.Longest >= 0 && v.Over > 0 {
		longest := v.Parts[v.Longest]
		fmt.Fprintf(&b, "  %.1f logins/s, %s (p95 %s), %s of it %s", v.LoginsPerSecond, millis(v.Wait), millis(v.WaitP95),
			percent(longest.Share), longest.Name)
	}
	fmt.Fprintf(&b, "  %.0f keys/s", v.KeysPerSecond)
	for _, t := range v.Trips {
		if !math.IsNaN(t.Median) {
			fmt.Fprintf(&b, "  %s %s", t.Name, millis(t.Median))
		}
	}
	fmt.Fprintf(&b, "  %s\n", silentText(v.Silent))
	return b.String()
}
