package pixel

import (
	"encoding/binary"
	"fmt"
)

// SPICE's LZ stream starts with seven big-endian u32: magic, version, type,
// width, height, bytes a row, top-down (spice-common, lz.c and lz_common.h).
const (
	lzHeaderSize = 28
	lzMagic      = 0x20205a4c // "  ZL"
	lzVersion    = 0x00010001 // 1.1
)

// The stream's types (LzImageType in lz_common.h). 1 to 9 are numbered as the
// bitmap formats; the two others hold alpha and no colour.
const (
	lzXXXA = 10
	lzA8   = 11
)

// lzFarDistance is the largest distance of the short form of a match; the long
// form counts from it (MAX_DISTANCE in lz.c).
const lzFarDistance = 8191

// maxExpansion is more units than any byte of LZ or LZ4 input can give (255,
// from a length byte), so that data too short is known before allocating.
const maxExpansion = 256

// lzHeader is what decoding needs of a stream's header.
type lzHeader struct {
	format  format
	topDown bool
}

// takeLZHeader reads the header at the start of data, which stands at offset
// at, and checks it against the image's descriptor.
func takeLZHeader(data []byte, at int, d Descriptor) (lzHeader, error) {
	if len(data) < lzHeaderSize {
		return lzHeader{}, &FormatError{Offset: at, What: fmt.Sprintf("LZ stream of %d bytes, its header has %d", len(data), lzHeaderSize)}
	}
	var h [7]uint32
	for i := range h {
		h[i] = binary.BigEndian.Uint32(data[i*4:])
	}
	switch {
	case h[0] != lzMagic:
		return lzHeader{}, &FormatError{Offset: at, What: fmt.Sprintf("LZ magic %#08x, want %#08x", h[0], lzMagic)}
	case h[1] != lzVersion:
		return lzHeader{}, &FormatError{Offset: at + 4, What: fmt.Sprintf("LZ version %#x, want %#x", h[1], lzVersion)}
	case h[2] == lzXXXA || h[2] == lzA8:
		return lzHeader{}, &UnsupportedError{Offset: at + 8, Type: d.Type, Detail: "its stream has alpha and no colours"}
	case h[2] == 0 || h[2] > lzA8:
		return lzHeader{}, &FormatError{Offset: at + 8, What: fmt.Sprintf("LZ stream type %d", h[2])}
	case h[3] != d.Width || h[4] != d.Height:
		return lzHeader{}, &FormatError{Offset: at + 12, What: fmt.Sprintf("LZ stream of %dx%d pixels in an image of %dx%d", h[3], h[4], d.Width, d.Height)}
	}
	f := format(h[2])
	if f.indexed() != (d.Type == TypeLZPalette) {
		return lzHeader{}, &FormatError{Offset: at + 8, What: fmt.Sprintf("%v pixels in an %v image", f, d.Type)}
	}
	// The server's encoder refuses rows with gaps (lz_encode in lz.c).
	if row := (uint64(d.Width)*f.bits() + 7) / 8; uint64(h[5]) != row {
		return lzHeader{}, &FormatError{Offset: at + 20, What: fmt.Sprintf("LZ stride of %d bytes for rows of %d", h[5], row)}
	}
	return lzHeader{format: f, topDown: h[6] != 0}, nil
}

// decodeLZRGB decodes an LZ picture in true colour: u32 size, stream.
func decodeLZRGB(c *cursor, d Descriptor, scratch []uint32) ([]uint32, error) {
	data, err := c.takeCounted("LZ data")
	if err != nil {
		return nil, err
	}
	at := c.off - len(data)
	h, err := takeLZHeader(data, at, d)
	if err != nil {
		return nil, err
	}
	n := int(d.Width) * int(d.Height)
	if n/maxExpansion > len(data) {
		return nil, &FormatError{Offset: at, What: fmt.Sprintf("LZ data of %d bytes cannot hold %d pixels", len(data), n)}
	}
	pix := resize(scratch, n)
	end, err := expandLZ(pix, data, lzHeaderSize, at, h.format)
	if err != nil {
		return nil, err
	}
	// RGBA has a second stream, of alpha, which nobody asks for.
	if h.format != formatRGBA && end != len(data) {
		return nil, &FormatError{Offset: at + end, What: fmt.Sprintf("%d bytes after the last pixel", len(data)-end)}
	}
	if !h.topDown {
		flip(pix, int(d.Width))
	}
	return pix, nil
}

