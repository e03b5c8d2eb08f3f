package schedule

import (
	"context"
	"fmt"
	"maps"
)

const othersStates = "what other runners have done"

// Look reads the states anew while another runner leads, at most each few seconds: what that one has run, and what others pause, is shown
// here, too. While this one leads it knows them; an answer that overtakes its own accounting would have a run begun twice.
func (s *Scheduler) Look(ctx context.Context) {
	s.asking.Lock()
	defer s.asking.Unlock()
	now := s.clock.Steady()
	if s.leading || s.looked != 0 && now-s.looked < look {
		return
	}
	s.looked = now
	s.well(othersStates, s.read(ctx))
}

func (s *Scheduler) load(ctx context.Context) error {
	s.asking.Lock()
	defer s.asking.Unlock()
	return s.read(ctx)
}

// read is load with asking held.
func (s *Scheduler) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	states, err := s.options.Store.Load(ctx)
	if err != nil {
		return fmt.Errorf("reading what is known of the jobs: %w", err)
	}
	if states == nil {
		states = map[string]State{} // a store that knows no job yet
	}
	s.mutex.Lock()
	s.states = maps.Clone(states)
	s.mutex.Unlock()
	return nil
}

func (s *Scheduler) advance(ctx context.Context, job string, was, is Mark) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	first, err := s.options.Store.Advance(ctx, job, was, is)
	if err != nil {
		return false, fmt.Errorf("accounting for a run of %s, which is not started before that: %w", job, err)
	}
	if first {
		s.mutex.Lock()
		state := s.states[job]
		state.Mark = is
		s.states[job] = state
		s.mutex.Unlock()
	}
	return first, nil
}

// well notes how something that is tried again and again went, and says whether it went well.
func (s *Scheduler) well(about string, err error) bool {
	if err != nil {
		s.inTrouble(about, err)
		return false
	}
	s.mutex.Lock()
	delete(s.trouble, about)
	s.mutex.Unlock()
	return true
}

// inTrouble logs an error; the same one again is not.
func (s *Scheduler) inTrouble(about string, err error) {
	s.mutex.Lock()
	again := s.trouble[about] == err.Error()
	s.trouble[about] = err.Error()
	s.troubles++
	s.mutex.Unlock()
	if !again {
		s.log.Error("the schedule is in trouble", "about", about, "error", err)
	}
}
