package wire

import (
	"encoding/binary"
	"fmt"
)

// Messages of the display channel, from the server.
const (
	MsgDisplayMark            uint16 = 102
	MsgDisplayCopyBits        uint16 = 104
	MsgDisplayStreamData      uint16 = 123
	MsgDisplayDrawFill        uint16 = 302
	MsgDisplayDrawCopy        uint16 = 304
	MsgDisplayDrawBlackness   uint16 = 306
	MsgDisplayDrawWhiteness   uint16 = 307
	MsgDisplayDrawAlphaBlend  uint16 = 313
	MsgDisplaySurfaceCreate   uint16 = 314
	MsgDisplayStreamDataSized uint16 = 316
	MsgDisplayMonitorsConfig  uint16 = 317
	MsgDisplayDrawComposite   uint16 = 318
)

// Messages of the display channel, from the client.
const (
	MsgcDisplayInit                 uint16 = 101
	MsgcDisplayPreferredCompression uint16 = 103
)

// Display capabilities, by bit (SPICE_DISPLAY_CAP_*).
const (
	CapDisplayMonitorsConfig  = 1
	CapDisplayLZ4             = 5
	CapDisplayPrefCompression = 6
)

// Image compressions that a client may prefer (SPICE_IMAGE_COMPRESSION_*).
const (
	CompressionOff uint8 = 1
	CompressionLZ  uint8 = 6
	CompressionLZ4 uint8 = 7
)

// IsDraw tells whether the message changes pixels in a box, that is, whether
// its body starts with a DrawBase.
func IsDraw(typ uint16) bool {
	return typ == MsgDisplayCopyBits ||
		(typ >= MsgDisplayDrawFill && typ <= MsgDisplayDrawAlphaBlend) ||
		typ == MsgDisplayDrawComposite
}

// Rect is a box of pixels: Left and Top are inside, Right and Bottom are not.
type Rect struct{ Top, Left, Bottom, Right int32 }

// Empty tells whether the box holds no pixel.
func (r Rect) Empty() bool { return r.Right <= r.Left || r.Bottom <= r.Top }

// Width is the number of columns, 0 if the box is empty.
func (r Rect) Width() int {
	if r.Empty() {
		return 0
	}
	return int(r.Right) - int(r.Left)
}

// Height is the number of rows, 0 if the box is empty.
func (r Rect) Height() int {
	if r.Empty() {
		return 0
	}
	return int(r.Bottom) - int(r.Top)
}

// Pixels is the box's area. Boxes beyond 65,536 in either direction, which no
// desktop has, count as that.
func (r Rect) Pixels() int { return min(r.Width(), 1<<16) * min(r.Height(), 1<<16) }

// Intersect is the common part, empty if there is none.
func (r Rect) Intersect(o Rect) Rect {
	return Rect{Top: max(r.Top, o.Top), Left: max(r.Left, o.Left), Bottom: min(r.Bottom, o.Bottom), Right: min(r.Right, o.Right)}
}

func (d *decoder) rect(field string) Rect {
	return Rect{Top: d.i32(field), Left: d.i32(field), Bottom: d.i32(field), Right: d.i32(field)}
}

