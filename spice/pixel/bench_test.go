package pixel

import (
	"fmt"
	"testing"
)

// MB/s are of decoded pixels at 4 bytes each, so that types compare.
func BenchmarkDecode(b *testing.B) {
	types := []struct {
		name   string
		encode func([]byte, Image) []byte
	}{
		{"bitmap", EncodeBitmap},
		{"lz", encodeLZ},
		{"lz4", EncodeLZ4},
		{"bitmap8", func(dst []byte, img Image) []byte {
			return rawBitmap{format8, flagTopDown, img.Width, img.Height, img.Width, make([]uint32, 256), indices(img)}.append(dst)
		}},
		{"lzplt8", func(dst []byte, img Image) []byte {
			l := lzImage{typ: TypeLZPalette, format: format8, width: img.Width, height: img.Height, topDown: true, palette: make([]uint32, 256)}
			for _, i := range indices(img) {
				l.units = append(l.units, uint32(i))
			}
			return l.append(dst)
		}},
	}
	for _, img := range []Image{screen(32, 16), screen(1920, 1080)} {
		for _, typ := range types {
			msg := typ.encode(nil, img)
			b.Run(fmt.Sprintf("%dx%d/%s", img.Width, img.Height, typ.name), func(b *testing.B) {
				scratch := make([]uint32, len(img.Pix))
				b.SetBytes(int64(len(img.Pix) * 4))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := Decode(msg, 0, len(img.Pix), scratch); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(len(msg)), "msgbytes")
			})
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, img := range []Image{screen(32, 16), screen(1920, 1080)} {
		for name, encode := range map[string]func([]byte, Image) []byte{"bitmap": EncodeBitmap, "lz4": EncodeLZ4} {
			b.Run(fmt.Sprintf("%dx%d/%s", img.Width, img.Height, name), func(b *testing.B) {
				dst := encode(nil, img)
				b.SetBytes(int64(len(img.Pix) * 4))
				b.ReportAllocs()
				for b.Loop() {
					dst = encode(dst[:0], img)
				}
			})
		}
	}
}

func indices(img Image) []byte {
	b := make([]byte, len(img.Pix))
	for i, p := range img.Pix {
		b[i] = byte(p)
	}
	return b
}
