package spice

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/deskstorm/deskstorm/spice/wire"
)

// Session is an open session. Its methods may be called from any goroutine.
type Session struct {
	cfg     Config
	id      uint32
	timings Timings
	counts  counters

	// opening guards the channels against an end while they are being opened.
	// A session that is shut opens no more.
	opening                       sync.Mutex
	shut                          bool
	main, display, inputs, cursor *channel

	// keyboard is held by whoever types: typing and a visible probe would
	// otherwise write into each other's text.
	keyboard chan struct{}
	motions  motions
	locks    locks
	screen   screen

	waiting  atomic.Int32
	progress *sync.Cond // signalled while someone waits for another channel

	// cut counts the channels that the other side has ended; allCut is closed
	// with the last.
	cut     atomic.Int32
	allCut  chan struct{}
	cutOnce sync.Once

	ending sync.Once
	err    error // set before done is closed
	done   chan struct{}
}

// Dial opens a session and returns when the first picture has come. The
// context bounds the connect; the session outlives it. An error is a
// *StepError.
func Dial(ctx context.Context, cfg Config) (*Session, error) {
	if err := cfg.check(); err != nil {
		return nil, &StepError{Step: StepLink, Addr: cfg.addr(cfg.secure(wire.Main)), Err: err}
	}
	s := &Session{
		cfg:      cfg,
		keyboard: make(chan struct{}, 1),
		progress: sync.NewCond(new(sync.Mutex)),
		allCut:   make(chan struct{}),
		done:     make(chan struct{}),
	}
	s.motions.init()
	s.locks.init()
	s.screen.init()
	if err := s.open(ctx); err != nil {
		// Whoever ends it already may be finding out the cause, beyond the
		// context's end.
		go s.end(ErrClosed)
		return nil, err
	}
	return s, nil
}

// open runs Dial's steps.
func (s *Session) open(ctx context.Context) error {
	fail := func(step Step, err error) error {
		var se *StepError
		if errors.As(err, &se) {
			err = se.Err
		}
		return &StepError{Step: step, Addr: s.cfg.addr(s.cfg.secure(wire.Main)), Err: err}
	}
	conn, reply, times, err := link(ctx, &s.cfg, wire.LinkRequest{
		Channel: wire.ChannelID{Type: wire.Main}, Common: commonCaps})
	if err != nil {
		return err
	}
	s.timings.Link = times.replied.Sub(times.started)
	s.timings.Auth = times.authed.Sub(times.replied)
	s.main = newChannel(s, wire.ChannelID{Type: wire.Main}, conn, reply.Caps)
	offered := make(chan []wire.ChannelID, 1)
	s.start(s.main, (&mainHandler{s: s, offered: offered}).handle)
	channels, err := await(ctx, s, offered)
	if err != nil {
		return fail(StepMain, err)
	}
	if err := s.openChannels(ctx, channels); err != nil {
		return fail(StepMain, err)
	}
	opened := time.Now()
	s.timings.Main = opened.Sub(times.authed)
	first, err := await(ctx, s, s.screen.first)
	if err != nil {
		return fail(StepPicture, err)
	}
	// The picture may come before the last channel is open.
	s.timings.Picture = max(0, first.Sub(opened))
	return nil
}

