package wire

import "encoding/binary"

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
