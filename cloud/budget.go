package cloud

import (
	"sync"
	"time"
)

// The budget that all calls of a Config's Clouds share. However many callers there are, retries add at most a fifth to what
// they ask, plus one a second so that a quiet program may retry, too, plus a burst.
const (
	retriesPerRequest = 0.2
	retriesPerSecond  = 1.0
	retryBurst        = 20.0
)

// budget is a bucket of retries. Its zero value is full.
type budget struct {
	mu    sync.Mutex
	spent float64 // of retryBurst
	at    time.Time
}

// request pays in for a request that is no retry.
func (b *budget) request(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refill(now)
	b.spent = max(0, b.spent-retriesPerRequest)
}

// retry takes one retry out, if there is one.
func (b *budget) retry(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refill(now)
	if b.spent+1 > retryBurst {
		return false
	}
	b.spent++
	return true
}

func (b *budget) refill(now time.Time) {
	if passed := now.Sub(b.at).Seconds(); passed > 0 {
		b.spent = max(0, b.spent-passed*retriesPerSecond)
		b.at = now
	}
}