func appendRect(b []byte, r Rect) []byte {
	for _, v := range [...]int32{r.Top, r.Left, r.Bottom, r.Right} {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	return b
}

// DrawBase is what every drawing starts with.
type DrawBase struct {
	Surface uint32
	Box     Rect
}

// DrawBaseSize is the size of a DrawBase without its clip.
const DrawBaseSize = 20

// ParseDrawBase reads the first DrawBaseSize bytes of a drawing, which is all
// that counting drawings and their boxes needs.
func ParseDrawBase(b []byte) (DrawBase, error) {
	d := decoder{b: b}
	m := d.drawBase()
	return m, d.err
}

func (d *decoder) drawBase() DrawBase {
	return DrawBase{Surface: d.u32("surface id"), Box: d.rect("box")}
}

// maxClip bounds a clip's rectangles, each of which costs time for the pixels
// that it covers; the windows on a screen make a few.
const maxClip = 1024

// clip skips a clip and reports its rectangles; nil is no clip.
func (d *decoder) clip() []Rect {
	switch t := d.u8("clip type"); {
	case d.err != nil || t == 0:
		return nil
	case t == 1:
		n := d.u32("number of clip rectangles")
		if d.err == nil && n > maxClip {
			d.fail(fmt.Sprintf("%d clip rectangles, at most %d are accepted", n, maxClip))
			return nil
		}
		if d.err == nil && uint64(n)*16 > uint64(len(d.b)-d.off) {
			d.fail(fmt.Sprintf("%d clip rectangles in %d bytes", n, len(d.b)-d.off))
			return nil
		}
		rects := make([]Rect, 0, n)
		for range n {
			rects = append(rects, d.rect("clip rectangle"))
		}
		return rects
	default:
		d.fail(fmt.Sprintf("clip type %d", t))
		return nil
	}
}

// Raster operations (SPICE_ROPD_*); deskstorm reads pixels only from plain
// copies.
const RopPut uint16 = 1 << 3

// DrawCopy paints an image. Image is the offset of a SpiceImage from the
// body's start, 0 for none.
type DrawCopy struct {
	DrawBase
	Clip   []Rect
	Image  uint32
	Source Rect
	Rop    uint16
	Masked bool
}

// ParseDrawCopy reads the body up to its image, which spice/pixel decodes.
func ParseDrawCopy(b []byte) (DrawCopy, error) {
	d := decoder{b: b}
	m := DrawCopy{DrawBase: d.drawBase(), Clip: d.clip()}
	m.Image = d.u32("image offset")
	m.Source = d.rect("source area")
	m.Rop = d.u16("raster operation")
	d.u8("scale mode")
	m.Masked = d.mask()
	return m, d.err
}

func (d *decoder) mask() bool {
	d.u8("mask flags")
	d.take(8, "mask position")
	return d.u32("mask image offset") != 0
}

// DrawCopyFixed is where AppendDrawCopy's image begins in the body.
const DrawCopyFixed = DrawBaseSize + 1 + 4 + 16 + 2 + 1 + 13

// AppendDrawCopy adds the body of an unclipped, unmasked copy whose image's
// bytes the caller appends next.
func AppendDrawCopy(b []byte, base DrawBase) []byte {
	b = binary.LittleEndian.AppendUint32(b, base.Surface)
	b = appendRect(b, base.Box)
	b = append(b, 0) // no clip
	b = binary.LittleEndian.AppendUint32(b, DrawCopyFixed)
	b = appendRect(b, Rect{Bottom: int32(base.Box.Height()), Right: int32(base.Box.Width())})
	b = binary.LittleEndian.AppendUint16(b, RopPut)
	b = append(b, 0) // scale mode
	return append(b, make([]byte, 13)...)
}

// DrawFill paints a box with a brush. Solid tells that Color, 0x00RRGGBB, is
// the brush.
type DrawFill struct {
	DrawBase
	Clip   []Rect
	Solid  bool
	Color  uint32
	Rop    uint16
	Masked bool
}

// ParseDrawFill reads the body.
func ParseDrawFill(b []byte) (DrawFill, error) {
	d := decoder{b: b}
	m := DrawFill{DrawBase: d.drawBase(), Clip: d.clip()}
	switch t := d.u8("brush type"); t {
	case 0:
	case 1:
		m.Solid, m.Color = true, d.u32("colour")&0xffffff
	case 2:
		d.take(12, "pattern")
	default:
		d.fail(fmt.Sprintf("brush type %d", t))
	}
	m.Rop = d.u16("raster operation")
	m.Masked = d.mask()
	return m, d.err
}

// AppendDrawFill adds the body of an unclipped, unmasked fill with a colour.
func AppendDrawFill(b []byte, base DrawBase, color uint32) []byte {
	b = binary.LittleEndian.AppendUint32(b, base.Surface)
	b = appendRect(b, base.Box)
	b = append(b, 0, 1)
	b = binary.LittleEndian.AppendUint32(b, color)
	b = binary.LittleEndian.AppendUint16(b, RopPut)
	return append(b, make([]byte, 13)...)
}

// SurfaceCreate announces a surface; a desktop's screen is a primary one.
type SurfaceCreate struct {
	ID, Width, Height, Format, Flags uint32
}

// SurfacePrimary is the flag of the surface that is the screen.
const SurfacePrimary = 1

// Surface32 is the format of 32 bits a pixel, of which 24 are used.
const Surface32 = 32

// SurfaceCreateSize is the size of the body.
const SurfaceCreateSize = 20

// Append adds the body.
func (m SurfaceCreate) Append(b []byte) []byte {
	for _, v := range [...]uint32{m.ID, m.Width, m.Height, m.Format, m.Flags} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return b
}

// ParseSurfaceCreate reads the body.
func ParseSurfaceCreate(b []byte) (SurfaceCreate, error) {
	d := decoder{b: b}
	m := SurfaceCreate{ID: d.u32("surface id"), Width: d.u32("width"), Height: d.u32("height"), Format: d.u32("format"), Flags: d.u32("flags")}
	return m, d.err
}

// AppendDisplayInit adds the client's INIT: a pixmap cache and a GLZ window of
// no pixels, because a client that does not decode needs neither.
func AppendDisplayInit(b []byte) []byte {
	b = append(b, 1)                              // pixmap cache id
	b = binary.LittleEndian.AppendUint64(b, 0)    // its size, pixels
	b = append(b, 1)                              // GLZ dictionary id
	return binary.LittleEndian.AppendUint32(b, 0) // its window, pixels
}

// DisplayInitSize is the size of the client's INIT.
const DisplayInitSize = 14
