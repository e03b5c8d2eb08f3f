package spice

import "context"

// ScrollLock is the light as the server told it when the session was opened.
func (s *Session) ScrollLock(ctx context.Context) (bool, error) {
	if _, err := await(ctx, s, s.locks.ready); err != nil {
		return false, err
	}
	s.locks.mu.Lock()
	defer s.locks.mu.Unlock()
	return s.locks.light, nil
}
