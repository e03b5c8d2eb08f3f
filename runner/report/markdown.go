package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/deskstorm/deskstorm/runner/verdict"
)

// maxRows keeps a summary short enough for a merge request's comment; the HTML report has all.
const maxRows = 50

// Markdown writes a summary, in GitHub's and GitLab's dialect.
func (r Report) Markdown(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s: %s\n\n", md(r.title()), words(r.Verdict.Outcome))
	fmt.Fprintf(&b, "**%s.**\n", md(sentence(r.Verdict.Reason)))
	if f := r.flaky(); f != "" {
		fmt.Fprintf(&b, "\n%s\n", md(f))
	}
	fmt.Fprintf(&b, "\nRun `%s`, %s, began %s, took %s.\n",
		code(r.Run.ID), md(r.Run.Trigger), moment(r.Run.Began), took(r.Run.Began, r.Run.Ended))

	table(&b, "Findings", []string{"result", "about", "finding", "value", "limit", "samples"}, func(row func(...string)) {
		for _, f := range r.findings() {
			result := resultWords(f.Result)
			if f.Result != verdict.Good && f.Result != verdict.Noted {
				result = "**" + result + "**"
			}
			row(result, checkWords(f.Check), md(described(f)), value(f), limit(f), samples(f))
		}
	})
	table(&b, "Faults", []string{"fault", "what", "injected", "undone"}, func(row func(...string)) {
		for _, f := range r.Run.Faults {
			row(md(f.Fault), md(f.What), moment(f.Injected), md(undone(f)))
		}
	})
	table(&b, "Activities", []string{"phase", "activity", "state", "took"}, func(row func(...string)) {
		for _, a := range r.activities() {
			row(md(a.Phase), md(a.Name), md(a.state()), lasting(a.Took))
		}
	})
	table(&b, "Versions", []string{"of", "version", "last night"}, func(row func(...string)) {
		for _, v := range r.versions() {
			row(md(v.Name), md(v.Version), md(v.Was))
		}
	})
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("writing the run %s as Markdown: %w", r.Run.ID, err)
	}
	return nil
}

// table writes a heading and a table, and neither if there are no rows.
func table(b *bytes.Buffer, heading string, columns []string, rows func(row func(...string))) {
	n := 0
	rows(func(cells ...string) {
		if n == 0 {
			fmt.Fprintf(b, "\n## %s\n\n| %s |\n|%s\n", heading, strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
		}
		if n++; n <= maxRows {
			fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
		}
	})
	if n > maxRows {
		fmt.Fprintf(b, "\n%d more are in the HTML report.\n", n-maxRows)
	}
}

// md is text that Markdown shows as it is: names and errors come from whoever wrote the experiment, and from the cloud.
func md(s string) string {
	return strings.NewReplacer("\\", "\\\\", "|", "\\|", "`", "\\`", "*", "\\*", "_", "\\_", "[", "\\[", "]", "\\]", "#", "\\#",
		"<", "&lt;", ">", "&gt;", "&", "&amp;", "~", "\\~").Replace(plain(s))
}

// code is text that stands in backquotes.
func code(s string) string {
	return strings.NewReplacer("`", "'", "|", " ", "<", " ", ">", " ").Replace(plain(s))
}

// sentence begins with a capital letter.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	first, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(first)) + s[size:]
}
