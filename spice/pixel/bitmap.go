package pixel

import (
	"encoding/binary"
	"fmt"
)

// decodeBitmap decodes an uncompressed picture (BitmapData in spice.proto):
// u8 format, u8 flags, u32 width, u32 height, u32 bytes a row, palette, rows.
func decodeBitmap(c *cursor, d Descriptor, scratch []uint32) ([]uint32, error) {
	at := c.off
	h, err := c.take(14, "bitmap header")
	if err != nil {
		return nil, err
	}
	f, flags := format(h[0]), h[1]
	width, height := binary.LittleEndian.Uint32(h[2:]), binary.LittleEndian.Uint32(h[6:])
	stride := uint64(binary.LittleEndian.Uint32(h[10:]))
	if f.bits() == 0 {
		return nil, &UnsupportedError{Offset: at, Type: d.Type, Detail: f.String() + " pixels are not decoded"}
	}
	if width != d.Width || height != d.Height {
		return nil, &FormatError{Offset: at + 2, What: fmt.Sprintf("bitmap of %dx%d pixels in an image of %dx%d", width, height, d.Width, d.Height)}
	}
	row := (uint64(width)*f.bits() + 7) / 8
	if stride < row {
		return nil, &FormatError{Offset: at + 10, What: fmt.Sprintf("stride of %d bytes for rows of %d", stride, row)}
	}
	var pal *palette
	if f.indexed() {
		pal, err = takePalette(c, d.Type, flags)
	} else {
		// An offset or an id that nobody reads: true colour needs no palette.
		n := uint64(4)
		if flags&flagPaletteFromCache != 0 {
			n = 8
		}
		_, err = c.take(n, "palette offset")
	}
	if err != nil {
		return nil, err
	}
	data, err := c.take(stride*uint64(height), "bitmap rows")
	if err != nil {
		return nil, err
	}

	w := int(width)
	pix := resize(scratch, w*int(height))
	for y := range int(height) {
		src := data[y*int(stride):][:row]
		to := y
		if flags&flagTopDown == 0 {
			to = int(height) - 1 - y
		}
		dst := pix[to*w:][:w]
		if pal == nil {
			f.unpackRGB(dst, src)
			continue
		}
		bits := int(f.bits())
		for x := range dst {
			dst[x] = pal[f.index(src[x*bits/8], x)]
		}
	}
	return pix, nil
}

// EncodeBitmap appends to dst the picture as an uncompressed SPICE image,
// descriptor first, as it stands in a DRAW_COPY message; it holds no offsets
// and so may stand anywhere in it. img.Pix must hold Width*Height pixels.
func EncodeBitmap(dst []byte, img Image) []byte {
	dst = appendDescriptor(dst, TypeBitmap, img.Width, img.Height)
	dst = append(dst, byte(format32), flagTopDown)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(img.Width))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(img.Height))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(img.Width*4))
	dst = binary.LittleEndian.AppendUint32(dst, 0) // no palette
	for _, p := range img.Pix[:img.Width*img.Height] {
		dst = binary.LittleEndian.AppendUint32(dst, p)
	}
	return dst
}