// openChannels opens display, inputs and cursor, all at once as thin clients
// do. A desktop without a cursor channel is fine.
func (s *Session) openChannels(ctx context.Context, offered []wire.ChannelID) error {
	type opening struct {
		to       **channel
		typ      wire.ChannelType
		caps     wire.Caps
		handle   handler
		required bool
	}
	openings := []opening{
		{&s.display, wire.Display, displayCaps, s.handleDisplay, true},
		{&s.inputs, wire.Inputs, 0, s.handleInputs, true},
		{&s.cursor, wire.Cursor, 0, s.handleCursor, false},
	}
	opened, errs := make([]*channel, len(openings)), make([]error, len(openings))
	var wg sync.WaitGroup
	for i, o := range openings {
		if !offers(offered, o.typ) {
			if o.required {
				return fmt.Errorf("the desktop offers no %s channel", o.typ)
			}
			continue
		}
		wg.Go(func() {
			id := wire.ChannelID{Type: o.typ}
			conn, reply, _, err := link(ctx, &s.cfg, wire.LinkRequest{ConnectionID: s.id, Channel: id, Common: commonCaps, Caps: o.caps})
			if err != nil {
				errs[i] = fmt.Errorf("%s channel: %w", o.typ, err)
				return
			}
			opened[i] = newChannel(s, id, conn, reply.Caps)
		})
	}
	wg.Wait()
	err := errors.Join(errs...)
	s.opening.Lock()
	shut := s.shut
	for i, c := range opened {
		switch {
		case c == nil:
		case shut || err != nil:
			c.conn.Close()
		default:
			*openings[i].to = c
		}
	}
	s.opening.Unlock()
	if err != nil {
		return err
	}
	if shut { // so it ends
		_, err := await[struct{}](ctx, s, nil)
		return err
	}
	// The handlers see a complete session, so they start together.
	for _, o := range openings {
		if *o.to != nil {
			s.start(*o.to, o.handle)
		}
	}
	return s.display.send(wire.MsgcDisplayInit, wire.AppendDisplayInit(nil))
}

func offers(ids []wire.ChannelID, t wire.ChannelType) bool {
	for _, id := range ids {
		if id.Type == t && id.ID == 0 {
			return true
		}
	}
	return false
}

// start reads a channel until the session ends.
func (s *Session) start(c *channel, h handler) {
	go func() {
		err := c.run(h)
		if unsent := c.unsent.Load(); unsent != nil {
			err = *unsent
		}
		if ended(err) {
			s.wasCut()
		}
		var protocol *ProtocolError
		var network net.Error
		if !errors.As(err, &protocol) && (ended(err) || errors.As(err, &network)) {
			err = fmt.Errorf("%s channel: %w", c.id.Type, err)
		}
		s.end(err)
	}()
}

// await is a value from ch, unless the session or the context ends first.
func await[T any](ctx context.Context, s *Session, ch <-chan T) (T, error) {
	var zero T
	select {
	case v := <-ch:
		return v, nil
	case <-s.done:
		return zero, s.err
	case <-ctx.Done():
		return zero, context.Cause(ctx)
	}
}

// wasCut counts a channel that the other side has ended.
func (s *Session) wasCut() {
	s.opening.Lock()
	open := int32(0)
	for _, c := range []*channel{s.main, s.display, s.inputs, s.cursor} {
		if c != nil {
			open++
		}
	}
	s.opening.Unlock()
	if s.cut.Add(1) == open {
		s.cutOnce.Do(func() { close(s.allCut) })
	}
}

// end closes the session for the first reason that reaches it.
func (s *Session) end(reason error) {
	s.ending.Do(func() {
		// Before anything is closed here: which channels the other side has
		// ended says who ended the session.
		err := s.cause(reason)
		s.opening.Lock()
		s.shut = true
		for _, c := range []*channel{s.main, s.display, s.inputs, s.cursor} {
			if c != nil {
				c.conn.Close()
			}
		}
		s.opening.Unlock()
		s.err = err
		close(s.done)
		s.progress.L.Lock()
		s.progress.Broadcast()
		s.progress.L.Unlock()
	})
}

// Done is closed when the session has ended, for whatever reason.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err is why the session ended, nil while it has not: ErrClosed, ErrEvicted,
// ErrServerGone, *MigratedError, *DisconnectedError, *ProtocolError, or the
// network's error.
func (s *Session) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

// Timings are the durations of the connect's steps.
func (s *Session) Timings() Timings { return s.timings }

// Size is the screen's width and height in pixels, 0 before it is known.
func (s *Session) Size() (width, height int) { return s.screen.size() }

