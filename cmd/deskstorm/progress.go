package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/deskstorm/deskstorm/runner"
	"github.com/deskstorm/deskstorm/runner/record"
)

// progressEvery is how often a run is looked at for the person who waits for it.
const progressEvery = 200 * time.Millisecond

// showProgress prints a line for each activity that begins and ends, until done is closed.
func showProgress(out io.Writer, run *runner.Run, done <-chan struct{}) {
	p := progress{out: out}
	fmt.Fprintf(out, "run %s: %s\n", run.ID, run.Experiment.Title)
	ticker := time.NewTicker(progressEvery)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			p.show(run.Outline())
			return
		case <-ticker.C:
			p.show(run.Outline())
		}
	}
}

type progress struct {
	out   io.Writer
	begun int
	ended map[int]bool
}

// show prints what has changed since the last time.
func (p *progress) show(run record.Run) {
	if p.ended == nil {
		p.ended = map[int]bool{}
	}
	for i, a := range run.Activities {
		if i >= p.begun {
			p.begun = i + 1
			fmt.Fprintf(p.out, "%s  %-10s %s\n", a.Began.Local().Format(time.TimeOnly), phaseWords(a.Phase), a.Name)
		}
		if a.Ended.IsZero() || p.ended[i] {
			continue
		}
		p.ended[i] = true
		switch {
		case a.Status != "succeeded":
			fmt.Fprintf(p.out, "%s  %-10s %s: %s: %s\n", a.Ended.Local().Format(time.TimeOnly), "", a.Name, a.Status, firstLine(a.Error))
		case a.ToleranceMet != nil && !*a.ToleranceMet:
			fmt.Fprintf(p.out, "%s  %-10s %s: not as it should be\n", a.Ended.Local().Format(time.TimeOnly), "", a.Name)
		}
	}
}

// phaseWords are a phase's name in a column.
func phaseWords(phase string) string {
	if before, after, ok := strings.Cut(phase, "-"); ok && before == "hypothesis" {
		return after
	}
	return phase
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
