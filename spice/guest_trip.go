package spice

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/deskstorm/deskstorm/spice/wire"
)

const (
	// serverAnswers is when spice-server sends KEY_MODIFIERS by itself after a
	// lock key, whatever the guest did: it flips the light in its own copy and
	// sends that copy 2 s later (KEY_MODIFIERS_TTL in inputs-channel.cpp). The
	// timer starts again at each lock key.
	serverAnswers = 2 * time.Second
	// earlyServer and lateServer bound when that answer arrives here.
	earlyServer = serverAnswers - 100*time.Millisecond
	lateServer  = serverAnswers + 500*time.Millisecond
	// overflown is how many unanswered lock keys in a row may have been lost in
	// the keyboard's own queue, so that the light's next value is not known.
	overflown = 3
)

// locks is what a session knows of the keyboard's lights.
type locks struct {
	turn  chan struct{} // held by the guest probe
	ready chan struct{} // closed when the first value is known

	mu       sync.Mutex
	isReady  bool
	light    bool      // Scroll Lock as the guest shows it once it has handled our keys
	toggled  bool      // whether an odd number of our keys was sent
	pressed  time.Time // the last key
	repeated bool      // the server's own answer to it has come
	silent   int       // keys in a row without any answer
	wait     *lightWait
	repeat   chan struct{} // cap 1: the server's own answer came
}

// lightWait is a probe's wait for the guest to show a light.
type lightWait struct {
	want bool
	any  bool
	at   chan time.Time
	late bool // an answer came, but to an earlier key
}

func (l *locks) init() {
	l.turn = make(chan struct{}, 1)
	l.ready = make(chan struct{})
	l.repeat = make(chan struct{}, 1)
}

// known takes the lights of INIT.
func (l *locks) known(lights wire.Lock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.light = lights&wire.ScrollLock != 0
	if !l.isReady {
		l.isReady = true
		close(l.ready)
	}
}

// answered takes a KEY_MODIFIERS and decides whose answer it is: the server's
// own by its time, a late one of the guest's by the light, which every key of
// ours turns over.
func (l *locks) answered(lights wire.Lock, at time.Time) {
	on := lights&wire.ScrollLock != 0
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.pressed.IsZero() && at.Sub(l.pressed) >= earlyServer {
		if !l.repeated {
			l.repeated = true
			select {
			case l.repeat <- struct{}{}:
			default:
			}
		}
		return
	}
	if l.wait == nil {
		return
	}
	if on != l.wait.want && !l.wait.any {
		l.wait.late = true
		return
	}
	l.light = on
	l.wait.at <- at
	l.wait = nil
}

// guestTrip presses Scroll Lock and waits for the guest's driver to set the
// light. Which key an answer belongs to is certain for answers up to two round
// trips late.
func (s *Session) guestTrip(ctx context.Context) (time.Duration, error) {
	l := &s.locks
	deadline := min(s.cfg.deadline(), DefaultDeadline)
	timer := time.NewTimer(deadline)
	defer timer.Stop()
	select {
	case <-l.ready:
	case <-timer.C:
		return 0, s.lost(ctx, GuestTrip, "the inputs channel has not said the lights' state")
	case <-s.done:
		return 0, s.lost(ctx, GuestTrip, "")
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	if err := s.passServerAnswer(ctx); err != nil {
		return 0, err
	}
	wait, start, err := s.pressScrollLock()
	if err != nil {
		return 0, s.lost(ctx, GuestTrip, err.Error())
	}
	timer.Reset(deadline)
	var lost error
	select {
	case at := <-wait.at:
		l.mu.Lock()
		l.silent = 0
		l.mu.Unlock()
		return at.Sub(start), nil
	case <-timer.C:
		lost = s.lost(ctx, GuestTrip, fmt.Sprintf("the guest set no light within %v", deadline))
	case <-s.done:
		lost = s.lost(ctx, GuestTrip, "")
	case <-ctx.Done():
		lost = s.lost(ctx, GuestTrip, "")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wait = nil
	if wait.late {
		l.silent = 0
	} else {
		l.silent++
	}
	return 0, lost
}

// pressScrollLock sends the key and registers the wait for its answer.
func (s *Session) pressScrollLock() (*lightWait, time.Time, error) {
	l := &s.locks
	l.mu.Lock()
	l.light, l.toggled, l.repeated = !l.light, !l.toggled, false
	wait := &lightWait{want: l.light, any: l.silent >= overflown, at: make(chan time.Time, 1)}
	l.wait = wait
	start := time.Now()
	l.pressed = start
	l.mu.Unlock()
	return wait, start, s.press(stroke{key: KeyScrollLock})
}

// passServerAnswer waits until the server's own answer to an earlier key
// cannot be taken for the guest's answer to the next.
func (s *Session) passServerAnswer(ctx context.Context) error {
	l := &s.locks
	for {
		l.mu.Lock()
		since, done := time.Since(l.pressed), l.pressed.IsZero() || l.repeated
		l.mu.Unlock()
		// A key sent well before the server's timer fires restarts it.
		if done || since < DefaultDeadline || since >= lateServer {
			return nil
		}
		timer := time.NewTimer(lateServer - since)
		select {
		case <-l.repeat:
		case <-timer.C:
		case <-s.done:
		case <-ctx.Done():
		}
		timer.Stop()
		if s.Err() != nil || ctx.Err() != nil {
			return s.lost(ctx, GuestTrip, "")
		}
	}
}

// restoreLock presses Scroll Lock once more if probes left it turned over.
func (s *Session) restoreLock() {
	l := &s.locks
	l.mu.Lock()
	odd := l.toggled
	l.toggled = false
	l.mu.Unlock()
	if odd {
		s.press(stroke{key: KeyScrollLock})
	}
}
