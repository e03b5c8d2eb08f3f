package spice

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/spice/pixel"
	"github.com/deskstorm/deskstorm/spice/wire"
)

// clipped is a DRAW_FILL of white with clip rectangles.
func clipped(box wire.Rect, clip ...wire.Rect) []byte {
	b := wire.AppendDrawFill(nil, wire.DrawBase{Box: box}, 0xffffff)
	tail := b[wire.DrawBaseSize+1:]
	b = binary.LittleEndian.AppendUint32(append(b[:wire.DrawBaseSize:wire.DrawBaseSize], 1), uint32(len(clip)))
	for _, r := range clip {
		for _, v := range []int32{r.Top, r.Left, r.Bottom, r.Right} {
			b = binary.LittleEndian.AppendUint32(b, uint32(v))
		}
	}
	return append(b, tail...)
}

// painted is what a probe that looks at area makes of messages.
func painted(t *testing.T, area wire.Rect, messages ...[]byte) []paint {
	t.Helper()
	s := unlinked()
	var paints []paint
	w := &echoWatcher{area: area, sink: func(p paint) { paints = append(paints, p) }}
	s.screen.watcher.Store(w)
	c, handle := s.over(wire.Display, streamOf(sent(messages...)))
	require.Equal(t, io.EOF, c.run(handle))
	return paints
}

