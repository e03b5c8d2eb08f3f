package screen

import (
	"slices"
	"time"

	"github.com/deskstorm/deskstorm/spice/pixel"
	"github.com/deskstorm/deskstorm/spice/wire"
)

// picture is what the server knows of a client's screen.
type picture struct {
	started bool // INIT has come
	lz4     bool
	cleared bool   // the screen must be cleared before waiting is drawn
	waiting []cell // drawings held back by ACKs, one a cell at most
}

// cell is a character's place on the screen and what it shows there.
type cell struct {
	row, column int
	char        byte
	caret       bool
}

// msgcDisplayLast is SPICE_MSGC_DISPLAY_PREFERRED_VIDEO_CODEC_TYPE.
const msgcDisplayLast = 105

// onDisplay handles a message on display.
func (d *Desktop) onDisplay(c *channel, typ uint16, body []byte, now time.Time) error {
	p := &c.s.picture
	switch typ {
	case wire.MsgcDisplayInit:
		if len(body) < wire.DisplayInitSize {
			return errShort
		}
		if p.started {
			return errUnknown // only once
		}
		p.started = true
		_ = c.conn.SetReadDeadline(time.Time{})
		d.show(c)
		d.startCaret(now)
	case wire.MsgcDisplayPreferredCompression:
		if len(body) < 1 {
			return errShort
		}
		p.lz4 = body[0] == wire.CompressionLZ4 && c.caps.Has(wire.CapDisplayLZ4)
	default:
		if typ < wire.MsgcDisplayInit || typ > msgcDisplayLast {
			return errUnknown
		}
		// Video, of which there is none.
	}
	return nil
}

// show sends the screen as it is.
func (d *Desktop) show(c *channel) {
	c.unacked = 0 // as spice-server does after INIT
	width, height := uint32(d.config.Width), uint32(d.config.Height)
	c.send(wire.MsgDisplaySurfaceCreate, wire.SurfaceCreate{Width: width, Height: height, Format: wire.Surface32, Flags: wire.SurfacePrimary}.Append)
	d.sendClear(c)
	if t := &d.guest.text; len(t.line) > 0 {
		d.sendLine(c, t)
	}
	if c.caps.Has(wire.CapDisplayMonitorsConfig) {
		c.send(wire.MsgDisplayMonitorsConfig, func(b []byte) []byte { return wire.AppendMonitorsConfig(b, width, height) })
	}
	c.send(wire.MsgDisplayMark, func(b []byte) []byte { return b })
}

// draw shows a cell, now or when ACKs allow it.
func (d *Desktop) draw(cl cell) {
	if d.session == nil || d.session.display == nil || !d.session.picture.started {
		return
	}
	p := &d.session.picture
	i := slices.IndexFunc(p.waiting, func(w cell) bool { return w.row == cl.row && w.column == cl.column })
	if i >= 0 {
		p.waiting[i] = cl
	} else {
		p.waiting = append(p.waiting, cl)
	}
	d.drain()
}

// clearScreen shows a blank screen. What waited to be drawn is gone with it.
func (d *Desktop) clearScreen() {
	if d.session == nil || d.session.display == nil || !d.session.picture.started {
		return
	}
	p := &d.session.picture
	p.cleared, p.waiting = true, nil
	d.drain()
}

// drain sends what ACKs allow.
func (d *Desktop) drain() {
	c, p := d.session.display, &d.session.picture
	if p.cleared && !c.stalled() {
		p.cleared = false
		d.sendClear(c)
	}
	sent := 0
	for sent < len(p.waiting) && !c.stalled() {
		d.sendCell(c, p.waiting[sent])
		sent++
	}
	p.waiting = p.waiting[:copy(p.waiting, p.waiting[sent:])]
}

func (d *Desktop) sendClear(c *channel) {
	d.stats.Drawings++
	c.send(wire.MsgDisplayDrawFill, func(b []byte) []byte {
		return wire.AppendDrawFill(b, wire.DrawBase{Box: wire.Rect{Bottom: int32(d.config.Height), Right: int32(d.config.Width)}}, background)
	})
}

func (d *Desktop) sendCell(c *channel, cl cell) {
	var pix [CellWidth * CellHeight]uint32
	cellPixels(pix[:], cl.char, cl.caret)
	d.sendImage(c, cl.row, cl.column, pixel.Image{Width: CellWidth, Height: CellHeight, Pix: pix[:]})
}

// sendLine sends the caret's row, without the caret, in one drawing.
func (d *Desktop) sendLine(c *channel, t *text) {
	img := pixel.Image{Width: len(t.line) * CellWidth, Height: CellHeight}
	img.Pix = make([]uint32, img.Width*img.Height)
	for column, char := range t.line {
		var pix [CellWidth * CellHeight]uint32
		cellPixels(pix[:], char, false)
		for y := range CellHeight {
			copy(img.Pix[y*img.Width+column*CellWidth:], pix[y*CellWidth:][:CellWidth])
		}
	}
	d.sendImage(c, t.row, 0, img)
}

func (d *Desktop) sendImage(c *channel, row, column int, img pixel.Image) {
	d.stats.Drawings++
	left, top := column*CellWidth, row*CellHeight
	box := wire.Rect{
		Top: int32(top), Left: int32(left),
		Bottom: int32(top + img.Height), Right: int32(left + img.Width),
	}
	encode := pixel.EncodeBitmap
	if c.s.picture.lz4 {
		encode = pixel.EncodeLZ4
	}
	c.send(wire.MsgDisplayDrawCopy, func(b []byte) []byte {
		return encode(wire.AppendDrawCopy(b, wire.DrawBase{Box: box}), img)
	})
}
