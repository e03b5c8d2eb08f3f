package screen

import (
	"crypto/tls"
	"time"

	"github.com/deskstorm/deskstorm/spice/wire"
)

// NoCaret as Config.Caret is a screen without a caret.
const NoCaret time.Duration = -1

// NoPing as Config.Ping is a server that sends no PING, and so never finds a
// client silent.
const NoPing time.Duration = -1

// The size of a character's cell on the screen, in pixels: VGA's text mode.
const (
	CellWidth  = 9
	CellHeight = 16
)

const (
	defaultWidth  = 720 // 80 cells
	defaultHeight = 400 // 25 cells

	// defaultCaret is QEMU's, which toggles the VGA caret every 16 frames of
	// 60 a second (VGA_TEXT_CURSOR_PERIOD_MS in hw/display/vga_int.h).
	defaultCaret = 270 * time.Millisecond

	// defaultPing is PING_TEST_TIMEOUT_MS of spice-server's
	// red-channel-client.cpp.
	defaultPing = 15 * time.Second
)

// Config is what a desktop starts with. The zero value is a desktop without a
// ticket that answers at once.
type Config struct {
	// Width and Height are the screen's, in pixels: 720x400 if 0, at most
	// 8,192 each, at least one cell.
	Width, Height int

	// Caret is half a blinking period: 270 ms if 0, no caret if negative.
	Caret time.Duration

	// Ping is the time between main's PINGs: 15 s if 0, no PING if negative.
	Ping time.Duration

	// Ticket is the password that clients need until Expires; "" is none. A
	// zero Expires is never. Longer than wire.MaxTicket bytes, no client can
	// send it.
	Ticket  string
	Expires time.Time

	// TLS is what ServeTLS presents to clients.
	TLS *tls.Config

	// Secure are the channels that must be opened over TLS (QEMU's
	// tls-channel).
	Secure []wire.ChannelType

	// GuestLatency and ServerLatency are the first values of SetGuestLatency
	// and SetServerLatency.
	GuestLatency, ServerLatency time.Duration
}

func (c Config) withDefaults() Config {
	size := func(v, usual, cell int) int {
		if v == 0 {
			return usual
		}
		return min(max(v, cell), 8192)
	}
	c.Width, c.Height = size(c.Width, defaultWidth, CellWidth), size(c.Height, defaultHeight, CellHeight)
	if c.Caret == 0 {
		c.Caret = defaultCaret
	}
	if c.Ping == 0 {
		c.Ping = defaultPing
	}
	return c
}