func TestRender(t *testing.T) {
	t.Parallel()
	box := wire.Rect{Top: 1, Left: 1, Bottom: 3, Right: 4}
	img := pixel.Image{Width: 3, Height: 2, Pix: []uint32{1, 2, 3, 4, 5, 6}}
	copied := func(change func(b []byte)) []byte {
		b := pixel.EncodeBitmap(wire.AppendDrawCopy(nil, wire.DrawBase{Box: box}), img)
		change(b)
		return msg(wire.MsgDisplayDrawCopy, b)
	}
	const sourceAt, ropAt = wire.DrawBaseSize + 1 + 4, wire.DrawBaseSize + 1 + 4 + 16
	const u, k, w = unknown, keep, 0xffffff
	all := func(v uint32) []uint32 { return []uint32{v, v, v, v, v, v} }
	for _, x := range []struct {
		name string
		area wire.Rect
		msg  []byte
		want []uint32
	}{
		{"copy", wire.Rect{}, copied(func([]byte) {}), img.Pix},
		{"part of a copy", wire.Rect{Top: 2, Left: 2, Bottom: 9, Right: 9}, copied(func([]byte) {}), []uint32{5, 6}},
		{"beside", wire.Rect{Top: 3, Left: 2, Bottom: 9, Right: 9}, copied(func([]byte) {}), nil},
		{"source beyond the image", wire.Rect{}, copied(func(b []byte) { b[sourceAt+4], b[sourceAt+12] = 2, 5 }), []uint32{3, u, u, 6, u, u}},
		{"source before the image", wire.Rect{}, copied(func(b []byte) {
			copy(b[sourceAt:], []byte{0xff, 0xff, 0xff, 0xff})
			b[sourceAt+8] = 1
		}), []uint32{u, u, u, 1, 2, 3}},
		{"scaled", wire.Rect{}, copied(func(b []byte) { b[sourceAt+8] = 1 }), all(u)},
		{"inverted", wire.Rect{}, copied(func(b []byte) { b[ropAt] = 1 }), all(u)},
		{"masked", wire.Rect{}, copied(func(b []byte) { b[wire.DrawCopyFixed-1] = 1 }), all(u)},
		{"no image", wire.Rect{}, copied(func(b []byte) { clear(b[wire.DrawBaseSize+1:][:4]) }), all(u)},
		{"image of another encoding", wire.Rect{}, copied(func(b []byte) { b[wire.DrawCopyFixed+8] = byte(pixel.TypeQUIC) }), all(u)},
		{"fill", wire.Rect{}, msg(wire.MsgDisplayDrawFill, wire.AppendDrawFill(nil, wire.DrawBase{Box: box}, 7)), all(7)},
		{"patterned fill", wire.Rect{}, msg(wire.MsgDisplayDrawFill, func() []byte {
			b := wire.AppendDrawFill(nil, wire.DrawBase{Box: box}, 7)
			return append(append(b[:wire.DrawBaseSize+1:wire.DrawBaseSize+1], append([]byte{2}, make([]byte, 12)...)...), b[wire.DrawBaseSize+6:]...)
		}()), all(u)},
		{"clipped fill", wire.Rect{}, msg(wire.MsgDisplayDrawFill, clipped(box, wire.Rect{Bottom: 2, Right: 3}, wire.Rect{Top: 2, Left: 3, Bottom: 3, Right: 4})), []uint32{w, w, k, k, k, w}},
		{"clipped away", wire.Rect{}, msg(wire.MsgDisplayDrawFill, clipped(box)), all(k)},
		{"clip far away", wire.Rect{}, msg(wire.MsgDisplayDrawFill, clipped(box, wire.Rect{Left: 1000, Bottom: 400, Right: 1009})), all(k)},
		{"clip upside down", wire.Rect{}, msg(wire.MsgDisplayDrawFill, clipped(box, wire.Rect{Top: 9, Left: 9})), all(k)},
		{"clip beyond numbers", wire.Rect{}, msg(wire.MsgDisplayDrawFill,
			clipped(box, wire.Rect{Top: math.MinInt32, Left: math.MinInt32, Bottom: math.MaxInt32, Right: math.MaxInt32})), all(w)},
		{"blackness", wire.Rect{}, msg(wire.MsgDisplayDrawBlackness, wire.AppendDrawFill(nil, wire.DrawBase{Box: box}, 7)), all(0)},
		{"whiteness", wire.Rect{}, msg(wire.MsgDisplayDrawWhiteness, wire.AppendDrawFill(nil, wire.DrawBase{Box: box}, 7)), all(w)},
		{"moved", wire.Rect{}, msg(wire.MsgDisplayCopyBits, append(wire.AppendDrawFill(nil, wire.DrawBase{Box: box}, 7)[:wire.DrawBaseSize], make([]byte, 9)...)), all(u)},
		{"another surface", wire.Rect{}, msg(wire.MsgDisplayDrawFill, wire.AppendDrawFill(nil, wire.DrawBase{Surface: 1, Box: box}, 7)), nil},
		{"nothing", wire.Rect{}, msg(wire.MsgDisplayDrawFill, wire.AppendDrawFill(nil, wire.DrawBase{}, 7)), nil},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			paints := painted(t, x.area, x.msg)
			if x.want == nil {
				require.Empty(t, paints)
				return
			}
			require.Len(t, paints, 1)
			require.Equal(t, x.want, paints[0].pix)
		})
	}
}

// TestBlindness: a loss says that the drawings could not be decoded.
func TestBlindness(t *testing.T) {
	t.Parallel()
	s := unlinked()
	w := newRecorder().watcher()
	s.screen.watcher.Store(w)
	require.Empty(t, w.blind())
	b := drawing(wire.Rect{Bottom: 2, Right: 2}, pixel.EncodeBitmap)
	b[wire.DrawCopyFixed+8] = byte(pixel.TypeQUIC)
	c, handle := s.over(wire.Display, streamOf(msg(wire.MsgDisplayDrawCopy, b)))
	require.Equal(t, io.EOF, c.run(handle))
	require.Contains(t, w.blind(), "QUIC")
}

