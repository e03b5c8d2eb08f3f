package wire

import (
	"encoding/binary"
	"fmt"
)

// decoder reads fields one after another and remembers the first failure, so
// that a Parse function is a list of its fields.
type decoder struct {
	b   []byte
	off int
	err error
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = &Error{Offset: d.off, What: what}
	}
}

func (d *decoder) take(n int, field string) []byte {
	if d.err != nil {
		return nil
	}
	if n < 0 || n > len(d.b)-d.off {
		d.fail(fmt.Sprintf("%s needs %d bytes, %d are left", field, n, len(d.b)-d.off))
		return nil
	}
	b := d.b[d.off : d.off+n]
	d.off += n
	return b
}

func (d *decoder) u8(field string) uint8 {
	if b := d.take(1, field); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) u16(field string) uint16 {
	if b := d.take(2, field); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (d *decoder) u32(field string) uint32 {
	if b := d.take(4, field); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (d *decoder) u64(field string) uint64 {
	if b := d.take(8, field); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) i32(field string) int32 { return int32(d.u32(field)) }

// text reads n bytes of a C string, whose NUL may or may not be counted.
func (d *decoder) text(n uint32, field string) string {
	if n > 1<<16 {
		d.fail(fmt.Sprintf("%s of %d bytes is longer than 65536", field, n))
		return ""
	}
	b := d.take(int(n), field)
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
