package pixel

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// lzImage is an LZ image to be encoded. units are pixels (0x00RRGGBB, for
// RGB16 555), for palette formats packed bytes, in the stream's order.
type lzImage struct {
	typ           ImageType
	format        format
	width, height int
	topDown       bool
	palette       []uint32
	units         []uint32
}

func encodeLZ(dst []byte, img Image) []byte {
	return lzImage{typ: TypeLZRGB, format: format32, width: img.Width, height: img.Height, topDown: true, units: img.Pix}.append(dst)
}

func (l lzImage) append(dst []byte) []byte {
	var stream []byte
	topDown := uint32(0)
	if l.topDown {
		topDown = 1
	}
	stride := (l.width*int(l.format.bits()) + 7) / 8
	for _, v := range []uint32{lzMagic, lzVersion, uint32(l.format), uint32(l.width), uint32(l.height), uint32(stride), topDown} {
		stream = binary.BigEndian.AppendUint32(stream, v)
	}
	stream = compressLZ(stream, l.units, l.format)
	if l.format == formatRGBA {
		stream = append(stream, 0, 0x80) // alpha, which is not read
	}
	dst = appendDescriptor(dst, l.typ, l.width, l.height)
	if l.typ == TypeLZPalette {
		dst = append(dst, 0)
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(stream)))
	if l.typ == TypeLZPalette {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(dst)+4+len(stream)))
	}
	dst = append(dst, stream...)
	if l.typ == TypeLZPalette {
		dst = appendPalette(dst, l.palette)
	}
	return dst
}

// compressLZ is a greedy encoder: the last place where three units stood
// alike, else as they are.
func compressLZ(dst []byte, units []uint32, f format) []byte {
	shortest := 1
	switch {
	case f.indexed():
		shortest = 3
	case f == format16:
		shortest = 2
	}
	var plain []uint32
	flush := func() {
		for len(plain) > 0 {
			n := min(len(plain), 32)
			dst = append(dst, byte(n-1))
			for _, u := range plain[:n] {
				switch {
				case f.indexed():
					dst = append(dst, byte(u))
				case f == format16:
					dst = append(dst, byte(u>>8), byte(u))
				default:
					dst = append(dst, byte(u), byte(u>>8), byte(u>>16))
				}
			}
			plain = plain[n:]
		}
	}
	last := map[[3]uint32]int{}
	for n := 0; n < len(units); {
		length, distance := 0, 0
		if n+3 <= len(units) {
			key := [3]uint32(units[n : n+3])
			if at, ok := last[key]; ok && n-at <= lzFarDistance+1+65535 {
				distance = n - at
				for n+length < len(units) && units[n+length] == units[at+length] {
					length++
				}
			}
			last[key] = n
		}
		if length < 3 {
			plain = append(plain, units[n])
			n++
			continue
		}
		flush()
		dst = appendMatch(dst, length-shortest, distance-1)
		n += length
	}
	flush()
	return dst
}

// appendMatch appends a match; its length and distance are those of the wire.
func appendMatch(dst []byte, length, distance int) []byte {
	far := -1
	if distance >= lzFarDistance {
		far, distance = distance-lzFarDistance, lzFarDistance
	}
	dst = append(dst, byte(min(length, 6)+1)<<5|byte(distance>>8))
	if length >= 6 {
		rest := length - 6
		for ; rest >= 255; rest -= 255 {
			dst = append(dst, 255)
		}
		dst = append(dst, byte(rest))
	}
	dst = append(dst, byte(distance))
	if far >= 0 {
		dst = append(dst, byte(far>>8), byte(far))
	}
	return dst
}

// The bytes are by hand from lz_decompress_tmpl.c, not from an encoder here.
func TestLZStreams(t *testing.T) {
	const a, b = 0x112233, 0x445566
	for name, tc := range map[string]struct {
		format format
		stream []byte
		want   []uint32
		units  int
	}{
		"run as it is":            {format32, []byte{1, 0x33, 0x22, 0x11, 0x66, 0x55, 0x44}, []uint32{a, b}, 0},
		"24 bits":                 {format24, []byte{0, 0x33, 0x22, 0x11}, []uint32{a}, 0},
		"16 bits":                 {format16, []byte{0, 0x7c, 0x1f}, []uint32{0xff00ff}, 0},
		"match of 1":              {format32, []byte{1, 0x33, 0x22, 0x11, 0x66, 0x55, 0x44, 1 << 5, 1}, []uint32{a, b, a}, 0},
		"match of 3, overlapping": {format32, []byte{1, 0x33, 0x22, 0x11, 0x66, 0x55, 0x44, 3 << 5, 1}, []uint32{a, b, a, b, a}, 0},
		"16 bits, match of 2":     {format16, []byte{0, 0x7c, 0x1f, 1 << 5, 0}, []uint32{0xff00ff, 0xff00ff, 0xff00ff}, 0},
		"match of 8, long form":   {format32, []byte{0, 0x33, 0x22, 0x11, 7 << 5, 1, 0}, []uint32{a, a, a, a, a, a, a, a, a}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got := make([]uint32, len(tc.want))
			end, err := expandLZ(got, tc.stream, 0, 0, tc.format)
			require.NoError(t, err)
			require.Equal(t, len(tc.stream), end)
			require.Equal(t, tc.want, got)
		})
	}
	got := make([]uint32, 4)
	_, err := expandLZ(got, []byte{0, 7, 1 << 5, 0}, 0, 0, format8)
	require.NoError(t, err)
	require.Equal(t, []uint32{7, 7, 7, 7}, got, "a byte match is of 3 at least")
}

