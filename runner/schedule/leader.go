package schedule

import "context"

// Leader sees to it that of several runners that share a database one alone starts runs.
type Leader interface {
	// Lead waits until this runner leads. Lost is closed when it does no more, through no will of its own; release gives the lead to
	// another, and is called once in any case. The error says why it cannot be known; Lead is called again then.
	Lead(ctx context.Context) (lost <-chan struct{}, release func(), err error)
}

// Alone is the Leader of a runner that shares nothing.
type Alone struct{}

// Lead leads.
func (Alone) Lead(context.Context) (lost <-chan struct{}, release func(), err error) {
	return nil, func() {}, nil
}
