package history

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/deskstorm/deskstorm/results"
)

// chunk is the windows of one series that begin in one hour.
type chunk struct {
	series results.Series
	hour   time.Time
	all    []*results.Aggregate
}

// chunks groups windows, in the order of their series and hours.
func chunks(windows []*results.Aggregate) []chunk {
	sorted := slices.Clone(windows)
	slices.SortFunc(sorted, results.Compare)
	type key struct {
		series results.Series
		hour   int64
	}
	at := map[key]int{}
	var all []chunk
	for _, a := range sorted {
		hour := a.Start.UTC().Truncate(time.Hour)
		k := key{a.Series, hour.Unix()}
		i, ok := at[k]
		if !ok {
			i = len(all)
			at[k] = i
			all = append(all, chunk{series: a.Series, hour: hour})
		}
		all[i].all = append(all[i].all, a)
	}
	return all
}

// maxInflated bounds what is read of one row. An hour of 10 s windows of a series has 100 kB, one of full histograms 10 MB.
const maxInflated = 64 << 20

// packer deflates. A compressor is large, so one is used for all of a run's rows.
type packer struct {
	buffer bytes.Buffer
	writer *flate.Writer
}

func (p *packer) pack(b []byte) ([]byte, error) {
	p.buffer.Reset()
	if p.writer == nil {
		var err error
		if p.writer, err = flate.NewWriter(&p.buffer, flate.DefaultCompression); err != nil {
			return nil, err
		}
	}
	p.writer.Reset(&p.buffer)
	if _, err := p.writer.Write(b); err != nil {
		return nil, err
	}
	if err := p.writer.Close(); err != nil {
		return nil, err
	}
	return slices.Clone(p.buffer.Bytes()), nil
}

func unpack(packed []byte) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), maxInflated+1))
	if err != nil {
		return nil, fmt.Errorf("inflating: %w", err)
	}
	if len(b) > maxInflated {
		return nil, errors.New("inflating: more than 64 MiB")
	}
	return b, nil
}

func unpackAggregates(series results.Series, packed []byte) ([]*results.Aggregate, error) {
	b, err := unpack(packed)
	if err != nil {
		return nil, err
	}
	return results.Unpack(series, b)
}
