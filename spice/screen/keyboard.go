package screen

import "github.com/deskstorm/deskstorm/spice/wire"

// keyboard is the guest's driver: it makes keystrokes of scan codes.
type keyboard struct {
	held     held
	extended bool // the last code was scanExtended
	skip     int  // codes of Pause to come
	locks    wire.Lock
	lockDown wire.Lock // lock keys held, whose repetitions change nothing
}

// held is a set of the keys that change what others type.
type held uint8

const (
	heldShiftLeft held = 1 << iota
	heldShiftRight
	heldCtrl // either of two, as is Alt
	heldAlt
)

// stroke is what one scan code meant to the guest.
type stroke struct {
	char  byte // a printable character, '\n', '\b', or 0
	leds  bool // the lights were set
	hangs bool
}

func (k *keyboard) scan(code byte) stroke {
	switch {
	case k.skip > 0:
		k.skip--
		return stroke{}
	case code == scanExtended:
		k.extended = true
		return stroke{}
	case code == scanPause:
		k.skip = 2
		return stroke{}
	}
	extended := k.extended
	k.extended = false
	down := code&scanRelease == 0
	code &^= scanRelease

	if h := holds(code, extended); h != 0 {
		k.held &^= h
		if down {
			k.held |= h
		}
		return stroke{}
	}
	if lock := lockOf(code); lock != 0 && !extended {
		pressed := down && k.lockDown&lock == 0
		k.lockDown &^= lock
		if down {
			k.lockDown |= lock
		}
		if pressed {
			k.locks ^= lock
		}
		return stroke{leds: pressed}
	}
	switch {
	case !down:
		return stroke{}
	case code == scanEnter:
		return stroke{char: '\n'}
	case extended && code != scanSlash:
		return stroke{}
	case code == scanBackspace:
		return stroke{char: '\b'}
	case code == scanF12:
		return stroke{hangs: true}
	case k.held&(heldCtrl|heldAlt) != 0:
		return stroke{}
	}
	return stroke{char: character(code, k.held&(heldShiftLeft|heldShiftRight) != 0 && !extended, k.locks&wire.CapsLock != 0)}
}

func holds(code byte, extended bool) held {
	switch code {
	case scanCtrl:
		return heldCtrl
	case scanAlt:
		return heldAlt
	case scanShiftLeft:
		if !extended { // else it is part of another key's code
			return heldShiftLeft
		}
	case scanShiftRight:
		if !extended {
			return heldShiftRight
		}
	}
	return 0
}

// lockOf is the light of a lock key, 0 for other keys.
func lockOf(code byte) wire.Lock {
	switch code &^ scanRelease {
	case scanCapsLock:
		return wire.CapsLock
	case scanNumLock:
		return wire.NumLock
	case scanScrollLock:
		return wire.ScrollLock
	}
	return 0
}