// allocated is the memory that f asks for, whatever becomes of it.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestClaimsOfDrawings: what a drawing says about its size costs no more than
// package spice's documentation allows. Not parallel: it reads the process's
// memory counter.
func TestClaimsOfDrawings(t *testing.T) {
	far := wire.Rect{Left: math.MinInt32, Right: math.MaxInt32, Bottom: 1}
	high := wire.Rect{Top: math.MinInt32, Bottom: math.MaxInt32, Right: 1}
	header := func(size int) []byte { return wire.AppendHeader(nil, wire.MsgDisplayDrawFill, size) }
	box := wire.Rect{Bottom: 2048, Right: 2048}
	black := pixel.EncodeLZ4(nil, pixel.Image{Width: 2048, Height: 2048, Pix: make([]uint32, 2048*2048)})
	whole := wire.Rect{Bottom: 1, Right: 1}
	dense := clipped(box, make([]wire.Rect, 1024)...)
	dense = dense[:len(dense)-(1+4+2+13)] // up to the clip's end
	dense = binary.LittleEndian.AppendUint32(dense, uint32(len(dense)+wire.DrawCopyFixed-wire.DrawBaseSize-1))
	dense = append(append(dense, wire.AppendDrawCopy(nil, wire.DrawBase{Box: box})[wire.DrawBaseSize+5:]...), black...)
	for _, x := range []struct {
		name   string
		stream []byte
		most   uint64
	}{
		{"a wide box", msg(wire.MsgDisplayDrawFill, wire.AppendDrawFill(nil, wire.DrawBase{Box: far}, 1)), 64 << 10},
		{"a high box", msg(wire.MsgDisplayDrawFill, wire.AppendDrawFill(nil, wire.DrawBase{Box: high}, 1)), 64 << 10},
		{"a body of 4 GiB", append(header(math.MaxUint32), wire.AppendDrawFill(nil, wire.DrawBase{Box: wire.Rect{Bottom: 1, Right: 1}}, 1)...), 64 << 10},
		{"a body of 16 MiB", append(header(maxDrawing), wire.AppendDrawFill(nil, wire.DrawBase{Box: wire.Rect{Bottom: 1, Right: 1}}, 1)...), maxDrawing + 64<<10},
		{"many clip rectangles and pixels", msg(wire.MsgDisplayDrawCopy, dense), 2*maxDrawing + 64<<10},
	} {
		s := unlinked()
		w := newRecorder().watcher()
		if x.most > 2*maxDrawing {
			w.area = whole
		}
		s.screen.watcher.Store(w)
		c, handle := s.over(wire.Display, streamOf(x.stream))
		require.LessOrEqual(t, allocated(func() {
			err := c.run(handle)
			require.True(t, errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF), "%s: %v", x.name, err)
		}), x.most, x.name)
	}
}

// TestFloodOfDrawings: a desktop that draws without end while a probe learns
// costs the client neither its memory nor its time.
func TestFloodOfDrawings(t *testing.T) {
	t.Parallel()
	rec := newRecorder()
	start := time.Now()
	for i := range 200_000 {
		x, y := int32(i%600)*2, int32(i/600)*2
		rec.add(paint{at: start.Add(time.Duration(i) * time.Microsecond), box: wire.Rect{Top: y, Left: x, Bottom: y + 1, Right: x + 1}, pix: []uint32{uint32(i)}})
	}
	require.LessOrEqual(t, len(rec.taken()), 8192)
	looks := []look{{shown: true, pressed: start, settled: start, ends: start.Add(time.Hour)}}
	require.Nil(t, learnEcho(rec.taken(), looks))
	// The work above is some 0.1 s; without a bound it was minutes.
	require.Less(t, time.Since(start), 20*time.Second)
}

// TestWideChainOfDrawings: boxes that overlap can join to an area whose sides
// are beyond what its number of pixels says.
func TestWideChainOfDrawings(t *testing.T) {
	t.Parallel()
	rec := newRecorder()
	start := time.Now()
	const wide = 60000
	for i := range int32(3) {
		box := wire.Rect{Left: i * (wide - 1), Right: i*(wide-1) + wide, Bottom: 1}
		rec.add(paint{at: start, box: box, pix: make([]uint32, wide)})
	}
	looks := []look{{shown: true, settled: start, ends: start}, {settled: start, ends: start}}
	require.NotPanics(t, func() { require.Nil(t, learnEcho(rec.taken(), looks)) })
}
