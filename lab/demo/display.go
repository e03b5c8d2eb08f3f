package demo

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Control sequences of xterm and its kin: another screen, so that what stood on the terminal comes back; no cursor.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	eraseLine   = "\x1b[K"
	eraseBelow  = "\x1b[J"
)

const (
	redrawEvery = 500 * time.Millisecond // on a terminal
	lineEvery   = 5 * time.Second        // elsewhere
)

// display shows the run: as a picture that is drawn again and again on a terminal, as lines elsewhere. What it cannot
// write is lost; the summary will tell.
type display struct {
	out    io.Writer
	size   func() (int, int) // nil: no terminal
	colour bool

	last, lastLine time.Time
	told           map[string]bool // on lines: the faults that were told of, and whether as noticed
}

func newDisplay(o Options) *display {
	return &display{out: o.Out, size: o.Size, colour: o.Colour, told: map[string]bool{}}
}

// style is that of the summary: it may be as long as it wants.
func (d *display) style() style { return style{colour: d.colour} }

func (d *display) open() {
	if d.size != nil {
		fmt.Fprint(d.out, enterScreen)
	}
}

func (d *display) close() {
	if d.size != nil {
		fmt.Fprint(d.out, leaveScreen)
	}
}

// show shows the model if it is time.
func (d *display) show(m *model, now time.Time) {
	if d.size == nil {
		d.lines(m, now)
		return
	}
	if now.Sub(d.last) < redrawEvery {
		return
	}
	d.last = now
	width, height := d.size()
	s := style{width: width, height: height - 1, colour: d.colour}
	fmt.Fprint(d.out, home, eraseLines(renderView(m.view(now, s.sparklineWidth()), s)), eraseBelow)
}

// eraseLines lets each line overwrite what stood there. It erases before it writes: behind a line of full width the
// cursor still stands on its last character.
func eraseLines(text string) string {
	return eraseLine + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n"+eraseLine) + "\n"
}

// lines writes a line every few seconds, and one for each thing that happens.
func (d *display) lines(m *model, now time.Time) {
	if now.Sub(d.last) < redrawEvery {
		return
	}
	d.last = now
	v := m.view(now, 1)
	for _, f := range v.Faults {
		if _, told := d.told[f.What]; !told {
			d.told[f.What] = false
			if f.Failed != nil {
				fmt.Fprintf(d.out, "%s  %s\n", clock(v.Elapsed), failedText(f))
				continue
			}
			fmt.Fprintf(d.out, "%s  %s\n", clock(f.After), f.What)
		}
		if f.Noticed > 0 && !d.told[f.What] {
			d.told[f.What] = true
			fmt.Fprintf(d.out, "%s  noticed within %s: %s\n", clock(f.After+f.Noticed), seconds(f.Noticed), f.What)
		}
	}
	if now.Sub(d.lastLine) >= lineEvery {
		d.lastLine = now
		fmt.Fprint(d.out, renderLine(v))
	}
}
