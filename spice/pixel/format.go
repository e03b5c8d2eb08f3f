package pixel

import (
	"encoding/binary"
	"fmt"
)

// format is how a bitmap's pixels are packed (SpiceBitmapFmt in enums.h).
type format uint8

const (
	format1LE  format = 1 // leftmost pixel in the lowest bit
	format1BE  format = 2 // leftmost pixel in the highest bit
	format4LE  format = 3
	format4BE  format = 4
	format8    format = 5
	format16   format = 6 // little endian, 0RRRRRGGGGGBBBBB
	format24   format = 7 // blue, green, red
	format32   format = 8 // blue, green, red, unused
	formatRGBA format = 9 // blue, green, red, alpha
)

func (f format) String() string {
	switch f {
	case format1LE:
		return "1BIT_LE"
	case format1BE:
		return "1BIT_BE"
	case format4LE:
		return "4BIT_LE"
	case format4BE:
		return "4BIT_BE"
	case format8:
		return "8BIT"
	case format16:
		return "16BIT"
	case format24:
		return "24BIT"
	case format32:
		return "32BIT"
	case formatRGBA:
		return "RGBA"
	case 10:
		return "8BIT_A"
	}
	return fmt.Sprintf("format %d", uint8(f))
}

// bits returns a pixel's size in bits; 0 if the format is not decoded.
func (f format) bits() uint64 {
	switch f {
	case format1LE, format1BE:
		return 1
	case format4LE, format4BE:
		return 4
	case format8:
		return 8
	case format16:
		return 16
	case format24:
		return 24
	case format32, formatRGBA:
		return 32
	}
	return 0
}

// indexed says whether pixels are palette indices.
func (f format) indexed() bool { return f >= format1LE && f <= format8 }

// index returns pixel i of a packed row of palette indices, b being the byte
// that holds it.
func (f format) index(b byte, i int) byte {
	switch f {
	case format1LE:
		return b >> (i & 7) & 1
	case format1BE:
		return b >> (7 - (i & 7)) & 1
	case format4LE:
		return b >> ((i & 1) * 4) & 15
	case format4BE:
		return b >> (4 - (i&1)*4) & 15
	}
	return b
}

// unpackRGB turns src, pixels without palette and without gaps, into dst.
// src may be the start of dst's own memory: pixels that grow to 4 bytes are
// therefore taken from the end, where nothing unread is overwritten.
func (f format) unpackRGB(dst []uint32, src []byte) {
	switch f {
	case format16:
		for i := len(dst) - 1; i >= 0; i-- {
			dst[i] = rgb555(binary.LittleEndian.Uint16(src[i*2:]))
		}
	case format24:
		for i := len(dst) - 1; i >= 0; i-- {
			s := src[i*3 : i*3+3]
			dst[i] = uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16
		}
	case format32, formatRGBA:
		for i := range dst {
			dst[i] = binary.LittleEndian.Uint32(src[i*4:i*4+4]) & 0xffffff
		}
	}
}

// rgb555 widens 5 bits a colour to 8, repeating the high bits in the low ones
// so that full stays full.
func rgb555(v uint16) uint32 {
	r, g, b := uint32(v>>10&31), uint32(v>>5&31), uint32(v&31)
	return (r<<3|r>>2)<<16 | (g<<3|g>>2)<<8 | (b<<3 | b>>2)
}
