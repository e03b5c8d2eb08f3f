package pixel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const testMaxPixels = 1 << 22

// screen draws text-like rows: few colours, long runs, glyphs that come again.
func screen(width, height int) Image {
	rnd := rand.New(rand.NewPCG(1, 2))
	glyphs := make([]uint64, 40)
	for i := range glyphs {
		glyphs[i] = rnd.Uint64() & rnd.Uint64()
	}
	img := Image{Width: width, Height: height, Pix: make([]uint32, width*height)}
	for y := range height {
		for x := range width {
			g := glyphs[(x/8*7+y/8*13+x/64*y/8)%len(glyphs)]
			img.Pix[y*width+x] = 0x202830
			if g>>(y%8*8+x%8)&1 != 0 {
				img.Pix[y*width+x] = 0xd0d0c8
			}
		}
	}
	return img
}

// noise cannot be compressed.
func noise(width, height int) Image {
	rnd := rand.New(rand.NewPCG(3, 4))
	img := Image{Width: width, Height: height, Pix: make([]uint32, width*height)}
	for i := range img.Pix {
		img.Pix[i] = rnd.Uint32() & 0xffffff
	}
	return img
}

// recording is one file of testdata: an image in a message.
type recording struct {
	name string
	off  int
	msg  []byte
	want string // the picture's file; empty if there is none
}

func recordings(tb testing.TB) []recording {
	tb.Helper()
	names, err := filepath.Glob("testdata/*/*.bin")
	require.NoError(tb, err)
	var all []recording
	for _, name := range names {
		b, err := os.ReadFile(name)
		require.NoError(tb, err)
		require.GreaterOrEqual(tb, len(b), 4, name)
		r := recording{name: name, off: int(binary.LittleEndian.Uint32(b)), msg: b[4:]}
		base := strings.TrimSuffix(name, ".bin")
		short, _, _ := strings.Cut(filepath.Base(base), "-")
		for _, png := range []string{base + ".png", filepath.Join(filepath.Dir(name), short+".png")} {
			if _, err := os.Stat(png); err == nil {
				r.want = png
				break
			}
		}
		all = append(all, r)
	}
	return all
}

func readPNG(tb testing.TB, name string) Image {
	tb.Helper()
	f, err := os.Open(name)
	require.NoError(tb, err)
	defer f.Close()
	p, err := png.Decode(f)
	require.NoError(tb, err)
	b := p.Bounds()
	img := Image{Width: b.Dx(), Height: b.Dy()}
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			r, g, b, _ := p.At(x, y).RGBA()
			img.Pix = append(img.Pix, r>>8<<16|g>>8<<8|b>>8)
		}
	}
	return img
}

// What QEMU sent must decode to what QEMU's own screendump shows, and what
// spice-common encoded to what it decodes itself.
func TestRecorded(t *testing.T) {
	withPicture := 0
	for _, r := range recordings(t) {
		if r.want == "" {
			continue // a seed of the fuzz targets only
		}
		withPicture++
		t.Run(strings.TrimPrefix(r.name, "testdata/"), func(t *testing.T) {
			got, err := Decode(r.msg, r.off, testMaxPixels, nil)
			require.NoError(t, err)
			want := readPNG(t, r.want)
			require.Equal(t, [2]int{want.Width, want.Height}, [2]int{got.Width, got.Height})
			for i := range want.Pix {
				if got.Pix[i] != want.Pix[i] {
					t.Fatalf("pixel %d,%d is %06x, want %06x", i%want.Width, i/want.Width, got.Pix[i], want.Pix[i])
				}
			}
		})
	}
	require.GreaterOrEqual(t, withPicture, 25, "recordings are missing")
}