// Close ends the session: it takes back a Scroll Lock that probes left on, lets
// the server read what was typed, says goodbye, and closes the connections. It
// takes at most closeTimeout, or as long as cause if the session is just ending
// by itself. A session that has ended is fine.
func (s *Session) Close() error {
	if s.Err() == nil {
		polite := make(chan struct{})
		go func() {
			defer close(polite)
			s.restoreLock()
			s.flushInputs()
			s.main.send(wire.MsgcDisconnecting, wire.Disconnecting{Timestamp: uint64(time.Now().UnixNano())}.Append(nil))
		}()
		timer := time.NewTimer(closeTimeout)
		defer timer.Stop()
		select {
		case <-polite:
		case <-timer.C: // A server that does not read is left without a goodbye.
		case <-s.done:
		}
	}
	s.end(ErrClosed)
	<-s.done
	return nil
}

// closeTimeout bounds the wait for the server's reading of the last keys and
// the goodbye.
const closeTimeout = time.Second

// flushInputs waits until the server has read the inputs channel: a goodbye on
// main overtakes keys, and the server drops them with the session. The answer
// to a motion behind them says that they were read.
func (s *Session) flushInputs() {
	if s.counts.keys.Load() == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	// Lost or not, the session is closed next.
	_, _ = s.RoundTrip(ctx, ServerTrip)
}

// Reconnect ends the session if it has not ended and opens a new one to the
// same desktop, or to where it was migrated. A session that was evicted is not
// opened again: ErrEvicted, because that would evict the other client in turn.
func (s *Session) Reconnect(ctx context.Context) (*Session, error) {
	s.Close()
	cfg := s.cfg
	var moved *MigratedError
	switch {
	case errors.Is(s.err, ErrEvicted):
		return nil, s.err
	case errors.As(s.err, &moved):
		cfg.Host, cfg.Port, cfg.TLSPort = moved.To.Host, int(moved.To.Port), int(moved.To.TLSPort)
		if moved.To.Subject != "" {
			cfg.Subject = moved.To.Subject
		}
	}
	return Dial(ctx, cfg)
}

// handled wakes those who wait for a message of another channel.
func (s *Session) handled() {
	if s.waiting.Load() > 0 {
		s.progress.L.Lock()
		s.progress.Broadcast()
		s.progress.L.Unlock()
	}
}

// wait blocks channel c until the messages that the server names were handled.
// A channel that is not open, such as playback, cannot keep another waiting.
func (s *Session) wait(c *channel, waits []wire.Wait) error {
	deadline := time.AfterFunc(bodyTimeout, func() {
		s.progress.L.Lock()
		s.progress.Broadcast()
		s.progress.L.Unlock()
	})
	defer deadline.Stop()
	until := time.Now().Add(bodyTimeout)
	s.waiting.Add(1)
	defer s.waiting.Add(-1)
	s.progress.L.Lock()
	defer s.progress.L.Unlock()
	for _, w := range waits {
		other := s.channel(w.Channel)
		if other == nil {
			continue
		}
		for other.serial.Load() < w.Serial {
			if s.Err() != nil {
				return s.err
			}
			if other == c || !time.Now().Before(until) {
				return &wire.Error{What: fmt.Sprintf("told to wait for message %d of the %s channel, which has handled %d",
					w.Serial, w.Channel.Type, other.serial.Load())}
			}
			s.progress.Wait()
		}
	}
	return nil
}

func (s *Session) channel(id wire.ChannelID) *channel {
	s.opening.Lock()
	defer s.opening.Unlock()
	for _, c := range []*channel{s.main, s.display, s.inputs, s.cursor} {
		if c != nil && c.id == id {
			return c
		}
	}
	return nil
}

// noticed counts a NOTIFY.
func (s *Session) noticed(wire.Notify) { s.counts.notices.Add(1) }
