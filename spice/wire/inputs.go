package wire

import "encoding/binary"

// Messages of the inputs channel, from the server.
const (
	MsgInputsInit           uint16 = 101
	MsgInputsKeyModifiers   uint16 = 102
	MsgInputsMouseMotionAck uint16 = 111
)

// Messages of the inputs channel, from the client.
const (
	MsgcInputsKeyDown       uint16 = 101
	MsgcInputsKeyUp         uint16 = 102
	MsgcInputsKeyModifiers  uint16 = 103
	MsgcInputsMouseMotion   uint16 = 111
	MsgcInputsMousePosition uint16 = 112
	MsgcInputsMousePress    uint16 = 113
	MsgcInputsMouseRelease  uint16 = 114
)

// MotionAckBunch is how many motions or positions one MOUSE_MOTION_ACK answers
// (SPICE_INPUT_MOTION_ACK_BUNCH).
const MotionAckBunch = 4

// Lock is a set of keyboard lights (SPICE_KEYBOARD_MODIFIER_FLAGS_*).
type Lock uint16

// The keyboard lights.
const (
	ScrollLock Lock = 1 << 0
	NumLock    Lock = 1 << 1
	CapsLock   Lock = 1 << 2
)

// ParseModifiers reads INIT's and KEY_MODIFIERS' body.
func ParseModifiers(b []byte) (Lock, error) {
	d := decoder{b: b}
	m := Lock(d.u16("modifiers"))
	return m, d.err
}

// AppendModifiers adds INIT's or KEY_MODIFIERS' body.
func AppendModifiers(b []byte, m Lock) []byte { return binary.LittleEndian.AppendUint16(b, uint16(m)) }

// AppendKey adds KEY_DOWN's or KEY_UP's body: up to four scan codes of set 1,
// the first in the lowest byte.
func AppendKey(b []byte, code uint32) []byte { return binary.LittleEndian.AppendUint32(b, code) }

// ParseKey reads KEY_DOWN's and KEY_UP's body.
func ParseKey(b []byte) (uint32, error) {
	d := decoder{b: b}
	c := d.u32("scan code")
	return c, d.err
}

// AppendMotion adds MOUSE_MOTION's body.
func AppendMotion(b []byte, dx, dy int32, buttons uint16) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(dx))
	b = binary.LittleEndian.AppendUint32(b, uint32(dy))
	return binary.LittleEndian.AppendUint16(b, buttons)
}

// AppendPosition adds MOUSE_POSITION's body for the first display.
func AppendPosition(b []byte, x, y uint32, buttons uint16) []byte {
	b = binary.LittleEndian.AppendUint32(b, x)
	b = binary.LittleEndian.AppendUint32(b, y)
	b = binary.LittleEndian.AppendUint16(b, buttons)
	return append(b, 0)
}

// Sizes of the client's bodies on the inputs channel.
const (
	KeySize      = 4
	MotionSize   = 10
	PositionSize = 11
	ButtonSize   = 3
)

// Button is a mouse button (SPICE_MOUSE_BUTTON_*).
type Button uint8

// The buttons.
const (
	ButtonLeft   Button = 1
	ButtonMiddle Button = 2
	ButtonRight  Button = 3
)

// AppendButton adds MOUSE_PRESS's or MOUSE_RELEASE's body; held is the mask of
// the buttons held after it.
func AppendButton(b []byte, button Button, held uint16) []byte {
	return binary.LittleEndian.AppendUint16(append(b, uint8(button)), held)
}
