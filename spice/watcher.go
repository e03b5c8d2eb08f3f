package spice

import (
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"github.com/deskstorm/deskstorm/spice/pixel"
	"github.com/deskstorm/deskstorm/spice/wire"
)

const (
	// maxDrawing bounds a drawing's body that is kept to decode its pixels.
	maxDrawing = 16 << 20
	// maxPaint bounds the pixels of one drawing that a learning probe looks
	// at. A key changes less; what is larger is not the key. It is less than
	// what wire.Rect.Pixels says of a box too large to be counted.
	maxPaint = 64<<10 - 1
	// maxRecorded bounds the pixels that a learning probe keeps.
	maxRecorded = 1 << 20
	// maxPaints bounds the drawings that it keeps, because what they show is
	// found by comparing each with each. A desktop draws some hundred times a
	// second.
	maxPaints = 4096
)

// echoWatcher turns drawings into paints for a probe. Everything in it but
// undecoded belongs to the display channel's goroutine.
type echoWatcher struct {
	// area is what the probe looks at; empty is every drawing of at most
	// maxPaint pixels.
	area wire.Rect
	sink func(paint)
	// matched gets the arrival of the drawing that shows the key, once.
	matched chan time.Time

	body []byte
	pix  []uint32

	mu        sync.Mutex
	undecoded string // the encoding of the last drawing that could not be decoded
}

// watch makes a watcher that reports when the key shows, or no longer shows.
func (e *echo) watch(shown bool) *echoWatcher {
	w := &echoWatcher{area: e.box, matched: make(chan time.Time, 1)}
	done := false
	w.sink = func(p paint) {
		e.apply(p)
		if !done && e.matches(shown) {
			done = true
			w.matched <- p.at
		}
	}
	return w
}

// blind says in a loss what the probe could not see.
func (w *echoWatcher) blind() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.undecoded == "" {
		return ""
	}
	return fmt.Sprintf(" (drawings there were not decodable: %s)", w.undecoded)
}

// drawing reads the drawing's pixels if the probe looks at them.
func (w *echoWatcher) drawing(m *message, base wire.DrawBase) error {
	box := base.Box
	if w.area.Empty() {
		if box.Pixels() > maxPaint {
			return nil
		}
	} else {
		box = box.Intersect(w.area)
	}
	if box.Empty() || m.left > maxDrawing {
		return nil
	}
	body, err := m.bodyInto(w.body, maxDrawing)
	if err != nil {
		return err
	}
	if len(body) <= maxSmall {
		w.body = body
	}
	at := time.Now()
	pix, err := w.render(m.typ, body, box)
	if err != nil {
		return err
	}
	w.sink(paint{at: at, box: box, pix: pix})
	return nil
}

// render is what the drawing does to the pixels of box.
func (w *echoWatcher) render(typ uint16, body []byte, box wire.Rect) ([]uint32, error) {
	out := make([]uint32, box.Width()*box.Height())
	fill := func(v uint32) []uint32 {
		for i := range out {
			out[i] = v
		}
		return out
	}
	switch typ {
	case wire.MsgDisplayDrawBlackness:
		return fill(0), nil
	case wire.MsgDisplayDrawWhiteness:
		return fill(0xffffff), nil
	case wire.MsgDisplayDrawFill:
		f, err := wire.ParseDrawFill(body)
		if err != nil {
			return nil, err
		}
		if !f.Solid || f.Masked || f.Rop != wire.RopPut {
			return fill(unknown), nil
		}
		return clip(fill(f.Color), box, f.Clip), nil
	case wire.MsgDisplayDrawCopy:
		return w.renderCopy(body, box, out, fill)
	}
	return fill(unknown), nil
}

func (w *echoWatcher) renderCopy(body []byte, box wire.Rect, out []uint32, fill func(uint32) []uint32) ([]uint32, error) {
	c, err := wire.ParseDrawCopy(body)
	if err != nil {
		return nil, err
	}
	scaled := c.Source.Width() != c.Box.Width() || c.Source.Height() != c.Box.Height()
	if c.Image == 0 || c.Masked || c.Rop != wire.RopPut || scaled {
		return fill(unknown), nil
	}
	img, err := pixel.Decode(body, int(c.Image), maxDrawing/4, w.pix)
	var unsupported *pixel.UnsupportedError
	var format *pixel.FormatError
	switch {
	case errors.As(err, &unsupported), errors.Is(err, pixel.ErrTooLarge):
		w.mu.Lock()
		w.undecoded = err.Error()
		w.mu.Unlock()
		return fill(unknown), nil
	case errors.As(err, &format):
		return nil, &wire.Error{Offset: format.Offset, What: format.What}
	case err != nil:
		return nil, err
	}
	if len(img.Pix) <= maxPaint {
		w.pix = img.Pix
	}
	// box lies in the drawing's box; the image's part of it starts at the
	// source's corner.
	dx, dy := int(box.Left)-int(c.Box.Left)+int(c.Source.Left), int(box.Top)-int(c.Box.Top)+int(c.Source.Top)
	i := 0
	for y := range box.Height() {
		for x := range box.Width() {
			out[i] = unknown
			if sx, sy := x+dx, y+dy; sx >= 0 && sy >= 0 && sx < img.Width && sy < img.Height {
				out[i] = img.Pix[sy*img.Width+sx] & 0xffffff
			}
			i++
		}
	}
	return clip(out, box, c.Clip), nil
}

// clip keeps the pixels outside the clip's rectangles as they were.
func clip(pix []uint32, box wire.Rect, rects []wire.Rect) []uint32 {
	if rects == nil {
		return pix
	}
	clipped := make([]uint32, len(pix))
	for i := range clipped {
		clipped[i] = keep
	}
	w := box.Width()
	for _, r := range rects {
		in := box.Intersect(r)
		if in.Empty() {
			continue
		}
		for y := in.Top; y < in.Bottom; y++ {
			at := int(y-box.Top)*w + int(in.Left-box.Left)
			copy(clipped[at:at+in.Width()], pix[at:at+in.Width()])
		}
	}
	return clipped
}

// recorder keeps the paints of a learning probe.
type recorder struct {
	// news gets the arrival of the first paint after idleEnds that had not
	// been seen before it.
	news chan time.Time

	mu     sync.Mutex
	paints []paint
	pixels int
	idle   bool
	seed   maphash.Seed
	known  map[uint64]bool
}

func newRecorder() *recorder {
	return &recorder{news: make(chan time.Time, 1), idle: true, seed: maphash.MakeSeed(), known: map[uint64]bool{}}
}

func (r *recorder) watcher() *echoWatcher { return &echoWatcher{sink: r.add} }

func (r *recorder) add(p paint) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pixels += len(p.pix); r.pixels > maxRecorded || len(r.paints) == maxPaints {
		return
	}
	r.paints = append(r.paints, p)
	sum := maphash.Comparable(r.seed, p.box)
	for _, v := range p.pix {
		sum = sum*1099511628211 + uint64(v)
	}
	if r.idle {
		r.known[sum] = true
	} else if !r.known[sum] {
		select {
		case r.news <- p.at:
		default:
		}
	}
}

func (r *recorder) idleEnds() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.idle = false
}

// overwhelmed says in a loss that the screen changed more than was kept.
func (r *recorder) overwhelmed() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pixels > maxRecorded || len(r.paints) == maxPaints {
		return " (the screen changes too much to find one)"
	}
	return ""
}

func (r *recorder) taken() []paint {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.paints
}
