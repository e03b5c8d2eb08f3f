package wire

import "encoding/binary"

// AppendMonitorsConfig adds a MONITORS_CONFIG body for one monitor that shows
// all of surface 0 (struct Head in spice.proto).
func AppendMonitorsConfig(b []byte, width, height uint32) []byte {
	b = binary.LittleEndian.AppendUint16(b, 1) // monitors
	b = binary.LittleEndian.AppendUint16(b, 1) // allowed
	for _, v := range [...]uint32{0, 0, width, height, 0, 0, 0} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return b
}
