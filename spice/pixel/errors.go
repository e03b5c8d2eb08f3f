package pixel

import (
	"errors"
	"fmt"
)

// ErrTooLarge says that an image has more pixels than the caller allows.
var ErrTooLarge = errors.New("image too large")

// FormatError says that an image's bytes break the format.
type FormatError struct {
	Offset int    // where in the message
	What   string // what is wrong there
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("offset %d: %s", e.Offset, e.What)
}

// UnsupportedError says that an image is encoded in a way, or needs data from
// earlier messages, that this package does not handle.
type UnsupportedError struct {
	Offset int // where in the message
	Type   ImageType
	Detail string // what about the type is not decoded; empty: all of it
}

func (e *UnsupportedError) Error() string {
	if e.Detail == "" {
		return fmt.Sprintf("offset %d: %v images are not decoded", e.Offset, e.Type)
	}
	return fmt.Sprintf("offset %d: %v image: %s", e.Offset, e.Type, e.Detail)
}
