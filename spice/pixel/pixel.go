// Package pixel decodes the pictures inside SPICE display messages, so that a
// thin client can look at the few pixels a probe asks about and leave all the
// others compressed. It also encodes pictures for simulated desktops.
//
// Decoded are uncompressed bitmaps, SPICE's own LZ and LZ4. The other
// encodings need state that spans messages (GLZ, caches, surfaces) or a codec
// that a probe has no use for (QUIC, JPEG); they give an [UnsupportedError],
// and a client avoids them by asking its server for LZ or LZ4.
//
// Layouts are those of spice-common's spice.proto; numbers are those of
// spice-protocol's enums.h.
package pixel

import (
	"encoding/binary"
	"fmt"
)

// Image is a decoded picture. Pix holds Width*Height pixels of the form
// 0x00RRGGBB, row by row from the top.
type Image struct {
	Width, Height int
	Pix           []uint32
}

// ImageType says how a picture is encoded (SpiceImageType in enums.h).
type ImageType uint8

// The image types of spice-protocol's enums.h.
const (
	TypeBitmap            ImageType = 0
	TypeQUIC              ImageType = 1
	TypeLZPalette         ImageType = 100
	TypeLZRGB             ImageType = 101
	TypeGLZRGB            ImageType = 102
	TypeFromCache         ImageType = 103
	TypeSurface           ImageType = 104
	TypeJPEG              ImageType = 105
	TypeFromCacheLossless ImageType = 106
	TypeZlibGLZRGB        ImageType = 107
	TypeJPEGAlpha         ImageType = 108
	TypeLZ4               ImageType = 109
)

// String returns the type's name in enums.h without its prefix.
func (t ImageType) String() string {
	switch t {
	case TypeBitmap:
		return "BITMAP"
	case TypeQUIC:
		return "QUIC"
	case TypeLZPalette:
		return "LZ_PLT"
	case TypeLZRGB:
		return "LZ_RGB"
	case TypeGLZRGB:
		return "GLZ_RGB"
	case TypeFromCache:
		return "FROM_CACHE"
	case TypeSurface:
		return "SURFACE"
	case TypeJPEG:
		return "JPEG"
	case TypeFromCacheLossless:
		return "FROM_CACHE_LOSSLESS"
	case TypeZlibGLZRGB:
		return "ZLIB_GLZ_RGB"
	case TypeJPEGAlpha:
		return "JPEG_ALPHA"
	case TypeLZ4:
		return "LZ4"
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// DescriptorSize is the length in bytes of an image's fixed part.
const DescriptorSize = 18

// Descriptor is an image's fixed part (ImageDescriptor in spice.proto).
type Descriptor struct {
	ID            uint64 // the image's name in the client's cache
	Type          ImageType
	Flags         uint8  // SpiceImageFlags: 1 CACHE_ME, 2 HIGH_BITS_SET, 4 CACHE_REPLACE_ME
	Width, Height uint32 // pixels, as the server claims them: not checked
}

// ReadDescriptor reads the descriptor of the image at offset off of the
// display message msg. Its error is a *[FormatError].
func ReadDescriptor(msg []byte, off int) (Descriptor, error) {
	c := cursor{msg: msg, off: off}
	b, err := c.take(DescriptorSize, "image descriptor")
	if err != nil {
		return Descriptor{}, err
	}
	return Descriptor{
		ID:     binary.LittleEndian.Uint64(b),
		Type:   ImageType(b[8]),
		Flags:  b[9],
		Width:  binary.LittleEndian.Uint32(b[10:]),
		Height: binary.LittleEndian.Uint32(b[14:]),
	}, nil
}

// Decode decodes the image at offset off of the display message msg. Offsets
// inside the image (a palette's) count from the start of msg, which therefore
// must be the whole message body. Alpha is dropped.
//
// The pixels are put into scratch if its capacity suffices, else into a new
// slice. An image of more than maxPixels pixels gives [ErrTooLarge]; memory is
// at most 4 bytes a pixel, allocated only where the data is long enough to
// fill it, plus less than 2 KiB. Time is linear in pixels and data.
//
// Other errors are a *[FormatError] (the bytes are wrong) or an
// *[UnsupportedError] (the bytes may be right, but are not decoded here).
// After an error scratch may have been overwritten.
func Decode(msg []byte, off, maxPixels int, scratch []uint32) (Image, error) {
	d, err := ReadDescriptor(msg, off)
	if err != nil {
		return Image{}, err
	}
	var decode func(c *cursor, d Descriptor, scratch []uint32) ([]uint32, error)
	switch d.Type {
	case TypeBitmap:
		decode = decodeBitmap
	case TypeLZRGB:
		decode = decodeLZRGB
	case TypeLZPalette:
		decode = decodeLZPalette
	case TypeLZ4:
		decode = decodeLZ4
	default:
		return Image{}, &UnsupportedError{Offset: off, Type: d.Type}
	}
	if d.Width == 0 || d.Height == 0 {
		return Image{}, &FormatError{Offset: off, What: fmt.Sprintf("%v image of %dx%d pixels", d.Type, d.Width, d.Height)}
	}
	if uint64(d.Width)*uint64(d.Height) > uint64(max(maxPixels, 0)) {
		return Image{}, fmt.Errorf("%v image of %dx%d pixels at offset %d, limit %d: %w", d.Type, d.Width, d.Height, off, maxPixels, ErrTooLarge)
	}
	pix, err := decode(&cursor{msg: msg, off: off + DescriptorSize}, d, scratch)
	if err != nil {
		return Image{}, err
	}
	return Image{Width: int(d.Width), Height: int(d.Height), Pix: pix}, nil
}

// appendDescriptor appends the descriptor of an uncached image.
func appendDescriptor(dst []byte, t ImageType, width, height int) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, 0)
	dst = append(dst, byte(t), 0)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(width))
	return binary.LittleEndian.AppendUint32(dst, uint32(height))
}

// resize returns a slice of n pixels, in scratch if it is large enough.
func resize(scratch []uint32, n int) []uint32 {
	if cap(scratch) >= n {
		return scratch[:n]
	}
	return make([]uint32, n)
}

// flip turns a bottom-up picture, as Windows keeps them, the right way up.
func flip(pix []uint32, width int) {
	for top, bottom := 0, len(pix)-width; top < bottom; top, bottom = top+width, bottom-width {
		for x := range width {
			pix[top+x], pix[bottom+x] = pix[bottom+x], pix[top+x]
		}
	}
}
