package cloud

import (
	"context"
	"fmt"
)

// Lazy logs in to a cloud when it is first needed, and again later if that failed: for a program that starts while the cloud is
// down. Its method may be called by many goroutines at once.
type Lazy struct {
	config  Config
	connect func(context.Context, Config) (*Cloud, error)
	turn    chan struct{} // holds one token; who takes it may look at made
	made    *Cloud
}

// NewLazy connects to nobody yet; connect is Connect or Login.
func NewLazy(config Config, connect func(context.Context, Config) (*Cloud, error)) *Lazy {
	l := &Lazy{config: config, connect: connect, turn: make(chan struct{}, 1)}
	l.turn <- struct{}{}
	return l
}

// Cloud returns the Cloud, which is the same for all.
func (l *Lazy) Cloud(ctx context.Context) (*Cloud, error) {
	select {
	case <-l.turn:
		defer func() { l.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the login to %s: %w", l.config, context.Cause(ctx))
	}
	if l.made != nil {
		return l.made, nil
	}
	c, err := l.connect(ctx, l.config)
	if err == nil {
		l.made = c
	}
	return c, err
}
