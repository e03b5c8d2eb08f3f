package influx

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/http"
	"regexp"
	"sync"
	"time"

	influxdb2 "github.com/influxdata/influxdb-client-go/v2"
	"github.com/influxdata/influxdb-client-go/v2/api"

	"github.com/deskstorm/deskstorm/internal/authority"
	"github.com/deskstorm/deskstorm/results"
)

// Count counts the points that the database has of a run, which lie from first to last, both included.
type Count func(ctx context.Context, run, experiment string, first, last time.Time) (int64, error)

// Writer writes points, from a buffer on disk that outlives it. Its methods may be called by many goroutines at once.
type Writer struct {
	config Config
	client influxdb2.Client
	api    api.WriteAPIBlocking
	count  Count
	log    *slog.Logger
	timing timing
	ids    *regexp.Regexp
	stop   context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	buffer  *buffer
	runs    map[string]*Run
	blocked error         // why nothing is sent until somebody does something
	last    error         // why the last request failed; nil: it did not
	wake    chan struct{} // holds one token when there may be something to send
	changed chan struct{} // closed and replaced when points were sent, or could not be
}

// timing is how long things are waited for.
type timing struct {
	backoff, maxBackoff time.Duration // between requests that fail
	settle, poll        time.Duration // until what was acknowledged can be found, and how often that is asked
}

// Open opens a writer with its buffer in a folder, and begins to send what a runner before left there. Nil for count asks InfluxDB
// itself, in Flux; a database that takes InfluxDB's line protocol and not its queries has another way.
func Open(c Config, dir string, count Count, log *slog.Logger) (*Writer, error) {
	return open(c, dir, count, log, timing{time.Second, time.Minute, 15 * time.Second, time.Second})
}

func open(c Config, dir string, count Count, log *slog.Logger, t timing) (*Writer, error) {
	token := ""
	if c.Token.Given() {
		var err error
		if token, err = c.Token.Read(); err != nil {
			return nil, fmt.Errorf("opening the way to InfluxDB: %w", err)
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if c.CAFile != "" {
		roots, err := authority.Read(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("opening the way to InfluxDB: %w", err)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	b, err := openBuffer(dir, c.Buffer)
	if err != nil {
		return nil, fmt.Errorf("opening the buffer for InfluxDB: %w", err)
	}
	client := influxdb2.NewClientWithOptions(c.URL, token, influxdb2.DefaultOptions().SetPrecision(precision).SetUseGZip(true).
		SetHTTPClient(&http.Client{Transport: transport, Timeout: c.Timeout}).SetApplicationName("deskstorm"))
	ctx, stop := context.WithCancel(context.Background())
	w := &Writer{
		config: c, client: client, api: client.WriteAPIBlocking(c.Org, c.Bucket), count: count, log: log, timing: t,
		ids: regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`), stop: stop, done: make(chan struct{}),
		buffer: b, runs: map[string]*Run{}, wake: make(chan struct{}, 1), changed: make(chan struct{}),
	}
	if count == nil {
		w.count = w.flux
	}
	go w.send(ctx)
	return w, nil
}

// Close stops sending. What is not sent stays in the buffer.
func (w *Writer) Close() {
	w.stop()
	<-w.done
	w.client.Close()
}

// Check says whether there is an InfluxDB at the URL.
func (w *Writer) Check(ctx context.Context) error {
	ok, err := w.client.Ping(ctx)
	if err == nil && !ok {
		err = errors.New("it does not answer as InfluxDB does")
	}
	if err != nil {
		return fmt.Errorf("asking InfluxDB at %s: %w", w.config.URL, err)
	}
	return nil
}

// Waiting is how many bytes wait in the buffer, and why they do if the last request failed.
func (w *Writer) Waiting() (bytes int64, why error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buffer.bytes, errors.Join(w.blocked, w.last)
}

// Run is one whose points are written.
type Run struct {
	writer         *Writer
	id, experiment string
	first, last    time.Time // of points
	seed           maphash.Seed
	seen           map[uint64]struct{} // what was offered before, to be replaced and not counted twice

	offered, repeated, written, dropped int64
	trouble                             []string // why points were dropped, each once
}

// Begin begins a run's points. What InfluxDB refused until now is tried again.
func (w *Writer) Begin(id, experiment string) (*Run, error) {
	if !w.ids.MatchString(id) {
		return nil, fmt.Errorf("run %.120q: its id is none that the buffer can have in files' names", id)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	r := &Run{writer: w, id: id, experiment: experiment, seed: maphash.MakeSeed(), seen: map[uint64]struct{}{}}
	w.runs[id] = r
	w.tryAgain()
	return r, nil
}

// tryAgain lets the sender go on.
func (w *Writer) tryAgain() {
	w.blocked = nil
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Add offers aggregates, merged over all generators: a second one of a series and window replaces the first. They are on disk when it
// returns. The error says that they could not be put there: then they are counted as dropped.
func (r *Run) Add(aggregates ...*results.Aggregate) error {
	lines := make([]string, 0, len(aggregates))
	var errs []error
	lost := 0
	for _, a := range aggregates {
		text, err := line(point(r.id, r.experiment, a))
		if err != nil {
			errs = append(errs, err)
			lost++
			continue
		}
		lines = append(lines, text)
	}
	w := r.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range aggregates {
		r.note(a)
	}
	if lost > 0 {
		r.drop(int64(lost), "they could not be written as lines")
	}
	for len(lines) > 0 {
		some := lines[:min(len(lines), w.config.Batch)]
		lines = lines[len(some):]
		given, err := w.buffer.add(r.id, some)
		for _, s := range given {
			w.drop(s, "the buffer on disk was full (influxdb.buffer_mb)")
		}
		if err != nil {
			r.drop(int64(len(some)), "the buffer on disk could not be written")
			errs = append(errs, fmt.Errorf("keeping points for InfluxDB: %w", err))
		}
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return errors.Join(errs...)
}

// note counts an aggregate that was offered.
func (r *Run) note(a *results.Aggregate) {
	r.offered++
	var h maphash.Hash
	h.SetSeed(r.seed)
	maphash.WriteComparable(&h, a.Series)
	maphash.WriteComparable(&h, a.Start.UnixMilli())
	if _, ok := r.seen[h.Sum64()]; ok {
		r.repeated++
	}
	r.seen[h.Sum64()] = struct{}{}
	if r.first.IsZero() || a.Start.Before(r.first) {
		r.first = a.Start
	}
	if a.Start.After(r.last) {
		r.last = a.Start
	}
}

// drop counts points of a segment that were given up. A run of a runner before has nobody who counts.
func (w *Writer) drop(s *segment, why string) {
	if r := w.runs[s.run]; r != nil {
		r.drop(s.points, why)
	}
	w.log.Warn("points for InfluxDB are lost", "run", s.run, "points", s.points, "why", why)
}

func (r *Run) drop(n int64, why string) {
	r.dropped += n
	for _, t := range r.trouble {
		if t == why {
			return
		}
	}
	if len(r.trouble) < maxTrouble {
		r.trouble = append(r.trouble, why)
	}
}

// maxTrouble bounds the reasons in a report.
const maxTrouble = 20
