package spice

import (
	"sync/atomic"
	"time"

	"github.com/deskstorm/deskstorm/spice/wire"
)

const displayCaps = 1<<wire.CapDisplayMonitorsConfig | 1<<wire.CapDisplayLZ4 | 1<<wire.CapDisplayPrefCompression

// screen is what a session knows of the desktop's screen without decoding it.
type screen struct {
	first   chan time.Time // the first drawing's arrival, once
	started bool           // by the display channel's goroutine alone
	extent  atomic.Uint64  // width << 32 | height of the primary surface
	primary atomic.Uint32  // its id
	// watcher gets the drawings while a visible probe looks; nil otherwise.
	watcher atomic.Pointer[echoWatcher]
	asked   atomic.Bool // for images that can be decoded
	echo    *echo       // under Session.keyboard
}

func (s *screen) init() { s.first = make(chan time.Time, 1) }

func (s *screen) size() (width, height int) {
	e := s.extent.Load()
	return int(e >> 32), int(uint32(e))
}

func (s *Session) handleDisplay(m *message) error {
	switch {
	case wire.IsDraw(m.typ):
		return s.handleDrawing(m)
	case m.typ == wire.MsgDisplaySurfaceCreate:
		b, err := m.prefix(wire.SurfaceCreateSize)
		if err != nil {
			return err
		}
		surface, err := wire.ParseSurfaceCreate(b)
		if err != nil {
			return err
		}
		if surface.Flags&wire.SurfacePrimary != 0 {
			s.screen.primary.Store(surface.ID)
			s.screen.extent.Store(uint64(surface.Width)<<32 | uint64(surface.Height))
		}
	case m.typ == wire.MsgDisplayStreamData || m.typ == wire.MsgDisplayStreamDataSized:
		s.counts.frames.Add(1)
	}
	return nil
}

// handleDrawing counts a drawing by its box, and hands it to a probe that
// looks at pixels.
func (s *Session) handleDrawing(m *message) error {
	b, err := m.prefix(wire.DrawBaseSize)
	if err != nil {
		return err
	}
	base, err := wire.ParseDrawBase(b)
	if err != nil {
		return err
	}
	s.counts.drawings.Add(1)
	s.counts.pixels.Add(int64(base.Box.Pixels()))
	if !s.screen.started {
		s.screen.started = true
		s.screen.first <- time.Now()
	}
	if w := s.screen.watcher.Load(); w != nil && base.Surface == s.screen.primary.Load() {
		return w.drawing(m, base)
	}
	return nil
}

func (s *Session) handleCursor(*message) error {
	s.counts.cursor.Add(1)
	return nil
}

// askForPixels asks the server, once, for images that this client decodes. A
// server that cannot be asked is left as it is; what it sends undecodable is
// then said in the probe's loss.
func (s *Session) askForPixels() error {
	if s.screen.asked.Swap(true) || !s.display.caps.Has(wire.CapDisplayPrefCompression) {
		return nil
	}
	want := wire.CompressionLZ
	if s.display.caps.Has(wire.CapDisplayLZ4) {
		want = wire.CompressionLZ4
	}
	return s.display.send(wire.MsgcDisplayPreferredCompression, []byte{want})
}
