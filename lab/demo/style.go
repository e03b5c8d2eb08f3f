package demo

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// style is what a text may be: its size, and whether it may have colours.
type style struct {
	width, height int // 0: any
	colour        bool
}

// SGR sequences of ECMA-48.
const (
	sgrReset = "\x1b[0m"
	sgrBold  = "\x1b[1m"
	sgrDim   = "\x1b[2m"
	sgrRed   = "\x1b[31m"
	sgrGreen = "\x1b[32m"
)

func (s style) paint(sgr, text string) string {
	if !s.colour || text == "" {
		return text
	}
	return sgr + text + sgrReset
}

// cut shortens a line to the width; escape sequences take no column.
func (s style) cut(line string) string {
	if s.width <= 0 {
		return line
	}
	columns := 0
	for i := 0; i < len(line); {
		if strings.HasPrefix(line[i:], "\x1b[") {
			i += strings.IndexByte(line[i:], 'm') + 1
			continue
		}
		if columns == s.width {
			if s.colour {
				return line[:i] + sgrReset
			}
			return line[:i]
		}
		_, size := utf8.DecodeRuneInString(line[i:])
		i += size
		columns++
	}
	return line
}

// fit cuts lines to the size and joins them.
func (s style) fit(lines []string) string {
	if s.height > 0 && len(lines) > s.height {
		lines = lines[:s.height]
	}
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(strings.TrimRight(s.cut(l), " "))
		b.WriteByte('\n')
	}
	return b.String()
}

// millis writes a duration of milliseconds with the figures that matter, "-" for NaN.
func millis(ms float64) string {
	switch {
	case math.IsNaN(ms):
		return "-"
	case ms < 9.995:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 99.95:
		return fmt.Sprintf("%.1f ms", ms)
	case ms < 9999.5:
		return fmt.Sprintf("%.0f ms", ms)
	default:
		return fmt.Sprintf("%.1f s", ms/1000)
	}
}

// size writes a number of bytes, or bytes a second, by powers of 1000.
func size(bytes float64) string {
	for _, unit := range []string{"B", "kB", "MB"} {
		if bytes < 999.5 {
			if unit == "B" || bytes >= 99.95 {
				return fmt.Sprintf("%.0f %s", bytes, unit)
			}
			return fmt.Sprintf("%.1f %s", bytes, unit)
		}
		bytes /= 1000
	}
	return fmt.Sprintf("%.1f GB", bytes)
}

// number writes a whole number in groups of three.
func number[T ~int | ~int64](n T) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// clock writes minutes and seconds.
func clock(d time.Duration) string {
	s := int(d.Seconds())
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// length writes a duration in seconds, with a tenth where there is one.
func length(d time.Duration) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", d.Seconds()), ".0") + " s"
}

// sparkline draws numbers from 0 to their greatest, a column each; NaN is a blank.
func sparkline(values []float64) string {
	const bars = "▁▂▃▄▅▆▇█"
	top := 0.0
	for _, v := range values {
		if v > top {
			top = v
		}
	}
	levels := []rune(bars)
	var b strings.Builder
	for _, v := range values {
		switch {
		case math.IsNaN(v):
			b.WriteByte(' ')
		case top == 0:
			b.WriteRune(levels[0])
		default:
			b.WriteRune(levels[min(len(levels)-1, int(v/top*float64(len(levels))))])
		}
	}
	return b.String()
}

// percent writes a share from 0 to 1.
func percent(share float64) string {
	if share > 0 && share < 0.01 {
		return "<1 %"
	}
	return fmt.Sprintf("%.0f %%", 100*share)
}
