package pixel

import (
	"encoding/binary"
	"fmt"
)

// cursor reads a message from an offset on, never past its end.
type cursor struct {
	msg []byte
	off int
}

// take returns the next n bytes, which are what.
func (c *cursor) take(n uint64, what string) ([]byte, error) {
	if c.off < 0 || c.off > len(c.msg) {
		return nil, &FormatError{Offset: c.off, What: fmt.Sprintf("%s outside the message of %d bytes", what, len(c.msg))}
	}
	if left := len(c.msg) - c.off; n > uint64(left) {
		return nil, &FormatError{Offset: c.off, What: fmt.Sprintf("%s needs %d bytes, message has %d left", what, n, left)}
	}
	b := c.msg[c.off : c.off+int(n)]
	c.off += int(n)
	return b, nil
}

// takeCounted returns the bytes of a BinaryData: a u32 count, then as many.
func (c *cursor) takeCounted(what string) ([]byte, error) {
	b, err := c.take(4, what+" size")
	if err != nil {
		return nil, err
	}
	return c.take(uint64(binary.LittleEndian.Uint32(b)), what)
}
