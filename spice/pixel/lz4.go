package pixel

import (
	"encoding/binary"
	"fmt"
	"slices"
	"unsafe"

	"github.com/pierrec/lz4/v4"
)

// lz4Window is how far back an LZ4 match can reach.
const lz4Window = 64 << 10

// decodeLZ4 decodes an LZ4 picture: u32 size, u8 top-down, u8 bitmap format,
// then blocks, each a big-endian u32 size and an LZ4 block that may refer to
// the blocks before it (spice-server's lz4-encoder.c).
func decodeLZ4(c *cursor, d Descriptor, scratch []uint32) ([]uint32, error) {
	data, err := c.takeCounted("LZ4 data")
	if err != nil {
		return nil, err
	}
	at := c.off - len(data)
	if len(data) < 2 {
		return nil, &FormatError{Offset: at, What: fmt.Sprintf("LZ4 data of %d bytes, its header has 2", len(data))}
	}
	topDown, f := data[0] != 0, format(data[1])
	if f.indexed() || f.bits() == 0 {
		return nil, &FormatError{Offset: at + 1, What: fmt.Sprintf("%v pixels in an LZ4 image", f)}
	}
	n := int(d.Width) * int(d.Height)
	size := n * int(f.bits()/8)
	if size/maxExpansion > len(data) {
		return nil, &FormatError{Offset: at, What: fmt.Sprintf("LZ4 data of %d bytes cannot hold %d", len(data), size)}
	}
	pix := resize(scratch, n)
	// Blocks are unpacked into the pixels' own memory and widened in place;
	// a buffer of their own would double what a full screen costs.
	raw := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(pix))), n*4)[:size:size]
	filled := 0
	for p := 2; p < len(data); {
		if len(data)-p < 4 {
			return nil, &FormatError{Offset: at + p, What: "LZ4 data ends inside a block's size"}
		}
		block := uint64(binary.BigEndian.Uint32(data[p:]))
		p += 4
		if block > uint64(len(data)-p) {
			return nil, &FormatError{Offset: at + p - 4, What: fmt.Sprintf("LZ4 block of %d bytes, %d are left", block, len(data)-p)}
		}
		got, err := lz4.UncompressBlockWithDict(data[p:p+int(block)], raw[filled:], raw[max(0, filled-lz4Window):filled])
		if err != nil || got <= 0 {
			return nil, &FormatError{Offset: at + p, What: fmt.Sprintf("bad LZ4 block of %d bytes, or more than the picture's %d bytes", block, size)}
		}
		filled += got
		p += int(block)
	}
	if filled != size {
		return nil, &FormatError{Offset: at + len(data), What: fmt.Sprintf("LZ4 data ends after %d of %d bytes", filled, size)}
	}
	f.unpackRGB(pix, raw)
	if !topDown {
		flip(pix, int(d.Width))
	}
	return pix, nil
}

// EncodeLZ4 appends to dst the picture as an LZ4 SPICE image, descriptor
// first, as it stands in a DRAW_COPY message; it holds no offsets and so may
// stand anywhere in it. img.Pix must hold Width*Height pixels, at least one
// and fewer than 2^29.
func EncodeLZ4(dst []byte, img Image) []byte {
	pix := img.Pix[:img.Width*img.Height]
	dst = appendDescriptor(dst, TypeLZ4, img.Width, img.Height)
	sizeAt := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	dst = append(dst, 1, byte(format32)) // top-down
	blockAt := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	start := len(dst)

	// The plain bytes stand behind the room for the block and are cut off
	// again, so that a reused dst is all the memory that this takes.
	bound := lz4.CompressBlockBound(len(pix) * 4)
	dst = slices.Grow(dst, bound+len(pix)*4)[:start+bound]
	for _, p := range pix {
		dst = binary.LittleEndian.AppendUint32(dst, p)
	}
	// It cannot fail where the room is as large as the bound.
	n, _ := lz4.CompressBlock(dst[start+bound:], dst[start:start+bound], nil)
	binary.BigEndian.PutUint32(dst[blockAt:], uint32(n))
	binary.LittleEndian.PutUint32(dst[sizeAt:], uint32(start+n-sizeAt-4))
	return dst[:start+n]
}
