package spice

import (
	"time"

	"github.com/deskstorm/deskstorm/spice/wire"
)

// Pixel values beyond 0x00RRGGBB.
const (
	// keep: the drawing leaves the pixel as it is.
	keep uint32 = 1 << 31
	// unknown: the pixel's value cannot be known.
	unknown uint32 = 1 << 30
	// unset: no value has been seen.
	unset uint32 = 1 << 29
)

// echoSide bounds the width and height of what a session keeps to recognise a
// key: a character of a large font.
const echoSide = 64

// paint is a drawing's effect on a box: pix has a value for each pixel, row by
// row.
type paint struct {
	at  time.Time
	box wire.Rect
	pix []uint32
}

// look is a stretch of time after a key. From settled to ends the screen is
// taken to show, or not to show, the key.
type look struct {
	shown                  bool
	pressed, settled, ends time.Time
}

// echo is how a key shows: the pixels of box that tell its presence, with
// their values when it is there and when it is not. Other pixels are unset in
// both.
type echo struct {
	box           wire.Rect
	shown, hidden []uint32
	now           []uint32
}

// matches tells whether the screen shows the key, or shows that it is absent.
func (e *echo) matches(shown bool) bool {
	want := e.hidden
	if shown {
		want = e.shown
	}
	for i, v := range want {
		if v != unset && e.now[i] != v {
			return false
		}
	}
	return true
}

// apply paints what of p lies in the box.
func (e *echo) apply(p paint) { stamp(e.now, e.box, p) }

// stamp paints p onto a canvas that covers box.
func stamp(canvas []uint32, box wire.Rect, p paint) {
	in := box.Intersect(p.box)
	w, pw := box.Width(), p.box.Width()
	for y := in.Top; y < in.Bottom; y++ {
		to := canvas[int(y-box.Top)*w+int(in.Left-box.Left):]
		from := p.pix[int(y-p.box.Top)*pw+int(in.Left-p.box.Left):]
		for x := range in.Width() {
			if from[x] != keep {
				to[x] = from[x]
			}
		}
	}
}

// learnEcho finds the pixels that follow the key through all looks. It returns
// nil if there are none.
func learnEcho(paints []paint, looks []look) *echo {
	var best *echo
	most := 0
	for _, area := range areas(paints) {
		if e, n := learnIn(area, paints, looks); n > most {
			best, most = e, n
		}
	}
	return best
}

// areas are the separate places of the screen that were painted: boxes that
// overlap are joined.
func areas(paints []paint) []wire.Rect {
	var joined []wire.Rect
	for _, p := range paints {
		box := p.box
		for i := 0; i < len(joined); {
			if joined[i].Intersect(box).Empty() {
				i++
				continue
			}
			box = union(box, joined[i])
			joined = append(joined[:i], joined[i+1:]...)
			i = 0
		}
		joined = append(joined, box)
	}
	return joined
}

func union(a, b wire.Rect) wire.Rect {
	return wire.Rect{Top: min(a.Top, b.Top), Left: min(a.Left, b.Left), Bottom: max(a.Bottom, b.Bottom), Right: max(a.Right, b.Right)}
}

// learnIn replays the paints of one area through the looks and returns what
// tells the key's presence there, with the number of its pixels.
func learnIn(area wire.Rect, paints []paint, looks []look) (*echo, int) {
	size := area.Pixels()
	if size > maxPaint {
		return nil, 0
	}
	fresh := func(v uint32) []uint32 {
		s := make([]uint32, size)
		for i := range s {
			s[i] = v
		}
		return s
	}
	canvas, seen := fresh(unknown), map[bool][]uint32{true: fresh(unset), false: fresh(unset)}
	note := func(values []uint32) {
		for i, v := range canvas {
			switch {
			case values[i] == unset:
				values[i] = v
			case values[i] != v:
				values[i] = unknown
			}
		}
	}
	next := 0
	until := func(t time.Time, each func()) {
		for ; next < len(paints) && !paints[next].at.After(t); next++ {
			if p := paints[next]; !area.Intersect(p.box).Empty() {
				stamp(canvas, area, p)
				each()
			}
		}
	}
	for _, l := range looks {
		until(l.settled, func() {})
		note(seen[l.shown])
		until(l.ends, func() { note(seen[l.shown]) })
	}
	var tell wire.Rect
	n := 0
	for i := range size {
		a, b := seen[true][i], seen[false][i]
		if a >= unset || b >= unset || a == b {
			continue
		}
		x, y := area.Left+int32(i%area.Width()), area.Top+int32(i/area.Width())
		at := wire.Rect{Top: y, Left: x, Bottom: y + 1, Right: x + 1}
		if n++; n == 1 {
			tell = at
		} else {
			tell = union(tell, at)
		}
	}
	if n == 0 {
		return nil, 0
	}
	// A part of a large change tells as much as the whole.
	tell.Bottom, tell.Right = min(tell.Bottom, tell.Top+echoSide), min(tell.Right, tell.Left+echoSide)
	return crop(area, tell, seen[true], seen[false]), n
}

// crop keeps the telling pixels within box.
func crop(area, box wire.Rect, shown, hidden []uint32) *echo {
	e := &echo{box: box}
	for y := box.Top; y < box.Bottom; y++ {
		for x := box.Left; x < box.Right; x++ {
			i := int(y-area.Top)*area.Width() + int(x-area.Left)
			a, b := shown[i], hidden[i]
			if a >= unset || b >= unset || a == b {
				a, b = unset, unset
			}
			e.shown, e.hidden = append(e.shown, a), append(e.hidden, b)
		}
	}
	e.now = append([]uint32(nil), e.hidden...)
	return e
}
