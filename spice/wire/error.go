package wire

import "fmt"

// Error says where in a message's body the decoding failed. Offset counts
// bytes from the start of the body, without the message header.
type Error struct {
	Offset int
	What   string
}

func (e *Error) Error() string { return fmt.Sprintf("at byte %d: %s", e.Offset, e.What) }