func TestLZFormats(t *testing.T) {
	rnd := rand.New(rand.NewPCG(8, 9))
	pal := make([]uint32, 256)
	for i := range pal {
		pal[i] = rnd.Uint32() & 0xffffff
	}
	const width, height = 333, 101 // rows that end inside a byte; matches of every distance
	for _, f := range []format{format1LE, format1BE, format4LE, format4BE, format8, format16, format24, format32, formatRGBA} {
		for _, topDown := range []bool{true, false} {
			l := lzImage{typ: TypeLZRGB, format: f, width: width, height: height, topDown: topDown}
			row := width
			if f.indexed() {
				l.typ, l.palette = TypeLZPalette, pal
				row = (width*int(f.bits()) + 7) / 8
			}
			for range row * height {
				u := rnd.Uint32() & 0xffffff
				switch {
				case f.indexed():
					u &= 0xff
				case f == format16:
					u &= 0x7fff
				}
				if n := len(l.units); n > 100 && u%8 != 0 {
					u = l.units[n-1-int(u%3)*33]
				}
				l.units = append(l.units, u)
			}
			copy(l.units[len(l.units)*9/10:], l.units) // far back

			want := make([]uint32, width*height)
			for y := range height {
				to := y
				if !topDown {
					to = height - 1 - y
				}
				for x := range width {
					var p uint32
					switch {
					case f.indexed():
						p = pal[f.index(byte(l.units[y*row+x*int(f.bits())/8]), x)]
					case f == format16:
						p = rgb555(uint16(l.units[y*row+x]))
					default:
						p = l.units[y*row+x]
					}
					want[to*width+x] = p
				}
			}
			got, err := Decode(l.append([]byte{1}), 1, width*height, nil)
			require.NoError(t, err, f)
			require.True(t, slices.Equal(want, got.Pix), "%v, top-down %v", f, topDown)
		}
	}
}

func TestLZErrors(t *testing.T) {
	good := lzImage{typ: TypeLZRGB, format: format32, width: 4, height: 2, topDown: true, units: make([]uint32, 8)}
	const header, body = DescriptorSize + 4, DescriptorSize + 4 + lzHeaderSize
	change := func(at int, b ...byte) []byte {
		msg := good.append(nil)
		copy(msg[at:], b)
		return msg
	}
	stream := func(b ...byte) []byte {
		msg := append(good.append(nil)[:body], b...)
		binary.LittleEndian.PutUint32(msg[DescriptorSize:], uint32(lzHeaderSize+len(b)))
		return msg
	}
	for name, tc := range map[string]struct {
		msg []byte
		off int
	}{
		"size cut":               {good.append(nil)[:20], 18},
		"data cut":               {change(18, 200), 22},
		"header cut":             {change(18, 27), header},
		"magic":                  {change(header, 'x'), header},
		"version":                {change(header+7, 2), header + 4},
		"type 0":                 {change(header+11, 0), header + 8},
		"type 12":                {change(header+11, 12), header + 8},
		"palette without one":    {change(header+11, 5), header + 8},
		"other width":            {change(header+15, 5), header + 12},
		"other height":           {change(header+19, 5), header + 12},
		"stride":                 {change(header+23, 17), header + 20},
		"no stream":              {stream(), body},
		"run cut":                {stream(3, 1, 2, 3), body + 1},
		"run too long":           {stream(8, 1), body},
		"match first":            {stream(1<<5, 0), body},
		"match too far":          {stream(0, 1, 1, 1, 1<<5, 1), body + 4},
		"match too long":         {stream(0, 1, 1, 1, 7<<5, 9, 0), body + 4},
		"match length cut":       {stream(0, 1, 1, 1, 7<<5), body + 5},
		"match length endless":   {stream(0, 1, 1, 1, 7<<5, 255, 255, 255), body + 6},
		"match distance cut":     {stream(0, 1, 1, 1, 1<<5), body + 5},
		"match far distance cut": {stream(0, 1, 1, 1, 1<<5|31, 255, 0), body + 6},
		"bytes left over":        {stream(7, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 9), body + 25},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Decode(tc.msg, 0, 100, nil)
			var e *FormatError
			require.ErrorAs(t, err, &e)
			require.Equal(t, tc.off, e.Offset, err)
		})
	}
	for _, alphaOnly := range []byte{lzXXXA, lzA8} {
		_, err := Decode(change(header+11, alphaOnly), 0, 100, nil)
		var e *UnsupportedError
		require.ErrorAs(t, err, &e)
		require.Equal(t, header+8, e.Offset)
	}
}

func TestLZPaletteErrors(t *testing.T) {
	good := lzImage{typ: TypeLZPalette, format: format8, width: 4, height: 2, topDown: true, palette: make([]uint32, 2), units: make([]uint32, 8)}
	change := func(at int, b ...byte) []byte {
		msg := good.append(nil)
		copy(msg[at:], b)
		return msg
	}
	_, err := Decode(good.append(nil), 0, 100, nil)
	require.NoError(t, err)

	for _, msg := range [][]byte{change(18, flagPaletteFromCache), change(23, 0, 0, 0, 0)} {
		_, err := Decode(msg, 0, 100, nil)
		var e *UnsupportedError
		require.ErrorAs(t, err, &e)
		require.Equal(t, 23, e.Offset)
		require.Contains(t, err.Error(), "LZ_PLT")
	}
	for off, msg := range map[int][]byte{
		18: good.append(nil)[:22], 23: change(23, 0, 0, 0, 1), 27: change(19, 200), 35: change(27+11, byte(format32)),
	} {
		_, err := Decode(msg, 0, 100, nil)
		var e *FormatError
		require.ErrorAs(t, err, &e)
		require.Equal(t, off, e.Offset, err)
	}
}
