package pixel

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
)

// rawBitmap is a BITMAP image whose fields can be wrong.
type rawBitmap struct {
	format        format
	flags         byte
	width, height int
	stride        int
	palette       []uint32 // put behind the rows
	data          []byte
}

func (b rawBitmap) append(dst []byte) []byte {
	dst = appendDescriptor(dst, TypeBitmap, b.width, b.height)
	dst = append(dst, byte(b.format), b.flags)
	for _, v := range []int{b.width, b.height, b.stride} {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(v))
	}
	off := 0
	if b.palette != nil {
		off = len(dst) + 4 + len(b.data)
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(off))
	dst = append(dst, b.data...)
	if b.palette != nil {
		dst = appendPalette(dst, b.palette)
	}
	return dst
}

func appendPalette(dst []byte, entries []uint32) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, 42)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(entries)))
	for _, e := range entries {
		dst = binary.LittleEndian.AppendUint32(dst, e)
	}
	return dst
}

func TestBitmapFormats(t *testing.T) {
	const a, b, c = 0x112233, 0x445566, 0x778899
	sixteen := make([]uint32, 16)
	for i := range sixteen {
		sixteen[i] = uint32(i) * 0x010203
	}
	for name, tc := range map[string]struct {
		raw  rawBitmap
		want []uint32
	}{
		"1BIT_LE": {rawBitmap{format1LE, flagTopDown, 9, 2, 2, []uint32{a, b}, []byte{0x81, 1, 0x02, 0}},
			[]uint32{b, a, a, a, a, a, a, b, b, a, b, a, a, a, a, a, a, a}},
		"1BIT_BE": {rawBitmap{format1BE, flagTopDown, 9, 2, 2, []uint32{a, b}, []byte{0x83, 0x80, 0x40, 0}},
			[]uint32{b, a, a, a, a, a, b, b, b, a, b, a, a, a, a, a, a, a}},
		"4BIT_LE": {rawBitmap{format4LE, flagTopDown, 3, 1, 2, sixteen, []byte{0x21, 0xf3}}, []uint32{0x010203, 0x020406, 0x030609}},
		"4BIT_BE": {rawBitmap{format4BE, flagTopDown, 3, 1, 2, sixteen, []byte{0x12, 0x3f}}, []uint32{0x010203, 0x020406, 0x030609}},
		"8BIT":    {rawBitmap{format8, flagTopDown, 3, 1, 4, []uint32{a, b, c}, []byte{2, 0, 1, 99}}, []uint32{c, a, b}},
		"8BIT, palette to be cached, top byte set, index beyond it": {
			rawBitmap{format8, flagTopDown | 1, 2, 1, 2, []uint32{0xff000000 | a}, []byte{0, 200}}, []uint32{a, 0}},
		"16BIT": {rawBitmap{format16, flagTopDown, 4, 1, 8, nil, []byte{0x00, 0x7c, 0xe0, 0x03, 0x1f, 0x80, 0x10, 0x42}},
			[]uint32{0xff0000, 0x00ff00, 0x0000ff, 0x848484}},
		"24BIT":                 {rawBitmap{format24, flagTopDown, 1, 1, 4, nil, []byte{0x33, 0x22, 0x11, 9}}, []uint32{a}},
		"32BIT":                 {rawBitmap{format32, flagTopDown, 1, 1, 4, nil, []byte{0x33, 0x22, 0x11, 0xee}}, []uint32{a}},
		"RGBA":                  {rawBitmap{formatRGBA, flagTopDown, 1, 1, 4, nil, []byte{0x33, 0x22, 0x11, 0x80}}, []uint32{a}},
		"bottom-up":             {rawBitmap{format32, 0, 1, 2, 4, nil, []byte{0x33, 0x22, 0x11, 0, 0x66, 0x55, 0x44, 0}}, []uint32{b, a}},
		"bottom-up, 8BIT":       {rawBitmap{format8, 0, 1, 3, 1, []uint32{a, b, c}, []byte{0, 1, 2}}, []uint32{c, b, a}},
		"stride beyond the row": {rawBitmap{format32, flagTopDown, 1, 2, 6, nil, []byte{0x33, 0x22, 0x11, 0, 9, 9, 0x66, 0x55, 0x44, 0, 9, 9}}, []uint32{a, b}},
	} {
		t.Run(name, func(t *testing.T) {
			before := []byte{1, 2, 3} // a palette's offset counts from the message's start
			got, err := Decode(tc.raw.append(before), len(before), 100, nil)
			require.NoError(t, err)
			require.Equal(t, Image{tc.raw.width, tc.raw.height, tc.want}, got)
		})
	}
}

func TestBitmapErrors(t *testing.T) {
	good := rawBitmap{format8, flagTopDown, 4, 2, 4, []uint32{1, 2}, make([]byte, 8)}
	change := func(at int, b ...byte) []byte {
		msg := good.append(nil)
		copy(msg[at:], b)
		return msg
	}
	paletteAt := DescriptorSize + 14 + 4 + 8
	for name, tc := range map[string]struct {
		msg         []byte
		off         int
		unsupported bool
	}{
		"header cut":           {good.append(nil)[:25], 18, false},
		"palette offset cut":   {good.append(nil)[:34], 32, false},
		"rows cut":             {change(28, 200), 36, false},
		"format 0":             {change(18, 0), 18, true},
		"format 8BIT_A":        {change(18, 10), 18, true},
		"other width":          {change(20, 5), 20, false},
		"other height":         {change(24, 1), 20, false},
		"stride below the row": {change(28, 3), 28, false},
		"stride enormous":      {change(28, 255, 255, 255, 255), 36, false},
		"palette in the cache": {change(19, flagTopDown|flagPaletteFromCache), 32, true},
		"no palette":           {change(32, 0), 32, true},
		"palette outside":      {change(32, 0, 0, 0, 0x80), 32, false},
		"palette cut":          {change(32, 70), 70, false},
		"palette too long":     {change(paletteAt+8, 1, 1), paletteAt + 8, false},
		"palette entries cut":  {change(paletteAt+8, 3), paletteAt + 10, false},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.off == 70 { // room for the offset to be inside, the palette not
				tc.msg = append(tc.msg, make([]byte, 72-len(tc.msg))...)
			}
			_, err := Decode(tc.msg, 0, 100, nil)
			if tc.unsupported {
				var e *UnsupportedError
				require.ErrorAs(t, err, &e)
				require.Equal(t, tc.off, e.Offset, err)
				require.NotEmpty(t, e.Detail)
				require.Contains(t, err.Error(), "BITMAP")
				return
			}
			var e *FormatError
			require.ErrorAs(t, err, &e)
			require.Equal(t, tc.off, e.Offset, err)
		})
	}
}

// A palette that true colour does not need may be named in any way.
func TestBitmapSkipsUnusedPalette(t *testing.T) {
	img := screen(5, 4)
	msg := EncodeBitmap(nil, img)
	binary.LittleEndian.PutUint32(msg[32:], 0xffffffff)
	got, err := Decode(msg, 0, 100, nil)
	require.NoError(t, err)
	require.Equal(t, img, got)

	msg[19] |= flagPaletteFromCache
	msg = append(msg[:36], append(make([]byte, 4), msg[36:]...)...) // an id is 8 bytes
	got, err = Decode(msg, 0, 100, nil)
	require.NoError(t, err)
	require.Equal(t, img, got)
}