func TestEncodersRoundTrip(t *testing.T) {
	encoders := map[string]func([]byte, Image) []byte{"bitmap": EncodeBitmap, "lz4": EncodeLZ4, "lz": encodeLZ}
	for name, encode := range encoders {
		for _, img := range []Image{screen(1, 1), screen(32, 16), noise(33, 17), screen(320, 200), noise(1, 300), noise(300, 1)} {
			t.Run(fmt.Sprintf("%s/%dx%d", name, img.Width, img.Height), func(t *testing.T) {
				before := []byte("what stood before the image")
				msg := encode(before, img)
				got, err := Decode(msg, len(before), testMaxPixels, nil)
				require.NoError(t, err)
				require.Equal(t, [2]int{img.Width, img.Height}, [2]int{got.Width, got.Height})
				require.True(t, slices.Equal(img.Pix, got.Pix), "pixels differ")
				require.Equal(t, "what stood before the image", string(msg[:len(before)]))
				// A reused buffer with room gives the same and takes no new memory.
				again := encode(append(make([]byte, 0, 3*len(msg)+4*len(img.Pix)), before...), img)
				require.Equal(t, msg, again)
			})
		}
	}
}

func TestScratchIsReused(t *testing.T) {
	for _, encode := range []func([]byte, Image) []byte{EncodeBitmap, EncodeLZ4, encodeLZ} {
		img := screen(64, 32)
		msg := encode(nil, img)
		scratch := make([]uint32, 7, 64*32)
		got, err := Decode(msg, 0, testMaxPixels, scratch)
		require.NoError(t, err)
		require.Same(t, &scratch[0], &got.Pix[0])
		got, err = Decode(msg, 0, testMaxPixels, make([]uint32, 64*32-1))
		require.NoError(t, err)
		require.Equal(t, img.Pix, got.Pix)
	}
}

func TestReadDescriptor(t *testing.T) {
	msg := append([]byte{0xee}, 8, 7, 6, 5, 4, 3, 2, 1, 101, 4, 0x20, 3, 0, 0, 0x58, 2, 0, 0)
	d, err := ReadDescriptor(msg, 1)
	require.NoError(t, err)
	require.Equal(t, Descriptor{ID: 0x0102030405060708, Type: TypeLZRGB, Flags: 4, Width: 800, Height: 600}, d)

	for _, off := range []int{-1, 2, len(msg), len(msg) + 1, math.MaxInt} {
		_, err := ReadDescriptor(msg, off)
		var bad *FormatError
		require.ErrorAs(t, err, &bad)
		require.Equal(t, off, bad.Offset)
		require.Contains(t, err.Error(), fmt.Sprint("offset ", off))
	}
}

func TestUnsupportedTypesAreNamed(t *testing.T) {
	for typ, name := range map[ImageType]string{
		1: "QUIC", 102: "GLZ_RGB", 103: "FROM_CACHE", 104: "SURFACE", 105: "JPEG", 106: "FROM_CACHE_LOSSLESS",
		107: "ZLIB_GLZ_RGB", 108: "JPEG_ALPHA", 77: "type 77",
	} {
		msg := appendDescriptor([]byte{0, 0}, typ, 8, 8)
		_, err := Decode(msg, 2, testMaxPixels, nil)
		var unsupported *UnsupportedError
		require.ErrorAs(t, err, &unsupported)
		require.Equal(t, UnsupportedError{Offset: 2, Type: typ}, *unsupported)
		require.Equal(t, "offset 2: "+name+" images are not decoded", err.Error())
	}
}

func TestSizeLimits(t *testing.T) {
	msg := EncodeLZ4(nil, screen(64, 64))
	_, err := Decode(msg, 0, 64*64-1, nil)
	require.ErrorIs(t, err, ErrTooLarge)
	_, err = Decode(msg, 0, -1, nil)
	require.ErrorIs(t, err, ErrTooLarge)
	_, err = Decode(msg, 0, 64*64, nil)
	require.NoError(t, err)

	// The product of the largest sizes would not even fit an int.
	for i := 10; i < 18; i++ {
		msg[i] = 0xff
	}
	_, err = Decode(msg, 0, math.MaxInt, nil)
	require.ErrorIs(t, err, ErrTooLarge)

	for _, size := range [][2]int{{0, 5}, {5, 0}, {0, 0}} {
		msg := appendDescriptor(nil, TypeLZ4, size[0], size[1])
		_, err := Decode(msg, 0, testMaxPixels, nil)
		var bad *FormatError
		require.ErrorAs(t, err, &bad)
	}
}

