package results

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"time"
)

// packedVersion begins what Pack writes.
const packedVersion = 1

// ErrPacked is returned for bytes that Pack did not write.
var ErrPacked = errors.New("not packed aggregates")

// Buckets returns a Trend's histogram: durations in milliseconds within 0.1 %, ascending, with how many samples there are of each.
// Other kinds have none.
func (a *Aggregate) Buckets() iter.Seq2[float64, int64] {
	return func(yield func(float64, int64) bool) {
		if a.micros != nil {
			a.micros.ForEachBucket(func(value, count int64) bool { return yield(float64(value)/1000, count) })
		}
	}
}

// Pack writes aggregates of one series without the series. It is for keeping a great many of them: a line takes a millisecond to
// encode, because each histogram is deflated by itself, and twice the room.
func Pack(aggregates []*Aggregate) []byte {
	b := binary.AppendUvarint([]byte{packedVersion}, uint64(len(aggregates)))
	float := func(v float64) { b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v)) }
	var before int64
	for _, a := range aggregates {
		start := a.Start.UnixNano()
		b = binary.AppendVarint(b, start-before)
		b = binary.AppendVarint(b, a.End.UnixNano()-start)
		before = start
		b = binary.AppendUvarint(b, uint64(a.Count))
		float(a.Sum)
		float(a.Min)
		float(a.Max)
		switch a.Kind {
		case Gauge:
			float(a.Last)
			var since int64 // a gauge without samples has no time of the last one
			if !a.LastAt.IsZero() {
				since = a.LastAt.UnixNano() - start
			}
			b = binary.AppendVarint(b, since)
		case Trend:
			b = binary.AppendUvarint(b, uint64(a.Clamped))
			b = binary.AppendUvarint(b, uint64(a.micros.Populated()))
			var last int64
			a.micros.ForEachBucket(func(value, count int64) bool {
				b = binary.AppendUvarint(b, uint64(value-last))
				b = binary.AppendUvarint(b, uint64(count))
				last = value
				return true
			})
		}
	}
	return b
}

// Unpack reads what Pack wrote. Times are in UTC. Bytes that Pack would not write give ErrPacked.
func Unpack(series Series, packed []byte) ([]*Aggregate, error) {
	u := unpacker{rest: packed}
	if u.byte() != packedVersion {
		return nil, fmt.Errorf("%s: %w, or those of a later program", series.Metric, ErrPacked)
	}
	n := u.uvarint()
	if u.failed {
		return nil, fmt.Errorf("%s: %w", series.Metric, ErrPacked)
	}
	var all []*Aggregate
	var before int64
	for range n {
		start := before + u.varint()
		before = start
		a := New(series, time.Unix(0, start).UTC(), time.Unix(0, start+u.varint()).UTC())
		a.Count = int64(u.uvarint())
		a.Sum, a.Min, a.Max = u.float(), u.float(), u.float()
		switch series.Kind {
		case Gauge:
			a.Last = u.float()
			if since := u.varint(); a.Count > 0 {
				a.LastAt = time.Unix(0, start+since).UTC()
			}
		case Trend:
			a.Clamped = int64(u.uvarint())
			u.histogram(a)
		}
		if u.failed {
			return nil, fmt.Errorf("%s: %w", series.Metric, ErrPacked)
		}
		l := line{Series: series, Start: a.Start, End: a.End, Count: a.Count, Sum: a.Sum, Min: a.Min, Max: a.Max,
			Clamped: a.Clamped, Last: a.Last, LastAt: a.LastAt}
		if err := l.check(); err != nil {
			return nil, fmt.Errorf("%s: %w: %w", series.Metric, ErrPacked, err)
		}
		all = append(all, a)
	}
	if len(u.rest) > 0 {
		return nil, fmt.Errorf("%s: %w: %d bytes too many", series.Metric, ErrPacked, len(u.rest))
	}
	return all, nil
}

// unpacker reads numbers until one is missing.
type unpacker struct {
	rest   []byte
	failed bool
}

func (u *unpacker) took(n int) {
	if u.failed = u.failed || n <= 0; !u.failed {
		u.rest = u.rest[n:]
	}
}

func (u *unpacker) byte() byte {
	if len(u.rest) == 0 {
		u.failed = true
		return 0
	}
	b := u.rest[0]
	u.took(1)
	return b
}

func (u *unpacker) uvarint() uint64 {
	v, n := binary.Uvarint(u.rest)
	u.took(n)
	return v
}

func (u *unpacker) varint() int64 {
	v, n := binary.Varint(u.rest)
	u.took(n)
	return v
}

func (u *unpacker) float() float64 {
	if len(u.rest) < 8 {
		u.failed = true
		return 0
	}
	v := math.Float64frombits(binary.LittleEndian.Uint64(u.rest))
	u.took(8)
	if math.IsNaN(v) || math.IsInf(v, 0) {
		u.failed = true
	}
	return v
}

// histogram reads a's. A bucket is recorded again by a value in it.
func (u *unpacker) histogram(a *Aggregate) {
	var value int64
	for range u.uvarint() {
		value += int64(u.uvarint())
		count := int64(u.uvarint())
		if u.failed || value < 0 || value > highestMicros || count <= 0 || a.micros.RecordValues(value, count) != nil {
			u.failed = true
			return
		}
	}
	u.failed = u.failed || a.micros.TotalCount() != a.Count
}
