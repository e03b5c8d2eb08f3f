package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Print writes a line for each result and the advice below it, in colour if wanted.
func Print(w io.Writer, found []Result, colour bool) error {
	width := 0
	for _, r := range found {
		width = max(width, len(r.Check))
	}
	var text strings.Builder
	for _, r := range found {
		level := fmt.Sprintf("%-4s", r.Level)
		if colour {
			level = paint(r.Level) + level + "\x1b[0m"
		}
		fmt.Fprintf(&text, "%s  %-*s  %s\n", level, width, r.Check, r.Found)
		for line := range strings.Lines(r.Advice) {
			fmt.Fprintf(&text, "%*s%s\n", width+8, "", strings.TrimSuffix(line, "\n"))
		}
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// PrintJSON writes {"level": the worst, "checks": [...]}.
func PrintJSON(w io.Writer, found []Result) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(struct {
		Level  Level    `json:"level"`
		Checks []Result `json:"checks"`
	}{Worst(found), found})
}

// paint returns the terminal's sequence for green, yellow or red.
func paint(l Level) string {
	switch l {
	case OK:
		return "\x1b[32m"
	case Warn:
		return "\x1b[33m"
	default:
		return "\x1b[31m"
	}
}
