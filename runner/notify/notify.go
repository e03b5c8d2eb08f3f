package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/deskstorm/deskstorm/runner/history"
)

// State keeps what was sent when; *history.Store is one. Get's error is history.ErrNotFound where nothing was put.
type State interface {
	Get(ctx context.Context, key string) ([]byte, error)
	Put(ctx context.Context, key string, value []byte) error
}

// Notifier tells the configured receivers. Its methods may be called by many goroutines at once; runs of one experiment are told of
// one after the other, in the order in which they ended.
type Notifier struct {
	config Config
	state  State
	now    func() time.Time
	wait   func(context.Context, time.Duration) error
}

// New returns a Notifier.
func New(c Config, s State) *Notifier { return &Notifier{c, s, time.Now, wait} }

// Tell tells the named receivers of a run, as each of them wants it, all at once. It takes a minute or two where a receiver does not
// answer. The error joins those of the receivers that could not be told, and holds no secret.
func (n *Notifier) Tell(ctx context.Context, names []string, e Event) error {
	return n.each(names, func(r Receiver) error { return n.tell(ctx, r, e) })
}

// Test sends a message that says that it is a test to the named receivers, whatever was sent before.
func (n *Notifier) Test(ctx context.Context, names []string) error {
	now := n.now()
	m := message{
		Event: "test", ID: "test-" + now.UTC().Format("20060102T150405"), Experiment: "deskstorm", RunID: "none", Began: now, Ended: now,
		Reason: "this is a test, and nothing is the matter", Findings: []string{}, URL: n.config.Page,
	}
	return n.each(names, func(r Receiver) error { return n.send(ctx, r, m) })
}

// each does something for each of the named receivers, all at once.
func (n *Notifier) each(names []string, do func(Receiver) error) error {
	errs := make([]error, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		r, ok := n.receiver(name)
		if !ok {
			errs[i] = fmt.Errorf("telling %q: notify in deskstorm.yaml has no such receiver", name)
			continue
		}
		all.Go(func() {
			if err := do(r); err != nil {
				errs[i] = fmt.Errorf("telling %s: %w", name, err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func (n *Notifier) receiver(name string) (Receiver, bool) {
	for _, r := range n.config.Receivers {
		if r.Name == name {
			return r, true
		}
	}
	return Receiver{}, false
}

// tell tells one receiver. Where it is not known what was sent it is told all the same: once too often is better than never.
func (n *Notifier) tell(ctx context.Context, r Receiver, e Event) error {
	key := "notify/" + r.Name + "/" + e.Run.Experiment
	var t told
	kept, stateErr := n.state.Get(ctx, key)
	switch {
	case errors.Is(stateErr, history.ErrNotFound):
		stateErr = nil
	case stateErr == nil:
		if err := json.Unmarshal(kept, &t); err != nil {
			t, stateErr = told{}, fmt.Errorf("reading what was sent to it: %w", err)
		}
	}
	now := n.now()
	do, runs := t.decide(r, e.Run.ID, e.Verdict.Outcome, now)
	var sendErr error
	if do != nothing {
		m := newMessage(n.config.Page, e)
		m.Runs, m.Last, m.Silenced, m.Unhealthy = runs, len(t.Recent), t.Silenced, do == alarm
		if do == recovery {
			m.Event = recovered
		}
		if sendErr = n.send(ctx, r, m); sendErr == nil {
			t.sent(do, e.Run.ID, now)
		}
	}
	text, err := json.Marshal(t)
	if err != nil {
		return errors.Join(sendErr, stateErr, fmt.Errorf("keeping what was sent to it: %w", err))
	}
	if err := n.state.Put(ctx, key, text); err != nil {
		stateErr = errors.Join(stateErr, err)
	}
	return errors.Join(sendErr, stateErr)
}

// attempts, with pauses between them that double from firstPause: some 15 s and the answers' time.
const (
	attempts   = 4
	firstPause = 2 * time.Second
	maxPause   = 30 * time.Second // that a receiver may ask for
)

// temporary is an error that may be gone at the next attempt.
type temporary struct {
	error
	after time.Duration // that the receiver asks for; 0: it does not
}

func (t temporary) Unwrap() error { return t.error }

// send sends a message, again and again while that may help.
func (n *Notifier) send(ctx context.Context, r Receiver, m message) error {
	pause := firstPause
	for attempt := 1; ; attempt++ {
		err := deliver(ctx, r, m, n.now())
		var t temporary
		if err == nil || !errors.As(err, &t) {
			return err
		}
		if attempt == attempts {
			return fmt.Errorf("%w; tried %d times", err, attempts)
		}
		if err := n.wait(ctx, min(max(pause, t.after), maxPause)); err != nil {
			return fmt.Errorf("%w; given up: %w", t, err)
		}
		pause *= 2
	}
}

func deliver(ctx context.Context, r Receiver, m message, now time.Time) error {
	switch {
	case r.Webhook != nil:
		return r.Webhook.deliver(ctx, m, now)
	case r.Slack != nil:
		return r.Slack.deliver(ctx, m)
	case r.Email != nil:
		return r.Email.deliver(ctx, m, now)
	}
	return errors.New("it has neither webhook, slack nor email")
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
