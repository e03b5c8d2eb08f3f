package pixel

import (
	"slices"
	"testing"
)

// seeds are images of each type and every recording.
func seeds(tb testing.TB) []recording {
	img := screen(20, 9)
	all := recordings(tb)
	for _, msg := range [][]byte{
		EncodeBitmap(nil, img),
		EncodeLZ4(nil, img),
		encodeLZ(nil, img),
		rawBitmap{format1BE, 0, 9, 2, 2, []uint32{1, 2}, []byte{1, 2, 3, 4}}.append(nil),
		rawBitmap{format4LE, 0, 3, 2, 2, make([]uint32, 16), []byte{1, 2, 3, 4}}.append(nil),
		rawBitmap{format16, flagTopDown, 3, 1, 8, nil, make([]byte, 8)}.append(nil),
		lz4Image(0, format24, 1, 2, plain(1, 2, 3), plain(4, 5, 6)),
		lz4Image(1, format16, 1, 2, plain(1, 2, 3, 4)),
		appendDescriptor(nil, TypeQUIC, 3, 4),
		appendDescriptor(nil, TypeFromCache, 3, 4),
	} {
		all = append(all, recording{msg: msg})
	}
	return all
}

func FuzzDecode(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s.msg, s.off)
	}
	f.Fuzz(checkDecode)
}

// The targets below fix the type, so that the fuzzer's time goes into one
// decoder; the image is at offset 0.
func fuzzType(f *testing.F, types ...ImageType) {
	for _, s := range seeds(f) {
		for _, typ := range types {
			if d, err := ReadDescriptor(s.msg, s.off); err == nil && d.Type == typ {
				f.Add(s.msg[s.off:], uint16(d.Width), uint16(d.Height))
			}
		}
	}
	f.Fuzz(func(t *testing.T, msg []byte, width, height uint16) {
		if len(msg) < DescriptorSize {
			return
		}
		for _, typ := range types {
			body := append([]byte(nil), msg[DescriptorSize:]...)
			checkDecode(t, append(appendDescriptor(nil, typ, int(width), int(height)), body...), 0)
		}
	})
}

func FuzzBitmap(f *testing.F)    { fuzzType(f, TypeBitmap) }
func FuzzLZRGB(f *testing.F)     { fuzzType(f, TypeLZRGB) }
func FuzzLZPalette(f *testing.F) { fuzzType(f, TypeLZPalette) }
func FuzzLZ4(f *testing.F)       { fuzzType(f, TypeLZ4) }

// What an encoder makes of any picture decodes to that picture.
func FuzzRoundTrip(f *testing.F) {
	f.Add(uint8(3), []byte("twelve bytes"))
	f.Add(uint8(1), make([]byte, 4000))
	f.Fuzz(func(t *testing.T, width uint8, colours []byte) {
		w := int(width)
		if w == 0 || len(colours) < w {
			return
		}
		img := Image{Width: w, Height: len(colours) / w}
		for _, c := range colours[:w*img.Height] {
			img.Pix = append(img.Pix, uint32(c)*0x010305&0xffffff)
		}
		for _, encode := range []func([]byte, Image) []byte{EncodeBitmap, EncodeLZ4, encodeLZ} {
			got, err := Decode(encode(nil, img), 0, len(img.Pix), nil)
			if err != nil || got.Width != w || got.Height != img.Height || !slices.Equal(img.Pix, got.Pix) {
				t.Fatalf("%dx%d: %v", w, img.Height, err)
			}
		}
	})
}
