package spice

import (
	"fmt"

	"github.com/deskstorm/deskstorm/spice/wire"
)

// Key is a key's make code in scan code set 1 of a PC keyboard. Keys that send
// 0xE0 first have it in the low byte and their own code in the second.
type Key uint16

// Keys that are not characters.
const (
	KeyEscape     Key = 0x01
	KeyBackspace  Key = 0x0e
	KeyTab        Key = 0x0f
	KeyEnter      Key = 0x1c
	KeyControl    Key = 0x1d
	KeyShift      Key = 0x2a
	KeyAlt        Key = 0x38
	KeySpace      Key = 0x39
	KeyCapsLock   Key = 0x3a
	KeyF1         Key = 0x3b
	KeyF10        Key = 0x44
	KeyNumLock    Key = 0x45
	KeyScrollLock Key = 0x46
	KeyF12        Key = 0x58
	KeyHome       Key = 0x47e0
	KeyUp         Key = 0x48e0
	KeyPageUp     Key = 0x49e0
	KeyLeft       Key = 0x4be0
	KeyRight      Key = 0x4de0
	KeyEnd        Key = 0x4fe0
	KeyDown       Key = 0x50e0
	KeyPageDown   Key = 0x51e0
	KeyDelete     Key = 0x53e0
)

// down and up are the codes of KEY_DOWN and KEY_UP: a break code is the make
// code with its highest bit set.
func (k Key) down() uint32 { return uint32(k) }

func (k Key) up() uint32 {
	if k&0xff == 0xe0 {
		return uint32(k) | 0x8000
	}
	return uint32(k) | 0x80
}

// stroke is a key with or without shift.
type stroke struct {
	key   Key
	shift bool
}

// The rows of a US keyboard: plain, and with shift.
var layoutRows = [...]struct {
	first          Key
	plain, shifted string
}{
	{0x02, "1234567890-=", "!@#$%^&*()_+"},
	{0x10, "qwertyuiop[]", "QWERTYUIOP{}"},
	{0x1e, "asdfghjkl;'`", "ASDFGHJKL:\"~"},
	{0x2b, "\\zxcvbnm,./", "|ZXCVBNM<>?"},
}

// strokeOf finds a character on a US keyboard.
func strokeOf(r rune) (stroke, bool) {
	switch r {
	case ' ':
		return stroke{key: KeySpace}, true
	case '\n':
		return stroke{key: KeyEnter}, true
	case '\t':
		return stroke{key: KeyTab}, true
	case '\b':
		return stroke{key: KeyBackspace}, true
	}
	for _, row := range layoutRows {
		for i := range len(row.plain) {
			switch r {
			case rune(row.plain[i]):
				return stroke{key: row.first + Key(i)}, true
			case rune(row.shifted[i]):
				return stroke{key: row.first + Key(i), shift: true}, true
			}
		}
	}
	return stroke{}, false
}

// strokesOf finds a text's characters; an error names the first that is not on
// a US keyboard.
func strokesOf(text string) ([]stroke, error) {
	strokes := make([]stroke, 0, len(text))
	for i, r := range text {
		k, ok := strokeOf(r)
		if !ok {
			return nil, fmt.Errorf("character %q at byte %d is not on a US keyboard", r, i)
		}
		strokes = append(strokes, k)
	}
	return strokes, nil
}

// press sends a whole stroke in one write: a key costs one system call.
func (s *Session) press(k stroke) error {
	c := s.inputs
	c.sending.Lock()
	defer c.sending.Unlock()
	c.out = c.out[:0]
	add := func(typ uint16, code uint32) {
		c.out = wire.AppendKey(wire.AppendHeader(c.out, typ, wire.KeySize), code)
	}
	if k.shift {
		add(wire.MsgcInputsKeyDown, KeyShift.down())
	}
	add(wire.MsgcInputsKeyDown, k.key.down())
	add(wire.MsgcInputsKeyUp, k.key.up())
	if k.shift {
		add(wire.MsgcInputsKeyUp, KeyShift.up())
	}
	if err := c.flush(); err != nil {
		return s.failed(err)
	}
	s.counts.keys.Add(1)
	return nil
}

// failed is why the session ended if it has, else the error at hand.
func (s *Session) failed(err error) error {
	if e := s.Err(); e != nil {
		return e
	}
	return err
}
