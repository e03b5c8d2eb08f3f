package screen

import "hash/fnv"

const (
	background = 0x000000
	foreground = 0xaaaaaa // VGA's light grey
	caretRows  = 2        // of pixels, at the bottom of the caret's cell
)

// cellPixels draws a character's cell. The font is not for reading: a glyph is
// a pattern made from the character's hash, all of them different, within
// columns that leave both sides of the cell blank. The caret goes from side to
// side, so that it is no glyph's part.
func cellPixels(pix []uint32, char byte, caret bool) {
	clear(pix[:CellWidth*CellHeight])
	if char > ' ' {
		h := fnv.New64a()
		for y := 2; y < CellHeight-2; y++ {
			_, _ = h.Write([]byte{char})
			row := h.Sum64() >> 24 // FNV's low bits differ least
			for x := 1; x <= 6; x++ {
				if row>>x&1 != 0 {
					pix[y*CellWidth+x] = foreground
				}
			}
		}
	}
	if caret {
		for i := (CellHeight - caretRows) * CellWidth; i < CellHeight*CellWidth; i++ {
			pix[i] = foreground
		}
	}
}
