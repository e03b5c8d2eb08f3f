package pixel

import (
	"encoding/binary"
	"fmt"
)

// Bitmap flags (SpiceBitmapFlags in enums.h). PAL_CACHE_ME (1) is of no
// concern here: the palette that it asks to keep is in the message.
const (
	flagPaletteFromCache = 1 << 1
	flagTopDown          = 1 << 2
)

// palette maps an index to 0x00RRGGBB. It has an entry for every index that a
// byte can hold, so that indices need no check: those the message leaves out
// are black.
type palette [256]uint32

// takePalette reads the reference to a palette at c, and the palette. The
// reference is a u32 offset from the message's start, 0 for none, or, with
// PAL_FROM_CACHE, the u64 id of a palette from an earlier message.
func takePalette(c *cursor, t ImageType, flags byte) (*palette, error) {
	at := c.off
	if flags&flagPaletteFromCache != 0 {
		return nil, &UnsupportedError{Offset: at, Type: t, Detail: "its palette is in the client's cache, not in the message"}
	}
	b, err := c.take(4, "palette offset")
	if err != nil {
		return nil, err
	}
	off := binary.LittleEndian.Uint32(b)
	if off == 0 {
		return nil, &UnsupportedError{Offset: at, Type: t, Detail: "it has no palette"}
	}
	if uint64(off) > uint64(len(c.msg)) {
		return nil, &FormatError{Offset: at, What: fmt.Sprintf("palette offset %d outside the message of %d bytes", off, len(c.msg))}
	}
	p := cursor{msg: c.msg, off: int(off)}
	b, err = p.take(10, "palette header") // u64 id, u16 number of entries
	if err != nil {
		return nil, err
	}
	n := int(binary.LittleEndian.Uint16(b[8:]))
	if n > len(palette{}) {
		return nil, &FormatError{Offset: int(off) + 8, What: fmt.Sprintf("palette of %d entries, at most 256 can be used", n)}
	}
	b, err = p.take(uint64(n)*4, "palette entries")
	if err != nil {
		return nil, err
	}
	var pal palette
	for i := range n {
		pal[i] = binary.LittleEndian.Uint32(b[i*4:]) & 0xffffff
	}
	return &pal, nil
}
