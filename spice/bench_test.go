package spice

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/deskstorm/deskstorm/spice/pixel"
	desktops "github.com/deskstorm/deskstorm/spice/screen"
	"github.com/deskstorm/deskstorm/spice/wire"
)

// repeated is a stream that begins again, n times.
type repeated struct {
	b    []byte
	r    bytes.Reader
	left int
}

func (r *repeated) Read(b []byte) (int, error) {
	for {
		if n, err := r.r.Read(b); err == nil {
			return n, nil
		}
		if r.left == 0 {
			return 0, io.EOF
		}
		r.left--
		r.r.Reset(r.b)
	}
}

// BenchmarkWatch is what one drawing costs a session that counts it, and one
// whose probe looks at its place. MB/s are of the display channel's bytes.
func BenchmarkWatch(b *testing.B) {
	glyph := wire.Rect{Top: 16, Left: 9, Bottom: 32, Right: 18}
	far := wire.Rect{Top: 160, Left: 90, Bottom: 176, Right: 99}
	page := wire.Rect{Bottom: 400, Right: 720}
	for _, d := range []struct {
		name string
		body []byte
	}{
		{"glyph", drawing(glyph, pixel.EncodeLZ4)},
		{"elsewhere", drawing(far, pixel.EncodeLZ4)},
		{"page", drawing(page, pixel.EncodeBitmap)},
	} {
		m := msg(wire.MsgDisplayDrawCopy, d.body)
		for _, probed := range []bool{false, true} {
			name := d.name + "/watched"
			if probed {
				name = d.name + "/probed"
			}
			b.Run(name, func(b *testing.B) {
				s := unlinked()
				if probed {
					n := glyph.Pixels()
					e := &echo{box: glyph, shown: make([]uint32, n), hidden: make([]uint32, n), now: make([]uint32, n)}
					s.screen.watcher.Store(e.watch(true))
				}
				conn := streamOf(nil)
				conn.Reader = &repeated{b: m, left: b.N}
				c, handle := s.over(wire.Display, conn)
				b.SetBytes(int64(len(m)))
				b.ReportAllocs()
				b.ResetTimer()
				if err := c.run(handle); !errors.Is(err, io.EOF) {
					b.Fatal(err)
				}
				if got := s.Stats().Drawings; got != int64(b.N) {
					b.Fatalf("%d drawings of %d", got, b.N)
				}
			})
		}
	}
}

// BenchmarkKey is a key pressed and released, up to the connection.
func BenchmarkKey(b *testing.B) {
	s := unlinked()
	b.ReportAllocs()
	for b.Loop() {
		if err := s.press(probeKey); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRoundTrip is a probe against a simulated desktop in this process,
// whose own work is in the figures.
func BenchmarkRoundTrip(b *testing.B) {
	farm, err := desktops.NewFarm(1, desktops.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer farm.Close()
	s, err := Dial(b.Context(), Config{Host: "127.0.0.1", Port: farm.Desktops()[0].Addr().(*net.TCPAddr).Port})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for _, trip := range []Trip{ServerTrip, GuestTrip, VisibleTrip} {
		b.Run(string(trip), func(b *testing.B) {
			b.ReportAllocs()
			var sum time.Duration
			if _, err := s.RoundTrip(b.Context(), trip); err != nil { // the visible one learns
				b.Fatal(err)
			}
			n := 0
			for b.Loop() {
				rtt, err := s.RoundTrip(b.Context(), trip)
				if err != nil {
					b.Fatal(err)
				}
				sum += rtt
				n++
			}
			b.ReportMetric(float64(sum.Nanoseconds())/float64(n), "rtt-ns")
		})
	}
}
