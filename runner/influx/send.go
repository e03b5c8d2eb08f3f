package influx

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"strings"
	"time"
)

// send sends the buffer's lines, the oldest first, until ctx ends.
func (w *Writer) send(ctx context.Context) {
	defer close(w.done)
	wait := w.timing.backoff
	for {
		batch, why := w.take()
		if len(batch.segments) == 0 || why != nil {
			select {
			case <-w.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		rejected, err := w.deliver(ctx, batch.lines, new(int))
		w.settle(batch, rejected, err)
		if ctx.Err() != nil {
			return
		}
		if err == nil || blocks(err) {
			wait = w.timing.backoff
			continue
		}
		// Spread over half the time, so that several runners do not come back all at once.
		pause := max(wait/2+rand.N(wait/2+1), retryAfter(err))
		wait = min(2*wait, w.timing.maxBackoff)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// batch is what goes into a request.
type batch struct {
	segments []*segment
	lines    []owned
}

// owned is a line with its run.
type owned struct{ text, run string }

// take returns the next batch, or why there is none.
func (w *Writer) take() (batch, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.blocked != nil {
		return batch{}, w.blocked
	}
	var b batch
	for _, s := range w.buffer.take(w.config.Batch) {
		lines, err := w.buffer.lines(s)
		if errors.Is(err, fs.ErrNotExist) && w.sentByAnother(s) {
			continue
		}
		if err != nil || int64(len(lines)) != s.points {
			w.drop(s, "the buffer on disk is damaged")
			if err := w.buffer.remove(s); err != nil {
				w.log.Error("removing a damaged part of the buffer for InfluxDB", "error", err)
				w.blocked = err
			}
			continue
		}
		b.segments = append(b.segments, s)
		for _, l := range lines {
			b.lines = append(b.lines, owned{l, s.run})
		}
	}
	if len(b.segments) == 0 && len(w.buffer.segments) > 0 && w.blocked == nil {
		w.wakeUp() // all of them were damaged, or are gone
	}
	return b, nil
}

// sentByAnother counts a segment whose file is gone: another deskstorm with the same state folder, such as a run by hand beside the
// service, took the buffer over and has written it. If that is not so, the database's count says it at the run's end.
func (w *Writer) sentByAnother(s *segment) bool {
	if err := w.buffer.remove(s); err != nil {
		return false
	}
	if run := w.runs[s.run]; run != nil {
		run.written += s.points
	}
	close(w.changed)
	w.changed = make(chan struct{})
	return true
}

func (w *Writer) wakeUp() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// rejection is lines that the database does not want.
type rejection struct {
	lines []owned
	why   error
}

// maxRejections bounds how many lines of a batch are looked for one by one.
const maxRejections = 20

// deliver sends lines. Where the database refuses some it halves them until it knows which; after maxRejections it gives up what it
// has in hand. A point that was sent before is replaced by itself, so that what was sent in vain can be sent again.
func (w *Writer) deliver(ctx context.Context, lines []owned, rejections *int) ([]rejection, error) {
	texts := make([]string, len(lines))
	for i, l := range lines {
		texts[i] = l.text
	}
	err := explain(w.api.WriteRecord(ctx, strings.Join(texts, "\n")))
	switch {
	case !errors.Is(err, ErrLine) && !errors.Is(err, errTooLarge):
		return nil, err
	case len(lines) == 1 || errors.Is(err, ErrLine) && *rejections >= maxRejections:
		*rejections++
		return []rejection{{lines, err}}, nil
	}
	half := len(lines) / 2
	left, err := w.deliver(ctx, lines[:half], rejections)
	if err != nil {
		return nil, err
	}
	right, err := w.deliver(ctx, lines[half:], rejections)
	return append(left, right...), err
}

// settle counts what became of a batch.
func (w *Writer) settle(b batch, rejected []rejection, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer func() {
		close(w.changed)
		w.changed = make(chan struct{})
	}()
	w.last = err
	if err != nil {
		w.buffer.putBack(b.segments)
		if blocks(err) {
			w.blocked, w.last = err, nil
			w.log.Error("nothing is written to InfluxDB until the next run begins or ends", "error", err)
		} else if !errors.Is(err, context.Canceled) {
			w.log.Warn("writing to InfluxDB; it is tried again", "error", err)
		}
		return
	}
	lost := map[string]int64{}
	for _, r := range rejected {
		w.log.Error("points for InfluxDB are lost", "points", len(r.lines), "first", r.lines[0].text, "error", r.why)
		for _, l := range r.lines {
			lost[l.run]++
			if run := w.runs[l.run]; run != nil {
				run.drop(1, r.why.Error())
			}
		}
	}
	for _, l := range b.lines {
		if run := w.runs[l.run]; run != nil {
			run.written++
		}
	}
	for id, n := range lost {
		if run := w.runs[id]; run != nil {
			run.written -= n
		}
	}
	for _, s := range b.segments {
		if err := w.buffer.remove(s); err != nil {
			// It would be sent for ever.
			w.log.Error("removing what was written to InfluxDB from the buffer", "error", err)
			w.blocked = err
		}
	}
}
