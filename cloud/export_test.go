package cloud

import (
	"context"
	"sync"
	"time"
)

// FakeClock sleeps in no time, and remembers for how long.
type FakeClock struct {
	mu   sync.Mutex
	now  time.Time
	Naps []time.Duration
}

// WithFakeClock lets a Config, and what As makes of it, live in a time of its own.
func WithFakeClock(c Config) *FakeClock {
	f := &FakeClock{now: time.Now()}
	c.shared.clock = f
	return f
}

func (f *FakeClock) Now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *FakeClock) Sleep(ctx context.Context, d time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Naps = append(f.Naps, d)
	f.now = f.now.Add(d)
	return ctx.Err()
}

// Slept is the sum of all naps.
func (f *FakeClock) Slept() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	var sum time.Duration
	for _, nap := range f.Naps {
		sum += nap
	}
	return sum
}

// Credentials shows what a Config was read as.
func Credentials(c Config) (user, password, domain, project, projectDomain, secret string) {
	a := c.auth()
	first := func(values ...string) string {
		for _, v := range values {
			if v != "" {
				return v
			}
		}
		return ""
	}
	if a.Scope != nil {
		project = first(a.Scope.ProjectID, a.Scope.ProjectName)
		projectDomain = first(a.Scope.DomainID, a.Scope.DomainName)
	}
	return first(a.UserID, a.Username, a.ApplicationCredentialID), a.Password, first(a.DomainID, a.DomainName), project,
		projectDomain, a.ApplicationCredentialSecret
}

func AuthURL(c Config) string { return c.auth().IdentityEndpoint }
