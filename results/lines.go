package results

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"time"
)

// MaxLine is the longest line in bytes that a Decoder reads: several times a histogram with every bucket in use.
const MaxLine = 1 << 20

// LineError says in which line, counted from 1, decoding failed.
type LineError struct {
	Line int
	Err  error
}

func (e *LineError) Error() string { return fmt.Sprintf("results: line %d: %v", e.Line, e.Err) }

func (e *LineError) Unwrap() error { return e.Err }

// line is an aggregate as it stands in a file.
type line struct {
	Series
	Start     time.Time `json:"start"`
	End       time.Time `json:"end"`
	Count     int64     `json:"count"`
	Sum       float64   `json:"sum"`
	Min       float64   `json:"min"`
	Max       float64   `json:"max"`
	Clamped   int64     `json:"clamped,omitempty"`
	Last      float64   `json:"last,omitempty"`
	LastAt    time.Time `json:"last_at,omitzero"`
	Histogram string    `json:"histogram,omitempty"`
}

// Encoder writes aggregates as JSON lines.
type Encoder struct{ w io.Writer }

// NewEncoder returns an Encoder that writes to w.
func NewEncoder(w io.Writer) *Encoder { return &Encoder{w: w} }

// Encode writes a as one line with one Write.
func (e *Encoder) Encode(a *Aggregate) error {
	l := line{
		Series: a.Series, Start: a.Start, End: a.End, Count: a.Count, Sum: a.Sum, Min: a.Min, Max: a.Max,
		Clamped: a.Clamped, Last: a.Last, LastAt: a.LastAt,
	}
	if a.micros != nil {
		encoded, err := a.micros.Encode()
		if err != nil {
			return fmt.Errorf("encoding the histogram of %s: %w", a.Metric, err)
		}
		l.Histogram = string(encoded)
	}
	text, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", a.Metric, err)
	}
	if _, err := e.w.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("writing %s: %w", a.Metric, err)
	}
	return nil
}

// Decoder reads aggregates from JSON lines. It refuses whatever an Encoder would not write.
type Decoder struct {
	lines *bufio.Scanner
	read  int
	name  *regexp.Regexp
}

// NewDecoder returns a Decoder that reads from r.
func NewDecoder(r io.Reader) *Decoder {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, MaxLine)
	return &Decoder{lines: lines, name: regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]{0,127}$`)} // k6's rule for metric names
}

// Decode returns the next aggregate, io.EOF after the last, or a *LineError.
func (d *Decoder) Decode() (*Aggregate, error) {
	d.read++
	if !d.lines.Scan() {
		if err := d.lines.Err(); err != nil {
			return nil, &LineError{Line: d.read, Err: err}
		}
		return nil, io.EOF
	}
	a, err := d.parse(d.lines.Bytes())
	if err != nil {
		return nil, &LineError{Line: d.read, Err: err}
	}
	return a, nil
}

// Read returns all aggregates of r. With an error it returns those before it, because a run that was killed leaves half a
// line at the end.
func Read(r io.Reader) ([]*Aggregate, error) {
	d := NewDecoder(r)
	var all []*Aggregate
	for {
		a, err := d.Decode()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, a)
	}
}

func (d *Decoder) parse(text []byte) (*Aggregate, error) {
	var l line
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, errors.New("empty") // the JSON decoder's io.EOF would read as the end of the file
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&l); err != nil {
		return nil, fmt.Errorf("not an aggregate: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one value")
	}
	if !d.name.MatchString(l.Metric) {
		return nil, fmt.Errorf("%.140q is not a metric's name", l.Metric)
	}
	return l.aggregate()
}

func (l line) aggregate() (*Aggregate, error) {
	if err := l.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", l.Metric, err)
	}
	a := &Aggregate{
		Series: l.Series, Start: l.Start, End: l.End, Count: l.Count, Sum: l.Sum, Min: l.Min, Max: l.Max,
		Clamped: l.Clamped, Last: l.Last, LastAt: l.LastAt,
	}
	if l.Kind != Trend {
		return a, nil
	}
	micros, err := decodeHistogram(l.Histogram)
	if err != nil {
		return nil, fmt.Errorf("%s: histogram: %w", l.Metric, err)
	}
	if n := micros.TotalCount(); n != l.Count {
		return nil, fmt.Errorf("%s: count is %d, the histogram holds %d", l.Metric, l.Count, n)
	}
	a.micros = micros
	return a, nil
}

func (l line) check() error {
	switch l.Kind {
	case Trend, Counter, Gauge, Rate:
	default:
		return fmt.Errorf("unknown kind %.20q", l.Kind)
	}
	switch {
	case l.Start.IsZero() || l.End.Before(l.Start):
		return fmt.Errorf("window from %v to %v", l.Start, l.End)
	case l.Count < 0 || l.Count == math.MaxInt64:
		return fmt.Errorf("count %d", l.Count)
	case l.Clamped < 0 || l.Clamped > l.Count || l.Clamped > 0 && l.Kind != Trend:
		return fmt.Errorf("%d clamped of %d", l.Clamped, l.Count)
	case l.Min > l.Max:
		return fmt.Errorf("min %v is above max %v", l.Min, l.Max)
	case l.Count == 0 && (l.Sum != 0 || l.Min != 0 || l.Max != 0):
		return errors.New("values without samples")
	case l.Kind == Rate && (l.Min < 0 || l.Max > 1 || l.Sum < 0 || l.Sum > float64(l.Count)):
		return fmt.Errorf("rate of %v in %d", l.Sum, l.Count)
	case l.Kind != Gauge && (l.Last != 0 || !l.LastAt.IsZero()):
		return errors.New("only a gauge has a last value")
	case l.Kind != Trend && l.Histogram != "":
		return errors.New("only a trend has a histogram")
	}
	return nil
}
