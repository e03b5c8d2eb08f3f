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
	// doubtSlack is added to the lateness that a light out of step suggests.
	doubtSlack = time.Second
)

// locks is what a session knows of the keyboard's lights.
type locks struct {
	turn  chan struct{} // held by the guest probe
	ready chan struct{} // closed when the first value is known

	mu       sync.Mutex
	isReady  bool
	light    bool      // Scroll Lock as the guest shows it once it has handled our keys
	seen     bool      // as the guest last showed it
	toggled  bool      // whether an odd number of our keys was sent
	pressed  time.Time // the last key
	before   time.Time // the key before it
	repeated bool      // the server's own answer to the last key has come
	wait     *lightWait
	repeat   chan struct{} // cap 1: the server's own answer came
	// doubt is until when a light that was out of step may mean that the guest
	// is late; zero if there is no doubt.
	doubt time.Time
}

// lightWait is a probe's wait for the guest to show a light.
type lightWait struct {
	want bool
	at   chan time.Time
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
	if !l.repeated && !l.pressed.IsZero() && at.Sub(l.pressed) >= earlyServer {
		l.repeated = true
		select {
		case l.repeat <- struct{}{}:
		default:
		}
		return
	}
	l.seen = on
	switch {
	case l.wait == nil:
		if on == l.light {
			l.doubt = time.Time{} // The guest was late, and is in step.
		}
	case on == l.wait.want:
		l.wait.at <- at
		l.wait, l.doubt = nil, time.Time{}
	default:
		l.outOfStep(at)
	}
}

// outOfStep handles a light that the last key cannot have set. Either it
// answers the key before, and the guest is that late; or the guest's keyboard
// queue overflowed while it hung and swallowed a key of ours. If it is late, the
// answer to the last key comes as late; if nothing has come by then, keys were
// swallowed, and the light that was seen counts from there.
func (l *locks) outOfStep(at time.Time) {
	lateness := at.Sub(l.pressed)
	if !l.before.IsZero() {
		lateness = at.Sub(l.before)
	}
	l.doubt = l.pressed.Add(lateness + doubtSlack)
}

// doubtful is how long a key's answer could not be told from a late one yet. At
// the end of that time keys were swallowed, and the light that was seen counts.
func (l *locks) doubtful() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.doubt.IsZero() {
		return 0
	}
	left := time.Until(l.doubt)
	if left <= 0 {
		l.light, l.doubt = l.seen, time.Time{}
	}
	return max(left, 0)
}

// passDoubt waits until answers can be told from late ones again, if that is
// soon; else this round trip is lost.
func (s *Session) passDoubt(ctx context.Context) error {
	left := s.locks.doubtful()
	for ; left > 0 && left <= 2*doubtSlack; left = s.locks.doubtful() {
		if err := s.look(ctx, GuestTrip, left); err != nil {
			return err
		}
	}
	if left > 0 {
		return s.lost(ctx, GuestTrip, "the light is out of step with the keys: the guest is late, or lost some while it hung")
	}
	return nil
}

// guestTrip presses Scroll Lock and waits for the guest's driver to set the
// light. Which key an answer belongs to is certain for answers that come before
// the next but one key.
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
	if err := s.passDoubt(ctx); err != nil {
		return 0, err
	}
	wait, start, err := s.pressScrollLock()
	if err != nil {
		return 0, s.lost(ctx, GuestTrip, err.Error())
	}
	if at, ok := s.answer(ctx, wait.at, deadline); ok {
		return at.Sub(start), nil
	}
	l.mu.Lock()
	l.wait = nil
	l.mu.Unlock()
	return 0, s.lost(ctx, GuestTrip, fmt.Sprintf("the guest set no light within %v", deadline))
}

// pressScrollLock sends the key and registers the wait for its answer.
func (s *Session) pressScrollLock() (*lightWait, time.Time, error) {
	l := &s.locks
	l.mu.Lock()
	l.light, l.toggled, l.repeated = !l.light, !l.toggled, false
	wait := &lightWait{want: l.light, at: make(chan time.Time, 1)}
	l.wait = wait
	start := time.Now()
	l.before, l.pressed = l.pressed, start
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
