// Package workload plays a workload profile on a desktop: it is the person at
// the thin client. It knows nothing of k6.
package workload

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"time"

	"github.com/deskstorm/deskstorm/scenarios"
	"github.com/deskstorm/deskstorm/spice"
	"github.com/deskstorm/deskstorm/spice/wire"
)

// motionEvery is the time between two mouse motions: a thin client sends at
// most one a picture, and 50 a second is what an eye follows.
const motionEvery = 20 * time.Millisecond

// Play works on the desktop by the profile for the duration d, and measures
// its round trips meanwhile, which go to report as they come, from several
// goroutines. The same seed plays the same work. It returns nil when the time
// is over, the context's error, or why the session ended.
func Play(ctx context.Context, s *spice.Session, p scenarios.Profile, d time.Duration, seed uint64, report func(spice.Sample)) error {
	shift, over := context.WithTimeoutCause(ctx, d, errShiftOver)
	defer over()
	shift, fail := context.WithCancelCause(shift)
	defer fail(nil)
	rng := Random(seed)
	monitored := make(chan struct{})
	if p.ProbeEvery > 0 {
		// Many sessions that start together do not probe together.
		phase := time.Duration(rng.Float64() * float64(min(p.ProbeEvery, d)))
		go func() {
			defer close(monitored)
			if err := s.Monitor(shift, p.ProbeEvery, phase, []spice.Trip{spice.ServerTrip, spice.GuestTrip, spice.VisibleTrip}, report); err != nil {
				fail(err)
			}
		}()
	} else {
		close(monitored)
	}
	w := worker{s: s, p: p, rng: rng}
	err := w.work(shift)
	over()
	<-monitored
	if errors.Is(err, errShiftOver) {
		return nil
	}
	return err
}

// Random makes random numbers of a seed. Seeds that differ in a bit give
// unrelated numbers, which a PCG's first ones are not.
func Random(seed uint64) *rand.Rand {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return rand.New(rand.NewChaCha8(key))
}

var errShiftOver = errors.New("the shift is over")

type worker struct {
	s   *spice.Session
	p   scenarios.Profile
	rng *rand.Rand
}

// work does one activity after another until something ends it.
func (w *worker) work(ctx context.Context) error {
	for {
		a := w.draw()
		if err := w.do(ctx, a); err != nil {
			return err
		}
		if err := w.pause(ctx, w.think(a.Think)); err != nil {
			return err
		}
	}
}

// draw picks an activity by its weight.
func (w *worker) draw() scenarios.Activity {
	total := 0.0
	for _, a := range w.p.Activities {
		total += a.Weight
	}
	x := w.rng.Float64() * total
	for _, a := range w.p.Activities {
		if x -= a.Weight; x < 0 {
			return a
		}
	}
	return w.p.Activities[len(w.p.Activities)-1]
}

func (w *worker) do(ctx context.Context, a scenarios.Activity) error {
	typist := spice.Typist{WPM: w.p.WPM, Rand: w.rng}
	words := w.between(a.Words)
	for i := range words {
		text := w.p.Vocabulary[w.rng.IntN(len(w.p.Vocabulary))]
		if i < words-1 {
			text += " "
		} else {
			text += endings[a.End]
		}
		// Word by word, so that a probe that is due need not wait for a whole
		// paragraph.
		if err := w.s.Type(ctx, text, typist); err != nil {
			return err
		}
	}
	for range w.between(a.Moves) {
		if err := w.s.MoveMouse(ctx, w.rng.IntN(21)-10, w.rng.IntN(21)-10); err != nil {
			return err
		}
		if err := w.pause(ctx, motionEvery); err != nil {
			return err
		}
	}
	if a.Click {
		return w.s.Click(ctx, wire.ButtonLeft)
	}
	return nil
}

var endings = map[string]string{"": " ", "none": " ", "enter": "\n", "tab": "\t"}

func (w *worker) between(r scenarios.Range) int {
	return r.Min + w.rng.IntN(r.Max-r.Min+1)
}

// think draws a log-normal pause; 1.645 is the normal distribution's 95 %
// quantile.
func (w *worker) think(t scenarios.Think) time.Duration {
	sigma := math.Log(float64(t.P95)/float64(t.Median)) / 1.645
	return time.Duration(float64(t.Median) * math.Exp(sigma*w.rng.NormFloat64()))
}

func (w *worker) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-w.s.Done():
		return w.s.Err()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