// decodeLZPalette decodes an LZ picture of palette indices (LZPLTData in
// spice.proto): u8 flags, u32 size, palette, stream.
func decodeLZPalette(c *cursor, d Descriptor, scratch []uint32) ([]uint32, error) {
	b, err := c.take(5, "LZ palette header")
	if err != nil {
		return nil, err
	}
	flags, size := b[0], binary.LittleEndian.Uint32(b[1:])
	pal, err := takePalette(c, d.Type, flags)
	if err != nil {
		return nil, err
	}
	at := c.off
	data, err := c.take(uint64(size), "LZ data")
	if err != nil {
		return nil, err
	}
	h, err := takeLZHeader(data, at, d)
	if err != nil {
		return nil, err
	}
	width, height := int(d.Width), int(d.Height)
	perByte := 8 / int(h.format.bits())
	row := (width + perByte - 1) / perByte
	if row*height/maxExpansion > len(data) {
		return nil, &FormatError{Offset: at, What: fmt.Sprintf("LZ data of %d bytes cannot hold %d", len(data), row*height)}
	}
	// The stream gives bytes of one to eight pixels. They are put where the
	// pixels will be, one each, and spread from the end to the start: a byte's
	// pixels never stand before it, so no unread byte is overwritten.
	pix := resize(scratch, width*height)
	end, err := expandLZ(pix[:row*height], data, lzHeaderSize, at, h.format)
	if err != nil {
		return nil, err
	}
	if end != len(data) {
		return nil, &FormatError{Offset: at + end, What: fmt.Sprintf("%d bytes after the last pixel", len(data)-end)}
	}
	for y := height - 1; y >= 0; y-- {
		for i := row - 1; i >= 0; i-- {
			packed := byte(pix[y*row+i])
			for x := min((i+1)*perByte, width) - 1; x >= i*perByte; x-- {
				pix[y*width+x] = pal[h.format.index(packed, x)]
			}
		}
	}
	if !h.topDown {
		flip(pix, width)
	}
	return pix, nil
}

// expandLZ fills dst with units (pixels; for palette formats bytes) from the
// stream that starts at src[p], src standing at offset at of the message. It
// returns where in src it stopped.
//
// A control byte below 32 starts a run of that many units and one more, as
// they are. Otherwise its three high bits are a length, its five low ones the
// high bits of a distance: that many units are repeated from that far back
// (lz_decompress_tmpl.c).
func expandLZ(dst []uint32, src []byte, p, at int, f format) (int, error) {
	const cut = "LZ data ends inside a picture"
	size, shortest := 3, 1 // bytes of a unit, units of the shortest match
	switch {
	case f.indexed():
		size, shortest = 1, 3
	case f == format16:
		size, shortest = 2, 2
	}
	for n := 0; n < len(dst); {
		if p >= len(src) {
			return p, &FormatError{Offset: at + p, What: cut}
		}
		start := p
		ctrl := int(src[p])
		p++

		if ctrl < 32 {
			count := ctrl + 1
			if count > len(dst)-n {
				return p, &FormatError{Offset: at + start, What: fmt.Sprintf("LZ run of %d, %d are left", count, len(dst)-n)}
			}
			if count*size > len(src)-p {
				return p, &FormatError{Offset: at + p, What: cut}
			}
			literal(dst[n:n+count], src[p:p+count*size], size)
			n, p = n+count, p+count*size
			continue
		}

		length := ctrl>>5 - 1
		if length == 6 {
			for more := byte(255); more == 255; p++ {
				// The first test is also what bounds length.
				if length > len(dst) || p >= len(src) {
					return p, &FormatError{Offset: at + p, What: "LZ match without end"}
				}
				more = src[p]
				length += int(more)
			}
		}
		if p >= len(src) {
			return p, &FormatError{Offset: at + p, What: cut}
		}
		distance := (ctrl&31)<<8 + int(src[p])
		p++
		if distance == lzFarDistance {
			if len(src)-p < 2 {
				return p, &FormatError{Offset: at + p, What: cut}
			}
			distance += int(binary.BigEndian.Uint16(src[p:]))
			p += 2
		}
		length += shortest
		distance++
		if length > len(dst)-n {
			return p, &FormatError{Offset: at + start, What: fmt.Sprintf("LZ match of %d, %d are left", length, len(dst)-n)}
		}
		if distance > n {
			return p, &FormatError{Offset: at + start, What: fmt.Sprintf("LZ match %d back, only %d are there", distance, n)}
		}
		repeat(dst, n, distance, length)
		n += length
	}
	return p, nil
}

// literal turns src, units of size bytes, into dst.
func literal(dst []uint32, src []byte, size int) {
	switch size {
	case 1:
		for i := range dst {
			dst[i] = uint32(src[i])
		}
	case 2: // unlike in a bitmap, the high byte comes first
		for i := range dst {
			dst[i] = rgb555(binary.BigEndian.Uint16(src[i*2:]))
		}
	case 3:
		for i := range dst {
			s := src[i*3 : i*3+3]
			dst[i] = uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16
		}
	}
}

// repeat writes length units at dst[n], copied from distance before. Where
// they overlap, what was just written is repeated: each round doubles it.
func repeat(dst []uint32, n, distance, length int) {
	from, end := n-distance, n+length
	for n < end {
		n += copy(dst[n:end], dst[from:n])
	}
}
