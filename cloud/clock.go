package cloud

import (
	"context"
	"time"
)

// clock is time as the retries see it; tests have their own.
type clock interface {
	Now() time.Time
	// Sleep returns the context's error when that ends first.
	Sleep(context.Context, time.Duration) error
}

type realClock struct{}

func (realClock) Now() time.Time { return time.Now() }

func (realClock) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
