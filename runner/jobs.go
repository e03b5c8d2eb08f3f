package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/deskstorm/deskstorm/runner/history"
	"github.com/deskstorm/deskstorm/runner/schedule"
)

// stateKey is where the history keeps the states of all jobs.
const stateKey = "schedule"

// jobStates is a schedule.Store in the history, for all runners that share it.
type jobStates struct{ history *history.Store }

func (s jobStates) Load(ctx context.Context) (map[string]schedule.State, error) {
	text, err := s.history.Get(ctx, stateKey)
	if errors.Is(err, history.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return readStates(text)
}

func readStates(text []byte) (map[string]schedule.State, error) {
	states := map[string]schedule.State{}
	if text == nil {
		return states, nil
	}
	if err := json.Unmarshal(text, &states); err != nil {
		return nil, fmt.Errorf("reading the jobs' states in the history: %w", err)
	}
	return states, nil
}

var errOtherMark = errors.New("another runner was quicker")

func (s jobStates) Advance(ctx context.Context, job string, was, is schedule.Mark) (bool, error) {
	err := s.change(ctx, job, func(state *schedule.State) error {
		if !state.Equal(was) {
			return errOtherMark
		}
		state.Mark = is
		return nil
	})
	if errors.Is(err, errOtherMark) {
		return false, nil
	}
	return err == nil, err
}

func (s jobStates) SetPause(ctx context.Context, job string, p *schedule.Pause) error {
	return s.change(ctx, job, func(state *schedule.State) error { state.Pause = p; return nil })
}

func (s jobStates) change(ctx context.Context, job string, change func(*schedule.State) error) error {
	return s.history.Change(ctx, stateKey, func(text []byte) ([]byte, error) {
		states, err := readStates(text)
		if err != nil {
			return nil, err
		}
		state := states[job]
		if err := change(&state); err != nil {
			return nil, err
		}
		states[job] = state
		return json.Marshal(states)
	})
}

// leadTTL is after how long another runner leads when this one has died or hangs.
const leadTTL = 30 * time.Second

// leader is a schedule.Leader by a lease in the history.
type leader struct {
	history *history.Store
	log     *slog.Logger
}

func (l leader) Lead(ctx context.Context) (<-chan struct{}, func(), error) {
	lease, err := l.acquire(ctx)
	if err != nil {
		return nil, nil, err
	}
	keeping, stop := context.WithCancel(context.WithoutCancel(ctx))
	lost := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if !l.keep(keeping, lease) {
			close(lost)
		}
	}()
	return lost, func() {
		stop()
		<-ended
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := lease.Release(ctx); err != nil {
			l.log.Warn("the lead could not be given up; it ends by itself", "in", leadTTL, "error", err)
		}
	}, nil
}

// acquire waits until nobody else leads.
func (l leader) acquire(ctx context.Context) (*history.Lease, error) {
	told := ""
	for {
		lease, err := l.history.Lead(ctx, stateKey, leadTTL)
		var held *history.HeldError
		if !errors.As(err, &held) {
			return lease, err
		}
		if told != held.Holder {
			told = held.Holder
			l.log.Info("another runner leads; this one waits", "leader", held.Holder)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(min(held.Left, leadTTL/3) + 100*time.Millisecond):
		}
	}
}

// keep renews the lease until ctx ends. It returns false when the lead is lost: another has it, or the database did not answer for so
// long that another may.
func (l leader) keep(ctx context.Context, lease *history.Lease) bool {
	ticker := time.NewTicker(leadTTL / 5)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return true
		case <-ticker.C:
		}
		asking, cancel := context.WithDeadline(ctx, lease.Until)
		err := lease.Renew(asking)
		cancel()
		switch {
		case ctx.Err() != nil:
			return true
		case errors.Is(err, history.ErrLost), err != nil && time.Until(lease.Until) < time.Second:
			l.log.Warn("this runner no longer leads", "error", err)
			return false
		case err != nil:
			l.log.Warn("the lead could not be renewed", "error", err)
		}
	}
}
