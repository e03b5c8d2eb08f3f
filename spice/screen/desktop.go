package screen

import (
	"net"
	"slices"
	"sync"
	"time"
)

// Desktop is one simulated desktop. Its methods may be used concurrently.
type Desktop struct {
	config Config // as it began; what can be set is below
	host   *host
	alone  bool // on its host

	mu            sync.Mutex
	guestLatency  time.Duration
	serverLatency time.Duration
	caret         time.Duration
	ticket        ticket
	dead          bool
	ports         []*port
	session       *session
	keys          serverKeys
	guest         guest
	caretShown    bool
	caretArmed    bool
	stats         Stats
}

// Stats counts what happened to a desktop since it was made.
type Stats struct {
	Clients   int    // connected now: 0 or 1
	Sessions  uint64 // main channels linked
	Evictions uint64 // clients that a later one pushed out
	Keys      uint64 // KEY_DOWN messages
	Drawings  uint64 // drawings sent
}

// New makes a desktop with a key and a clock of its own.
func New(c Config) *Desktop {
	d := newDesktop(c, newHost(newAlarm))
	d.alone = true
	return d
}

func newDesktop(c Config, h *host) *Desktop {
	c = c.withDefaults()
	d := &Desktop{
		config:        c,
		host:          h,
		guestLatency:  c.GuestLatency,
		serverLatency: c.ServerLatency,
		caret:         c.Caret,
		ticket:        ticket{c.Ticket, c.Expires},
	}
	d.guest.text.columns, d.guest.text.rows = c.Width/CellWidth, c.Height/CellHeight
	// The copy that is kept should not hold the secret.
	d.config.Ticket = ""
	return d
}

// Addr is where the desktop answers in plain, nil if it does not.
func (d *Desktop) Addr() net.Addr { return d.addr(false) }

// TLSAddr is where the desktop answers over TLS, nil if it does not.
func (d *Desktop) TLSAddr() net.Addr { return d.addr(true) }

func (d *Desktop) addr(secure bool) net.Addr {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.ports {
		if p.secure == secure && !p.shut {
			return p.listener.Addr()
		}
	}
	return nil
}

// SetGuestLatency sets how long after its arrival a key is echoed or a lock
// key's light is set, for keys to come. Zero or less is at once.
func (d *Desktop) SetGuestLatency(latency time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.guestLatency = latency
}

// SetServerLatency sets how long after its arrival a fourth mouse message is
// acknowledged. Zero or less is at once. The guest has no part in it.
func (d *Desktop) SetServerLatency(latency time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.serverLatency = latency
}

// SetCaret sets half the caret's blinking period, no caret if it is not more
// than zero.
func (d *Desktop) SetCaret(half time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.caret = half
	d.startCaret(time.Now())
}

// SetTicket makes password what clients that link from now on need, until
// expires, or for ever if that is zero; "" lets in everybody.
func (d *Desktop) SetTicket(password string, expires time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ticket = ticket{password, expires}
}

// Hang stops the guest, or lets it go on. Meanwhile up to 16 scan codes wait
// for it, later ones are lost. The caret blinks on, motions are acknowledged,
// and two seconds after a lock key the server still tells its lights: all
// that is not the guest's work.
func (d *Desktop) Hang(hung bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.guest.hung = hung
	d.pump(time.Now())
}

// Hung tells whether the guest hangs, by Hang or by F12.
func (d *Desktop) Hung() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.guest.hung
}

// Drop cuts the client's connections; it may connect again.
func (d *Desktop) Drop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.endSession()
}

// Kill cuts all connections and closes the listeners, as the end of the
// desktop's process would. It stays dead.
func (d *Desktop) Kill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = true
	for _, p := range slices.Clone(d.ports) {
		d.shut(p)
	}
	d.endSession()
	if d.alone {
		d.host.clock.stop()
	}
}

// Stats returns the counts so far.
func (d *Desktop) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stats
}

// Line is the text in the caret's row.
func (d *Desktop) Line() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return string(d.guest.text.line)
}

// Typed is what the guest took from its keyboard, at least the last 512
// keystrokes: characters, '\n' for Enter and '\b' for Backspace.
func (d *Desktop) Typed() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return string(d.guest.typed)
}