// A small message that claims a large picture must not cost its memory.
func TestShortDataAllocatesNothing(t *testing.T) {
	for _, typ := range []ImageType{TypeLZRGB, TypeLZPalette, TypeLZ4} {
		img := screen(16, 16)
		var msg []byte
		switch typ {
		case TypeLZRGB:
			msg = encodeLZ(nil, img)
		case TypeLZ4:
			msg = EncodeLZ4(nil, img)
		default:
			msg = lzImage{typ: TypeLZPalette, format: format8, width: 16, height: 16, topDown: true, palette: make([]uint32, 2), units: make([]uint32, 256)}.append(nil)
		}
		const side = 4000
		binary.LittleEndian.PutUint32(msg[10:], side)
		binary.LittleEndian.PutUint32(msg[14:], side)
		if header := strings.Index(string(msg), "  ZL"); header >= 0 {
			stride := side * 4
			if typ == TypeLZPalette {
				stride = side
			}
			binary.BigEndian.PutUint32(msg[header+12:], side)
			binary.BigEndian.PutUint32(msg[header+16:], side)
			binary.BigEndian.PutUint32(msg[header+20:], uint32(stride))
		}
		const runs = 20
		var before, after runtime.MemStats
		var err error
		runtime.ReadMemStats(&before)
		for range runs {
			_, err = Decode(msg, 0, side*side, nil)
		}
		runtime.ReadMemStats(&after)
		var bad *FormatError
		require.ErrorAs(t, err, &bad)
		require.Contains(t, bad.What, "cannot hold")
		require.Less(t, (after.TotalAlloc-before.TotalAlloc)/runs, uint64(2048))
	}
}

// Whatever byte is missing or wrong: an answer or a typed error that names a
// place in or at the end of the message.
func TestCutAndChangedMessages(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for _, seed := range seeds(t) {
		if len(seed.msg) > 1024 {
			continue // each cut is decoded: the time grows with the square
		}
		for cut := range len(seed.msg) {
			checkDecode(t, seed.msg[:cut], seed.off)
		}
		for range 200 {
			msg := append([]byte(nil), seed.msg...)
			for range 1 + rnd.IntN(3) {
				msg[rnd.IntN(len(msg))] = byte(rnd.Uint32())
			}
			checkDecode(t, msg, seed.off)
		}
	}
}

// checkDecode fails the test unless Decode keeps what it promises.
func checkDecode(t *testing.T, msg []byte, off int) {
	t.Helper()
	const limit = 1 << 18
	img, err := Decode(msg, off, limit, nil)
	if err == nil {
		if len(img.Pix) != img.Width*img.Height || len(img.Pix) == 0 || len(img.Pix) > limit {
			t.Fatalf("%dx%d image has %d pixels", img.Width, img.Height, len(img.Pix))
		}
		for i, p := range img.Pix {
			if p > 0xffffff {
				t.Fatalf("pixel %d is %08x", i, p)
			}
		}
		return
	}
	var bad *FormatError
	var unsupported *UnsupportedError
	switch {
	case errors.As(err, &bad):
		if bad.Offset != off && (bad.Offset < 0 || bad.Offset > len(msg)) {
			t.Fatalf("%v: not in the message of %d bytes", err, len(msg))
		}
	case errors.As(err, &unsupported):
		if unsupported.Offset < off || unsupported.Offset > len(msg) {
			t.Fatalf("%v: not in the message of %d bytes", err, len(msg))
		}
	case !errors.Is(err, ErrTooLarge):
		t.Fatalf("error of unknown kind: %v", err)
	}
}
