package screen

import (
	"encoding/binary"
	"math/bits"
	"time"

	"github.com/deskstorm/deskstorm/spice/wire"
)

// lightsTime is how long after a lock key the server tells the lights by
// itself (KEY_MODIFIERS_TTL in spice-server's inputs-channel.cpp).
const lightsTime = 2 * time.Second

// serverKeys is what the server knows of the keyboard. It outlives clients.
type serverKeys struct {
	lights   wire.Lock // the server's own idea of them
	lockDown wire.Lock // lock keys held
	tellAt   time.Time // when lights are told next
	armed    bool      // the clock will look at tellAt

	// Keys held, by scan code, plain and extended: they are released for a
	// client that is gone.
	pressed  [2][2]uint64
	extended byte // prefix that came last
}

// onInputs handles a message on inputs.
func (d *Desktop) onInputs(c *channel, typ uint16, body []byte, now time.Time) error {
	switch typ {
	case wire.MsgcInputsKeyDown, wire.MsgcInputsKeyUp:
		code, err := wire.ParseKey(body)
		if err != nil {
			return err
		}
		if typ == wire.MsgcInputsKeyDown {
			d.stats.Keys++
		}
		for ; code&0xff != 0; code >>= 8 {
			// In this order, because the guest may answer at once.
			d.syncLocks(byte(code), now)
			d.pushScan(byte(code), now)
		}
	case wire.MsgcInputsKeyModifiers:
		if len(body) < 2 {
			return errShort
		}
		d.wantLights(wire.Lock(binary.LittleEndian.Uint16(body)), now)
	case wire.MsgcInputsMouseMotion:
		if len(body) < wire.MotionSize {
			return errShort
		}
		d.onMotion(c, now)
	case wire.MsgcInputsMousePosition:
		if len(body) < wire.PositionSize {
			return errShort
		}
		d.onMotion(c, now)
	case wire.MsgcInputsMousePress, wire.MsgcInputsMouseRelease:
		if len(body) < wire.ButtonSize {
			return errShort
		}
	default:
		return errUnknown
	}
	return nil
}

// onMotion counts a mouse message; the server answers every fourth, whatever
// the guest does with it.
func (d *Desktop) onMotion(c *channel, now time.Time) {
	c.s.motions++
	if c.s.motions < wire.MotionAckBunch {
		return
	}
	c.s.motions = 0
	if d.serverLatency <= 0 {
		c.sendMotionAck()
		return
	}
	d.host.clock.at(now.Add(d.serverLatency), func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if !c.ended {
			c.sendMotionAck()
		}
	})
}

func (c *channel) sendMotionAck() {
	c.send(wire.MsgInputsMouseMotionAck, func(b []byte) []byte { return b })
}

// pushScan remembers which keys are held and hands the code to the guest.
func (d *Desktop) pushScan(code byte, now time.Time) {
	k := &d.keys
	switch {
	case code >= scanExtended && code <= scanExtended+2:
		k.extended = code
	case k.extended <= scanExtended:
		set, i := &k.pressed[k.extended/scanExtended], code&^scanRelease
		set[i/64] &^= 1 << (i % 64)
		if code&scanRelease == 0 {
			set[i/64] |= 1 << (i % 64)
		}
		fallthrough
	default:
		k.extended = 0
	}
	d.push(code, now)
}

// releaseKeys lets go of the keys that a client held when it went.
func (d *Desktop) releaseKeys(now time.Time) {
	pressed := d.keys.pressed
	for extended, set := range pressed {
		for word, held := range set {
			for ; held != 0; held &= held - 1 {
				if extended == 1 {
					d.pushScan(scanExtended, now)
				}
				d.pushScan(byte(word*64+bits.TrailingZeros64(held))|scanRelease, now)
			}
		}
	}
}

// syncLocks flips the server's own light of a lock key that goes down: a
// guess, which the guest's answer confirms, or the timer alone.
func (d *Desktop) syncLocks(code byte, now time.Time) {
	k, lock := &d.keys, lockOf(code)
	if code&scanRelease != 0 {
		k.lockDown &^= lock
		return
	}
	if lock == 0 || k.lockDown&lock != 0 {
		return
	}
	k.lights ^= lock
	k.lockDown |= lock
	d.tellLightsLater(now)
}

// wantLights presses the lock keys whose lights are not as the client wants
// them.
func (d *Desktop) wantLights(want wire.Lock, now time.Time) {
	for _, code := range [...]byte{scanScrollLock, scanNumLock, scanCapsLock} {
		lock := lockOf(code)
		if d.keys.lockDown&lock == 0 && (want^d.keys.lights)&lock != 0 {
			d.keys.lights ^= lock
			d.pushScan(code, now)
			d.pushScan(code|scanRelease, now)
		}
	}
	d.tellLightsLater(now)
}

// tellLightsLater starts the server's timer, or starts it again.
func (d *Desktop) tellLightsLater(now time.Time) {
	d.keys.tellAt = now.Add(lightsTime)
	if !d.keys.armed {
		d.keys.armed = true
		d.host.clock.at(d.keys.tellAt, d.tellLightsDue)
	}
}

func (d *Desktop) tellLightsDue() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Now().Before(d.keys.tellAt) {
		d.host.clock.at(d.keys.tellAt, d.tellLightsDue)
		return
	}
	d.keys.armed = false
	d.tellLights()
}

// setLights is the guest's doing: the server learns of it and tells the client.
func (d *Desktop) setLights(lights wire.Lock) {
	d.keys.lights = lights
	d.tellLights()
}

func (d *Desktop) tellLights() {
	if d.session == nil || d.session.inputs == nil {
		return
	}
	d.session.inputs.send(wire.MsgInputsKeyModifiers, func(b []byte) []byte { return wire.AppendModifiers(b, d.keys.lights) })
}
