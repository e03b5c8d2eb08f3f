// Command reference writes the reference of all exporters' metrics, docs/exporter-metrics.md, from the families in the code.
package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/deskstorm/deskstorm/exporters"
)

const head = `# Metrics of the exporters

Written by ` + "`go generate ./exporters/...`" + ` from the code; what is changed here by hand is lost. Histograms are both classic (the
buckets below) and native. No label grows with users or desktops. Besides these there are client_golang's metrics of the process.
`

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: reference FILE")
		os.Exit(2)
	}
	var b strings.Builder
	write(&b)
	if err := os.WriteFile(os.Args[1], []byte(b.String()), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "writing the reference:", err)
		os.Exit(1)
	}
}

func write(w io.Writer) {
	io.WriteString(w, head)
	names, families := exporters.Families()
	for i, name := range names {
		fmt.Fprintf(w, "\n## %s\n\n| metric | type | labels | what it tells |\n|---|---|---|---|\n", name)
		for _, f := range families[i] {
			kind := string(f.Kind)
			if len(f.Buckets) > 0 {
				kind += ": " + strings.Trim(fmt.Sprint(f.Buckets), "[]")
			}
			labels := ""
			if len(f.Labels) > 0 {
				labels = "`" + strings.Join(f.Labels, "`, `") + "`"
			}
			fmt.Fprintf(w, "| `%s` | %s | %s | %s |\n", f.Name, kind, labels, strings.ReplaceAll(f.Help, "|", `\|`))
		}
	}
}
