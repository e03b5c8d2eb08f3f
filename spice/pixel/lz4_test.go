package pixel

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
)

// lz4Image is an LZ4 image of blocks that need not be right.
func lz4Image(topDown byte, f format, width, height int, blocks ...[]byte) []byte {
	data := []byte{topDown, byte(f)}
	for _, b := range blocks {
		data = binary.BigEndian.AppendUint32(data, uint32(len(b)))
		data = append(data, b...)
	}
	msg := appendDescriptor(nil, TypeLZ4, width, height)
	msg = binary.LittleEndian.AppendUint32(msg, uint32(len(data)))
	return append(msg, data...)
}

// plain is an LZ4 block of fewer than 15 literals.
func plain(b ...byte) []byte { return append([]byte{byte(len(b)) << 4}, b...) }

func TestLZ4Blocks(t *testing.T) {
	const a, b = 0x112233, 0x445566
	rowA, rowB := []byte{0x33, 0x22, 0x11, 0xee}, []byte{0x66, 0x55, 0x44, 0xee}
	both := append(append([]byte(nil), rowA...), rowB...)
	// Five literals must end a block, so the second block's match is followed
	// by them: 8 bytes from 8 back, then 8 literals.
	backwards := append([]byte{4, 8, 0}, plain(both...)...)
	for name, tc := range map[string]struct {
		msg  []byte
		want Image
	}{
		"one block":      {lz4Image(1, format32, 1, 2, plain(both...)), Image{1, 2, []uint32{a, b}}},
		"a block a row":  {lz4Image(1, format32, 1, 2, plain(rowA...), plain(rowB...)), Image{1, 2, []uint32{a, b}}},
		"block in a row": {lz4Image(1, format32, 1, 2, plain(both[:3]...), plain(both[3:]...)), Image{1, 2, []uint32{a, b}}},
		"bottom-up":      {lz4Image(0, format32, 1, 2, plain(both...)), Image{1, 2, []uint32{b, a}}},
		"a match in the block before": {lz4Image(1, formatRGBA, 2, 3, plain(both...), backwards),
			Image{2, 3, []uint32{a, b, a, b, a, b}}},
		"24BIT": {lz4Image(1, format24, 1, 3, plain(0x33, 0x22, 0x11, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11)), Image{1, 3, []uint32{a, b, a}}},
		"16BIT": {lz4Image(0, format16, 1, 3, plain(0x00, 0x7c, 0xe0, 0x03, 0x1f, 0)), Image{1, 3, []uint32{0x0000ff, 0x00ff00, 0xff0000}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Decode(tc.msg, 0, 100, nil)
			require.NoError(t, err)
			require.Equal(t, tc.want, got)
		})
	}
}

func TestLZ4Errors(t *testing.T) {
	const data, block = DescriptorSize + 4, DescriptorSize + 4 + 2
	row := plain(1, 2, 3, 4)
	for name, tc := range map[string]struct {
		msg []byte
		off int
	}{
		"size cut":             {lz4Image(1, format32, 1, 1, row)[:21], 18},
		"data cut":             {lz4Image(1, format32, 1, 1, row)[:30], 22},
		"palette format":       {lz4Image(1, format8, 1, 1, row), data + 1},
		"unknown format":       {lz4Image(1, 10, 1, 1, row), data + 1},
		"no block":             {lz4Image(1, format32, 1, 1), block},
		"block size cut":       {lz4Image(1, format32, 1, 2, row, nil)[:block+4+5], 22},
		"empty block":          {lz4Image(1, format32, 1, 1, nil), block + 4},
		"block of nothing":     {lz4Image(1, format32, 1, 1, []byte{0}), block + 4},
		"block wrong":          {lz4Image(1, format32, 1, 1, []byte{0xf0}), block + 4},
		"match before start":   {lz4Image(1, format32, 4, 1, []byte{0x10, 1, 9, 0, 0x50, 1, 2, 3, 4, 5}), block + 4},
		"block beyond picture": {lz4Image(1, format32, 1, 1, plain(1, 2, 3, 4, 5)), block + 4},
		"one block more":       {lz4Image(1, format32, 1, 1, row, row), block + 4 + 5 + 4},
		"picture not filled":   {lz4Image(1, format32, 1, 2, row), block + 4 + 5},
		"too few bytes":        {lz4Image(1, format32, 99, 99, row), data},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Decode(tc.msg, 0, 100*100, nil)
			var e *FormatError
			require.ErrorAs(t, err, &e)
			require.Equal(t, tc.off, e.Offset, err)
		})
	}
	msg := lz4Image(1, format32, 1, 1, row)
	binary.BigEndian.PutUint32(msg[block:], 6)
	_, err := Decode(msg, 0, 100, nil)
	var e *FormatError
	require.ErrorAs(t, err, &e)
	require.Equal(t, block, e.Offset, err)
}
