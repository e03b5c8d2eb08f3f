package spice

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Typist says how fast a person types and how evenly.
type Typist struct {
	// WPM is words a minute, a word being five keys; 0 means 52, the mean of
	// 168,000 people (Dhakal et al., "Observations on Typing from 136 Million
	// Keystrokes", CHI 2018). At most 1,000.
	WPM float64
	// Rand makes the jitter; nil types evenly.
	Rand *rand.Rand
}

// meanWPM and keyJitter are from the same paper: the time between two keys is
// 239 ms in the mean with a standard deviation of 112 ms.
const (
	meanWPM   = 52
	keyJitter = 112.0 / 239.0
)

// interval draws the time until the next key: log-normal, which keeps it
// positive and skewed to long pauses as people's are.
func (t Typist) interval() time.Duration {
	wpm := t.WPM
	if wpm == 0 {
		wpm = meanWPM
	}
	mean := float64(time.Minute) / (wpm * 5)
	if t.Rand == nil {
		return time.Duration(mean)
	}
	sigma := math.Sqrt(math.Log(1 + keyJitter*keyJitter))
	return time.Duration(mean * math.Exp(sigma*t.Rand.NormFloat64()-sigma*sigma/2))
}

// Type types a text of a US keyboard's characters, newline, tab and backspace
// among them. It waits for the end of a visible probe, which types too; then it
// keeps to its own clock, and a desktop that does not answer does not slow it
// down. It returns early when the context or the session ends.
func (s *Session) Type(ctx context.Context, text string, typist Typist) error {
	if typist.WPM < 0 || typist.WPM > 1000 || math.IsNaN(typist.WPM) {
		return fmt.Errorf("typing at %v words a minute: must be from 0 (the mean) to 1000", typist.WPM)
	}
	strokes, err := strokesOf(text)
	if err != nil {
		return fmt.Errorf("typing: %w", err)
	}
	release, err := s.takeKeyboard(ctx)
	if err != nil {
		return err
	}
	defer release()
	s.screen.echo = nil // the caret moves
	next := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for _, k := range strokes {
		timer.Reset(time.Until(next))
		if _, err := await(ctx, s, timer.C); err != nil {
			return err
		}
		if err := s.press(k); err != nil {
			return err
		}
		next = next.Add(typist.interval())
	}
	return nil
}

// Press presses and releases one key.
func (s *Session) Press(ctx context.Context, key Key) error {
	release, err := s.takeKeyboard(ctx)
	if err != nil {
		return err
	}
	defer release()
	s.screen.echo = nil
	return s.press(stroke{key: key})
}

// takeKeyboard waits until nobody else types.
func (s *Session) takeKeyboard(ctx context.Context) (release func(), err error) {
	select {
	case s.keyboard <- struct{}{}:
		return func() { <-s.keyboard }, nil
	case <-s.done:
		return nil, s.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
