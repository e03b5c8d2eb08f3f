package spice

import (
	"context"
	"fmt"
	"time"
)

// probeKey is typed and erased again by the visible probe.
var probeKey, eraseKey = stroke{key: 0x2d}, stroke{key: KeyBackspace} // x

// The times for which the probe looks at the screen while it learns. The long
// one, less its settling, is longer than half a period of the slowest usual
// caret (530 ms), so that a caret cannot hold still through it.
const (
	idleLook  = 600 * time.Millisecond
	shortLook = 150 * time.Millisecond
	longLook  = 600 * time.Millisecond
)

// visibleTrip types a key where the caret stands, waits for the drawing whose
// pixels show it, and erases it. Where and how the key shows is learned first,
// and again after anything moved the caret or an answer was lost.
func (s *Session) visibleTrip(ctx context.Context) (time.Duration, error) {
	if s.screen.echo == nil {
		if err := s.learn(ctx); err != nil {
			return 0, err
		}
	}
	rtt, err := s.follow(ctx, probeKey, true)
	if err != nil {
		// What the screen shows from now on is not known.
		s.screen.echo = nil
		s.press(eraseKey)
		return 0, err
	}
	if _, err := s.follow(ctx, eraseKey, false); err != nil {
		s.screen.echo = nil
	}
	return rtt, nil
}

// follow presses a key and waits until the screen shows the probe's character,
// or no longer shows it.
func (s *Session) follow(ctx context.Context, k stroke, shown bool) (time.Duration, error) {
	w := s.screen.echo.watch(shown)
	s.screen.watcher.Store(w)
	defer s.screen.watcher.Store(nil)
	start := time.Now()
	if err := s.press(k); err != nil {
		return 0, s.lost(ctx, VisibleTrip, err.Error())
	}
	if at, ok := s.answer(ctx, w.matched, s.cfg.deadline()); ok {
		return at.Sub(start), nil
	}
	return 0, s.lost(ctx, VisibleTrip, fmt.Sprintf("the key was not seen within %v%s", s.cfg.deadline(), w.blind()))
}

// learn finds out which pixels show the probe's key: it watches the screen
// left alone, then types and erases the key twice, and keeps the pixels that
// had one value whenever the key was there and another whenever it was not.
// What blinks has no such pixels.
func (s *Session) learn(ctx context.Context) error {
	if err := s.askForPixels(); err != nil {
		return s.lost(ctx, VisibleTrip, err.Error())
	}
	rec := newRecorder()
	w := rec.watcher()
	s.screen.watcher.Store(w)
	defer s.screen.watcher.Store(nil)
	if err := s.look(ctx, VisibleTrip, idleLook); err != nil {
		return err
	}
	rec.idleEnds()
	start := time.Now()
	if err := s.press(probeKey); err != nil {
		return s.lost(ctx, VisibleTrip, err.Error())
	}
	latency, err := s.firstNews(ctx, rec, start)
	if err != nil {
		s.press(eraseKey)
		if ctx.Err() == nil && s.Err() == nil {
			err = &LostError{Trip: VisibleTrip, Reason: fmt.Sprintf("nothing new was drawn within %v of a key%s%s", s.cfg.deadline(), rec.overwhelmed(), w.blind())}
		}
		return err
	}
	// A desktop's drawings come in steps of its own, 30 ms in QEMU, so one
	// latency says little about the next. A desktop too uneven for the first
	// margin gets a second.
	for _, margin := range []time.Duration{100 * time.Millisecond, 400 * time.Millisecond} {
		looks, err := s.typeAndErase(ctx, start, 2*latency+margin)
		if err != nil {
			if looks[len(looks)-1].shown {
				s.press(eraseKey)
			}
			return err
		}
		if s.screen.echo = learnEcho(rec.taken(), looks); s.screen.echo != nil {
			return nil
		}
		start = time.Now()
		if err := s.press(probeKey); err != nil {
			return s.lost(ctx, VisibleTrip, err.Error())
		}
	}
	if err := s.press(eraseKey); err != nil {
		return s.lost(ctx, VisibleTrip, err.Error())
	}
	return &LostError{Trip: VisibleTrip, Reason: "no pixel of the screen follows the key" + rec.overwhelmed() + w.blind()}
}

// typeAndErase erases the key that was pressed at start, presses and erases it
// again, and returns the stretches in which the screen was, or was not, to
// show it: each begins when its key has had time to settle.
func (s *Session) typeAndErase(ctx context.Context, start time.Time, settle time.Duration) ([]look, error) {
	looks := []look{{shown: true, pressed: start}}
	for i, dwell := range []time.Duration{shortLook, shortLook, longLook, longLook} {
		l := &looks[i]
		l.settled = l.pressed.Add(settle)
		l.ends = l.settled.Add(dwell)
		if err := s.look(ctx, VisibleTrip, time.Until(l.ends)); err != nil {
			return looks, err
		}
		if i == 3 {
			break
		}
		k := probeKey
		if l.shown {
			k = eraseKey
		}
		looks = append(looks, look{shown: !l.shown, pressed: time.Now()})
		if err := s.press(k); err != nil {
			return looks, s.lost(ctx, VisibleTrip, err.Error())
		}
	}
	return looks, nil
}

// firstNews waits for the first drawing that the idle screen had not shown.
func (s *Session) firstNews(ctx context.Context, rec *recorder, start time.Time) (time.Duration, error) {
	if at, ok := s.answer(ctx, rec.news, s.cfg.deadline()); ok {
		return at.Sub(start), nil
	}
	return 0, s.lost(ctx, VisibleTrip, "")
}

// look lets time pass within a round trip.
func (s *Session) look(ctx context.Context, trip Trip, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	if _, err := await(ctx, s, timer.C); err != nil {
		return s.lost(ctx, trip, "")
	}
	return nil
}
