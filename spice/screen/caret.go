package screen

import (
	"math/rand/v2"
	"time"
)

// startCaret lets the caret blink, if it does not and somebody looks. Desktops
// that begin together do not blink together: their drawings would come in
// bursts, which real desktops have no reason for.
func (d *Desktop) startCaret(now time.Time) {
	if d.caretArmed || d.caret <= 0 || !d.watched() {
		return
	}
	d.caretArmed = true
	d.host.clock.at(now.Add(rand.N(d.caret)), d.blink)
}

func (d *Desktop) watched() bool {
	return d.session != nil && d.session.display != nil && d.session.picture.started
}

func (d *Desktop) blink() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.watched() {
		d.caretArmed = false
		return
	}
	d.caretShown = !d.caretShown && d.caret > 0
	t := &d.guest.text
	d.draw(cell{row: t.row, column: len(t.line), char: ' ', caret: d.caretShown})
	if d.caret <= 0 {
		d.caretArmed = false
		return
	}
	d.host.clock.at(time.Now().Add(d.caret), d.blink)
}
