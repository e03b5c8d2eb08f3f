package spice

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/spice/wire"
)

// A synthetic screen: cells of 3x4 pixels, a glyph that fills the upper left
// 2x2 of its cell, and a caret in a cell's lowest row.
const (
	cellW, cellH = 3, 4
	black, white = 0x000000, 0xaaaaaa
)

func cellBox(column, row int) wire.Rect {
	x, y := int32(column*cellW), int32(row*cellH)
	return wire.Rect{Top: y, Left: x, Bottom: y + cellH, Right: x + cellW}
}

func cellPix(glyph, caret bool) []uint32 {
	pix := make([]uint32, cellW*cellH)
	if glyph {
		pix[0], pix[1], pix[cellW], pix[cellW+1] = white, white, white, white
	}
	if caret {
		for x := range cellW {
			pix[(cellH-1)*cellW+x] = white
		}
	}
	return pix
}

// trial is what a learning probe sees of a desktop, drawn in frames as QEMU
// draws them.
type trial struct {
	half    time.Duration // of the caret's period, 0 for no caret
	uneven  time.Duration // by how much the caret is longer there than not
	phase   time.Duration // of the caret, within half
	latency time.Duration // of the guest; negative is a hung one
	settle  time.Duration
	frames  time.Duration // between drawings
}

// run makes the paints and looks as learn does.
func (x trial) run() ([]paint, []look) {
	start := time.Unix(1000, 0)
	looks := []look{}
	at := start
	for i, dwell := range []time.Duration{shortLook, shortLook, longLook, longLook} {
		l := look{shown: i%2 == 0, pressed: at, settled: at.Add(x.settle), ends: at.Add(x.settle + dwell)}
		looks = append(looks, l)
		at = l.ends.Add(time.Microsecond)
	}
	var paints []paint
	column, caret := 0, false
	draw := func(t time.Time, glyphAt int, glyph bool) {
		add := func(c int, g, k bool) {
			paints = append(paints, paint{at: t, box: cellBox(c, 0), pix: cellPix(g, k)})
		}
		if glyphAt >= 0 {
			add(glyphAt, glyph, false)
			if !glyph {
				add(glyphAt+1, false, false) // where the caret was
			}
		}
		add(column, false, caret)
	}
	type event struct {
		at  time.Time
		key int // the look whose key it is, -1 for the caret
	}
	var events []event
	if x.latency >= 0 {
		for i, l := range looks {
			events = append(events, event{l.pressed.Add(x.latency), i})
		}
	}
	if x.half > 0 {
		// It appears once a period, and is gone half plus uneven later.
		for t := start.Add(x.phase - 4*x.half); t.Before(at); t = t.Add(2 * x.half) {
			events = append(events, event{t, -1}, event{t.Add(x.half + x.uneven), -1})
		}
	}
	slices.SortFunc(events, func(a, b event) int { return a.at.Compare(b.at) })
	for _, e := range events {
		t := e.at
		if x.frames > 0 {
			t = t.Add(x.frames - time.Duration(t.UnixNano())%x.frames)
		}
		switch {
		case e.key < 0:
			caret = !caret
			draw(t, -1, false)
		case looks[e.key].shown:
			column = 1
			draw(t, 0, true)
		default:
			column = 0
			draw(t, 0, false)
		}
	}
	return paints, looks
}

func randomTrial(r *rand.Rand, half time.Duration) trial {
	x := trial{half: half, phase: time.Duration(r.Int64N(int64(2 * half))), latency: -1}
	// What a probe takes for the desktop's latency is when the caret is next
	// drawn.
	x.settle = 2*time.Duration(r.Int64N(int64(half))) + []time.Duration{100, 400}[r.IntN(2)]*time.Millisecond
	if r.IntN(2) == 0 {
		x.frames = 30 * time.Millisecond
	}
	return x
}

