package results

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	hdrhistogram "github.com/HdrHistogram/hdrhistogram-go"
)

// Sizes and offsets in HdrHistogram's compressed V2 encoding: a cookie and a length, then, deflated, a header with the
// figures as a 32-bit and the bounds as 64-bit big-endian integers (HdrHistogram's AbstractHistogram.java).
const (
	prefixSize    = 8
	headerSize    = 40
	figuresOffset = 12
	lowestOffset  = 16
	highestOffset = 24
)

// decodeHistogram decodes base64 of a compressed V2 histogram of this package's geometry. Other geometries are refused
// before they are decoded: a few bytes can ask for a histogram of a hundred megabytes.
func decodeHistogram(encoded string) (*hdrhistogram.PackedHistogram, error) {
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, err
	}
	if len(raw) < prefixSize {
		return nil, errors.New("too short")
	}
	inflated, err := zlib.NewReader(bytes.NewReader(raw[prefixSize:]))
	if err != nil {
		return nil, err
	}
	var header [headerSize]byte
	if _, err := io.ReadFull(inflated, header[:]); err != nil {
		return nil, fmt.Errorf("reading the header: %w", err)
	}
	f := binary.BigEndian.Uint32(header[figuresOffset:])
	lowest := binary.BigEndian.Uint64(header[lowestOffset:])
	highest := binary.BigEndian.Uint64(header[highestOffset:])
	if f != figures || lowest != lowestMicros || highest != uint64(highestMicros) {
		return nil, fmt.Errorf("%d figures from %d to %d instead of %d from %d to %d",
			f, lowest, highest, figures, lowestMicros, highestMicros)
	}
	return hdrhistogram.DecodePacked([]byte(encoded))
}
