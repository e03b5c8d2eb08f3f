package report

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"golang.org/x/term"

	"github.com/deskstorm/deskstorm/runner/verdict"
)

// Colours says whether a file is a terminal that takes colours (https://no-color.org).
func Colours(f *os.File) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}

// Text writes the run for a terminal.
func (r Report) Text(w io.Writer, colours bool) error {
	paint := func(o verdict.Result, s string) string {
		if !colours {
			return s
		}
		colour := "36" // cyan
		switch o {
		case verdict.Good:
			colour = "32"
		case verdict.Bad, verdict.Broken:
			colour = "31"
		case verdict.Undecided, verdict.Unsound:
			colour = "33"
		}
		return "\x1b[" + colour + "m" + s + "\x1b[0m"
	}
	var b bytes.Buffer
	result := map[verdict.Outcome]verdict.Result{
		verdict.Passed: verdict.Good, verdict.Deviated: verdict.Bad, verdict.NoVerdict: verdict.Undecided, verdict.Failed: verdict.Broken,
	}[r.Verdict.Outcome]
	fmt.Fprintf(&b, "%s  %s\n", paint(result, strings.ToUpper(words(r.Verdict.Outcome))), plain(r.title()))
	fmt.Fprintf(&b, "  %s\n", plain(r.Verdict.Reason))
	if f := r.flaky(); f != "" {
		fmt.Fprintf(&b, "  %s\n", paint(verdict.Undecided, f))
	}
	fmt.Fprintf(&b, "  run %s, %s, took %s\n\n", plain(r.Run.ID), moment(r.Run.Began), took(r.Run.Began, r.Run.Ended))
	for _, a := range r.activities() {
		is := verdict.Good
		if a.Failed > 0 {
			is = verdict.Bad
		}
		fmt.Fprintf(&b, "  %s  %-18s %s (%s)\n", paint(is, mark(is)), plain(a.Phase), plain(a.Name), lasting(a.Took))
		if a.Failed > 0 {
			fmt.Fprintf(&b, "      %-18s %s\n", "", plain(strings.TrimSuffix(a.state()+": "+a.Error, ": ")))
		}
		if r.Run.DryRun && a.Kind == "action" {
			for _, line := range planned(a.Output) {
				fmt.Fprintf(&b, "        %s\n", plain(line))
			}
		}
	}
	if len(r.Run.Faults) > 0 {
		b.WriteByte('\n')
	}
	for _, f := range r.Run.Faults {
		is, end := verdict.Good, "undone "
		if f.Undone.IsZero() {
			is, end = verdict.Broken, ""
		}
		fmt.Fprintf(&b, "  %s  %-18s %s: %s\n", paint(is, mark(is)), plain(f.Fault), plain(f.What), end+plain(undone(f)))
	}
	b.WriteByte('\n')
	for _, f := range r.findings() {
		fmt.Fprintf(&b, "  %s  %-18s %s\n", paint(f.Result, mark(f.Result)), checkWords(f.Check), plain(described(f)))
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("writing the run %s: %w", r.Run.ID, err)
	}
	return nil
}

// mark is a result for those who see no colours.
func mark(r verdict.Result) string {
	switch r {
	case verdict.Good:
		return "ok"
	case verdict.Bad, verdict.Broken:
		return "XX"
	case verdict.Undecided, verdict.Unsound:
		return "??"
	}
	return "--"
}

// plain is text without what a terminal would obey.
func plain(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || unicode.In(c, unicode.Cf) {
			return ' '
		}
		return c
	}, s)
}