// TestCaretIsNoEcho: a caret alone is never taken for a key, whatever its
// phase, for the periods that desktops have: QEMU's 270 ms, Windows' 530 ms,
// and others up to that.
func TestCaretIsNoEcho(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for _, half := range []time.Duration{100, 200, 270, 333, 500, 530, 0} {
		wrong := 0
		const trials = 3000
		for range trials {
			h := half * time.Millisecond
			if half == 0 {
				h = time.Duration(50+r.IntN(510)) * time.Millisecond
			}
			x := randomTrial(r, h)
			if paints, looks := x.run(); learnEcho(paints, looks) != nil {
				wrong++
				t.Errorf("a caret of %v passed for a key: %+v", h, x)
			}
		}
		t.Logf("half period %3d ms: %d of %d false", half, wrong, trials)
	}
	// Beyond what the long look covers there is no promise, only a figure. GTK's
	// caret is there for 800 ms and away for 400.
	for _, c := range []trial{{half: 600, uneven: 200}, {half: 650}, {half: 800}, {half: 1000}, {half: 2000}} {
		wrong := 0
		for range 1000 {
			x := randomTrial(r, c.half*time.Millisecond)
			x.uneven = c.uneven * time.Millisecond
			if paints, looks := x.run(); learnEcho(paints, looks) != nil {
				wrong++
			}
		}
		t.Logf("%d ms there, %d ms away, longer than promised: %d of 1000 false", c.half+c.uneven, c.half-c.uneven, wrong)
	}
}

// TestGlyphIsFoundBesideACaret: of what a key and a caret change together, the
// glyph's pixels are kept and none of the caret's.
func TestGlyphIsFoundBesideACaret(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	for range 3000 {
		x := randomTrial(r, []time.Duration{270, 530, time.Duration(50 + r.IntN(510))}[r.IntN(3)]*time.Millisecond)
		x.latency = time.Duration(r.IntN(400)) * time.Millisecond
		x.settle = 2*x.latency + 100*time.Millisecond
		paints, looks := x.run()
		e := learnEcho(paints, looks)
		require.NotNil(t, e, "%+v", x)
		require.Equal(t, wire.Rect{Bottom: 2, Right: 2}, e.box, "%+v", x)
		require.Equal(t, []uint32{white, white, white, white}, e.shown)
		require.Equal(t, []uint32{black, black, black, black}, e.hidden)
		// Then it follows the key and not the caret.
		require.True(t, e.matches(false))
		e.apply(paint{box: cellBox(0, 0), pix: cellPix(false, true)})
		require.True(t, e.matches(false), "a caret at the glyph's place is not the glyph")
		e.apply(paint{box: cellBox(0, 0), pix: cellPix(true, true)})
		require.True(t, e.matches(true))
		require.False(t, e.matches(false))
	}
}

// TestEchoWithoutCaret: all that a key draws tells it.
func TestEchoWithoutCaret(t *testing.T) {
	t.Parallel()
	paints, looks := trial{latency: 10 * time.Millisecond, settle: 120 * time.Millisecond}.run()
	require.NotNil(t, learnEcho(paints, looks))
	require.Nil(t, learnEcho(nil, looks), "an idle screen")
}

// TestEchoBesideAClock: another place that changes all the time is not it, also
// where it is larger.
func TestEchoBesideAClock(t *testing.T) {
	t.Parallel()
	paints, looks := trial{latency: 10 * time.Millisecond, settle: 120 * time.Millisecond, half: 270 * time.Millisecond}.run()
	clock := wire.Rect{Top: 300, Left: 600, Bottom: 320, Right: 700}
	for i := range 40 {
		pix := make([]uint32, 2000)
		for j := range pix {
			pix[j] = uint32(i * (j + 1))
		}
		paints = append(paints, paint{at: looks[0].pressed.Add(time.Duration(i) * 50 * time.Millisecond), box: clock, pix: pix})
	}
	slices.SortStableFunc(paints, func(a, b paint) int { return a.at.Compare(b.at) })
	require.Len(t, areas(paints), 3, "two cells and the clock")
	e := learnEcho(paints, looks)
	require.NotNil(t, e)
	require.Equal(t, wire.Rect{Bottom: 2, Right: 2}, e.box)
}

