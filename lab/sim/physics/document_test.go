package physics_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/sim/physics"
)

const document = "../../../docs/lab-physics.md"

// TestDocument holds the figures of docs/lab-physics.md to what the model does. With DESKSTORM_WRITE_DOCS=1 it writes them.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile(document)
	require.NoError(t, err)
	doc := string(text)
	for _, table := range []struct {
		name string
		rows func(*testing.T) []string
	}{
		{"storms", stormRows}, {"overcommit", overcommitRows}, {"memory", memoryRows}, {"cpu", cpuRows}, {"extreme", extremeRows},
	} {
		want := strings.Join(table.rows(t), "\n")
		start, end := fmt.Sprintf("<!-- %s -->\n", table.name), "\n<!-- end -->"
		before, rest, ok := strings.Cut(doc, start)
		require.True(t, ok, "the document has no table %s", table.name)
		got, after, ok := strings.Cut(rest, end)
		require.True(t, ok, "table %s has no end", table.name)
		if os.Getenv("DESKSTORM_WRITE_DOCS") != "" {
			doc = before + start + want + end + after
			continue
		}
		require.Equal(t, want, got, "docs/lab-physics.md: DESKSTORM_WRITE_DOCS=1 go test ./lab/sim/physics -run TestDocument writes it")
	}
	if doc != string(text) {
		require.NoError(t, os.WriteFile(document, []byte(doc), 0o644))
	}
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.1f ms", 1000*d.Seconds()) }
func inSeconds(d time.Duration) string    { return fmt.Sprintf("%.1f s", d.Seconds()) }

func stormRows(t *testing.T) []string {
	rows := []string{
		"| at once | | boot p50 | all done | request p50 |",
		"|---|---|---|---|---|",
	}
	for _, measured := range measuredStorms {
		name := "all 16"
		if measured.limit > 0 {
			name = fmt.Sprint(measured.limit)
		}
		runs, m := storms(t, measured.limit)
		low, high := runs[0], runs[0]
		for _, r := range runs {
			low = storm{boot: min(low.boot, r.boot), all: min(low.all, r.all), latency: min(low.latency, r.latency)}
			high = storm{boot: max(high.boot, r.boot), all: max(high.all, r.all), latency: max(high.latency, r.latency)}
		}
		of := func(middle, low, high time.Duration, print func(time.Duration) string) string {
			return fmt.Sprintf("%s (%s-%s)", print(middle), strings.Fields(print(low))[0], print(high))
		}
		rows = append(rows,
			fmt.Sprintf("| %s | measured | %s | %s | %s |", name, inSeconds(measured.boot), inSeconds(measured.all), milliseconds(measured.latency)),
			fmt.Sprintf("| | model | %s | %s | %s |", of(m.boot, low.boot, high.boot, inSeconds), of(m.all, low.all, high.all, inSeconds),
				of(m.latency, low.latency, high.latency, milliseconds)))
	}
	return rows
}

func overcommitRows(t *testing.T) []string {
	rows := []string{
		"| | | started | alive | first kill | MiB used at the end |",
		"|---|---|---|---|---|---|",
	}
	c := physics.Calibrated()
	row := func(name, who string, started, alive, first int, used float64) {
		at := "none"
		if first > 0 {
			at = fmt.Sprintf("guest %d, %d %% committed", first, first*25)
		}
		rows = append(rows, fmt.Sprintf("| %s | %s | %d | %d | %s | %.0f |", name, who, started, alive, at, used))
	}
	for _, run := range []struct {
		name                  string
		ksm                   bool
		guest                 physics.Desktop
		started, alive, first int // measured
		used                  float64
	}{
		{"no KSM", false, c.EqualGuest, 5, 3, 4, 769},
		{"equal pages, KSM", true, c.EqualGuest, 8, 8, 0, 161},
		{"unequal pages, KSM", true, c.UnequalGuest, 6, 4, 5, 1002},
	} {
		_, o := runOvercommit(t, run.ksm, run.guest, 8)
		row(run.name, "measured", run.started, run.alive, run.first, run.used)
		row("", "model", o.started, o.alive, o.firstKill, o.used)
	}
	m, o := runOvercommit(t, true, c.EqualGuest, 6)
	require.NoError(t, m.Unmerge("host"))
	o.read(t, m)
	return append(rows,
		"| equal pages, un-merged | measured | 6 | 4 | at once, 2 kills | 1004 |",
		fmt.Sprintf("| | model | %d | %d | at once, %d kills | %.0f |", o.started, o.alive, o.kills, o.used))
}

func memoryRows(t *testing.T) []string {
	rows := []string{
		"| ratio | desktops | memory used at most | swap used at most | swap | first kill | kills | the host |",
		"|---|---|---|---|---|---|---|---|",
	}
	c := physics.Calibrated()
	when := func(d time.Duration) string {
		if d == 0 {
			return "-"
		}
		return fmt.Sprintf("%.1f h", d.Hours())
	}
	for _, ratio := range []float64{1, 1.1, 1.2, 1.3, 1.4, 1.5} {
		r := runShift(t, 1, c.Host, desktopsAt(ratio))
		end := "lives"
		if r.died > 0 {
			end = "dies after " + when(r.died)
		}
		rows = append(rows, fmt.Sprintf("| 1:%.1f | %d | %.1f GiB | %.1f GiB | %s | %s | %d | %s |", ratio, desktopsAt(ratio), r.used/1024,
			r.swap/1024, when(r.swapped), when(r.firstKill), r.kills, end))
	}
	return rows
}

func cpuRows(t *testing.T) []string {
	rows := []string{
		"| ratio | wanted, of 48 CPUs | reply | longer than at 1:1 | CPU pressure |",
		"|---|---|---|---|---|",
	}
	_, best := runCPU(t, 1)
	for _, ratio := range []float64{1, 1.5, 1.75, 2, 2.5, 3, 4} {
		h, d := runCPU(t, ratio)
		rows = append(rows, fmt.Sprintf("| 1:%g | %.1f | %s | %.0f %% | %.2f |", ratio, h.Load, milliseconds(d.Reply),
			100*(d.Reply.Seconds()/best.Reply.Seconds()-1), h.CPUPressure))
	}
	return rows
}

func extremeRows(t *testing.T) []string {
	rows := []string{
		"| disks | at once | boot p50 | request | all done | disk busy |",
		"|---|---|---|---|---|---|",
	}
	c := physics.Calibrated()
	minutes := func(d time.Duration) string { return fmt.Sprintf("%.1f min", d.Minutes()) }
	for _, run := range []struct {
		name  string
		disk  physics.Disk
		limit int
	}{
		{"2 SATA, RAID 1", c.Slow, 0}, {"2 SATA, RAID 1", c.Slow, 2}, {"8 at 15,000 rpm, RAID 10", c.Host.Disk, 0}, {"8 at 15,000 rpm, RAID 10", c.Host.Disk, 6},
	} {
		s := extreme(t, run.disk, run.limit)
		at := "all 25"
		if run.limit > 0 {
			at = fmt.Sprint(run.limit)
		}
		rows = append(rows, fmt.Sprintf("| %s | %s | %s | %s | %s | %.0f %% |", run.name, at, minutes(s.boot), milliseconds(s.latency), minutes(s.all), 100*s.busiest))
	}
	return rows
}
