package wire

// Messages of the cursor channel, from the server. A client that draws no
// pointer counts them.
const (
	MsgCursorInit uint16 = 101
	MsgCursorSet  uint16 = 103
	MsgCursorMove uint16 = 104
)

// AppendCursorInit adds a cursor channel's INIT: an invisible pointer at 0,0
// with no shape. Its last field is the cursor's flags, of which 1 is NONE: 0
// would announce a shape (spice.proto, Cursor).
func AppendCursorInit(b []byte) []byte {
	return append(append(b, make([]byte, 4+2+2+1)...), 1, 0)
}