func TestAreas(t *testing.T) {
	t.Parallel()
	box := func(left, right int32) paint { return paint{box: wire.Rect{Left: left, Right: right, Bottom: 1}} }
	for name, x := range map[string]struct {
		paints []paint
		want   []wire.Rect
	}{
		"none":                    {nil, nil},
		"neighbours are separate": {[]paint{box(0, 2), box(2, 4)}, []wire.Rect{box(0, 2).box, box(2, 4).box}},
		"overlapping":             {[]paint{box(0, 3), box(2, 4)}, []wire.Rect{box(0, 4).box}},
		"joined by a third":       {[]paint{box(0, 2), box(4, 6), box(8, 9), box(1, 5)}, []wire.Rect{box(8, 9).box, box(0, 6).box}},
	} {
		require.Equal(t, x.want, areas(x.paints), name)
	}
}

// TestKeptAndUnknownPixels: what a drawing leaves alone stays, and what cannot
// be known never tells a key.
func TestKeptAndUnknownPixels(t *testing.T) {
	t.Parallel()
	box := wire.Rect{Bottom: 1, Right: 4}
	canvas := []uint32{1, 2, 3, 4}
	stamp(canvas, box, paint{box: wire.Rect{Top: -1, Left: 1, Bottom: 1, Right: 9}, pix: append(make([]uint32, 8), keep, 7, unknown, 9, 9, 9, 9, 9)})
	require.Equal(t, []uint32{1, 2, 7, unknown}, canvas)

	start := time.Unix(1000, 0)
	var looks []look
	var paints []paint
	for i := range 4 {
		at := start.Add(time.Duration(i) * time.Second)
		looks = append(looks, look{shown: i%2 == 0, pressed: at, settled: at.Add(time.Second / 2), ends: at.Add(time.Second)})
		v := uint32(10 + i%2)
		pix := []uint32{keep, unknown, v, v}
		if i == 2 {
			pix[3] = unknown
		}
		paints = append(paints, paint{at: at.Add(time.Millisecond), box: box, pix: pix})
	}
	e := learnEcho(paints, looks)
	require.NotNil(t, e)
	require.Equal(t, wire.Rect{Left: 2, Bottom: 1, Right: 3}, e.box)
	require.Equal(t, []uint32{10}, e.shown)
	require.Equal(t, []uint32{11}, e.hidden)
	e.apply(paint{box: box, pix: []uint32{10, 10, unknown, 10}})
	require.False(t, e.matches(true))
	require.False(t, e.matches(false))
}

// TestLargeEchoIsCut: a key that changes a large part of the screen is
// recognised by a corner of it.
func TestLargeEchoIsCut(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	box := wire.Rect{Bottom: 100, Right: 200}
	var looks []look
	var paints []paint
	for i := range 4 {
		at := start.Add(time.Duration(i) * time.Second)
		looks = append(looks, look{shown: i%2 == 0, pressed: at, settled: at.Add(time.Second / 2), ends: at.Add(time.Second)})
		paints = append(paints, paint{at: at.Add(time.Millisecond), box: box, pix: slices.Repeat([]uint32{uint32(i % 2)}, 100*200)})
	}
	e := learnEcho(paints, looks)
	require.NotNil(t, e)
	require.Equal(t, wire.Rect{Bottom: 64, Right: 64}, e.box)
	require.LessOrEqual(t, len(e.shown), echoSide*echoSide)
}

// TestNews: a learning probe is told of the first drawing that the idle screen
// had not shown.
func TestNews(t *testing.T) {
	t.Parallel()
	rec := newRecorder()
	at := time.Unix(1000, 0)
	on, off := paint{at: at, box: cellBox(0, 0), pix: cellPix(false, true)}, paint{at: at, box: cellBox(0, 0), pix: cellPix(false, false)}
	rec.add(on)
	rec.add(off)
	rec.idleEnds()
	rec.add(on)
	rec.add(off)
	require.Empty(t, rec.news)
	elsewhere := on
	elsewhere.box = cellBox(1, 0)
	elsewhere.at = at.Add(time.Second)
	rec.add(elsewhere)
	rec.add(elsewhere)
	require.Equal(t, elsewhere.at, <-rec.news)
	require.Len(t, rec.taken(), 6)
}
