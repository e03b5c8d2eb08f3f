package screen

import "time"

const (
	// hungQueue is how many scan codes wait for a guest that does not take
	// them (PS2_QUEUE_SIZE in QEMU's hw/input/ps2.h); more are lost.
	hungQueue = 16

	// slowQueue is the same for a guest that is only late. It is a bound
	// against hostile clients, nobody types so fast.
	slowQueue = 4096

	// maxTyped bounds what Typed remembers, in bytes.
	maxTyped = 1024
)

// guest is the desktop's operating system.
type guest struct {
	keyboard keyboard
	text     text
	typed    []byte
	hung     bool
	queue    []arrived // in the order of due
	armed    bool      // the clock will look at queue
}

// arrived is a scan code on its way into the guest.
type arrived struct {
	due  time.Time
	code byte
}

// push hands the guest a scan code that came in at now.
func (d *Desktop) push(code byte, now time.Time) {
	g := &d.guest
	if n := len(g.queue); g.hung && n >= hungQueue || n >= slowQueue {
		return
	}
	due := now.Add(d.guestLatency)
	if n := len(g.queue); n > 0 && due.Before(g.queue[n-1].due) {
		due = g.queue[n-1].due // a latency made shorter lets no key overtake
	}
	g.queue = append(g.queue, arrived{due, code})
	d.pump(now)
}

// pump lets the guest take the scan codes that are due.
func (d *Desktop) pump(now time.Time) {
	g := &d.guest
	for !g.hung && len(g.queue) > 0 && !g.queue[0].due.After(now) {
		code := g.queue[0].code
		g.queue = g.queue[1:]
		d.take(g.keyboard.scan(code))
	}
	if len(g.queue) == 0 {
		g.queue = nil
		return
	}
	if !g.hung && !g.armed {
		g.armed = true
		d.host.clock.at(g.queue[0].due, d.pumpLater)
	}
}

func (d *Desktop) pumpLater() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.guest.armed = false
	d.pump(time.Now())
}

// take does what a keystroke asks for.
func (d *Desktop) take(s stroke) {
	g := &d.guest
	switch {
	case s.hangs:
		g.hung = true
		return
	case s.leds:
		d.setLights(g.keyboard.locks)
		return
	case s.char == 0:
		return
	}
	if len(g.typed) == maxTyped {
		g.typed = append(g.typed[:0], g.typed[maxTyped/2:]...)
	}
	g.typed = append(g.typed, s.char)

	t := &g.text
	row, column := t.row, len(t.line)
	switch s.char {
	case '\b':
		if column == 0 {
			return
		}
		t.line = t.line[:column-1]
		if d.caretShown {
			d.draw(cell{row: row, column: column, char: ' '})
		}
		d.draw(cell{row: row, column: column - 1, char: ' ', caret: d.caretShown})
		return
	case '\n':
		if d.caretShown {
			d.draw(cell{row: row, column: column, char: ' '})
		}
		d.newline()
	default:
		full := t.put(s.char)
		d.draw(cell{row: row, column: column, char: s.char})
		if full {
			d.newline()
		}
	}
	if d.caretShown {
		d.draw(cell{row: t.row, column: len(t.line), char: ' ', caret: true})
	}
}

func (d *Desktop) newline() {
	if d.guest.text.newline() {
		d.clearScreen()
	}
}
