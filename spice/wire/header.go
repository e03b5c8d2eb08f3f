package wire

import "encoding/binary"

// FullHeaderSize is the header's of those without mini headers (SpiceDataHeader in protocol.h): serial u64, type u16, size u32, and
// u32 where in the body a list of sub-messages is, 0 for none.
const FullHeaderSize = 18

// AppendFullHeader adds a header of a message without sub-messages.
func AppendFullHeader(b []byte, serial uint64, typ uint16, size int) []byte {
	b = binary.LittleEndian.AppendUint64(b, serial)
	b = AppendHeader(b, typ, size)
	return binary.LittleEndian.AppendUint32(b, 0)
}

// FullHeader reads type and size from the first FullHeaderSize bytes of b.
func FullHeader(b []byte) (typ uint16, size uint32) { return Header(b[8:]) }

// HeaderSize is the mini header's: type u16, size u32.
const HeaderSize = 6

// AppendHeader adds a mini header.
func AppendHeader(b []byte, typ uint16, size int) []byte {
	b = binary.LittleEndian.AppendUint16(b, typ)
	return binary.LittleEndian.AppendUint32(b, uint32(size))
}

// Header reads a mini header from the first HeaderSize bytes of b.
func Header(b []byte) (typ uint16, size uint32) {
	return binary.LittleEndian.Uint16(b), binary.LittleEndian.Uint32(b[2:])
}
