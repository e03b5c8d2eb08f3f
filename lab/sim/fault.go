package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Fault is what goes wrong with requests to the APIs, and with which. It needs at least one of Status, Cut, Delay and Hang.
type Fault struct {
	Service string // "keystone", "nova", "placement", "glance" or "neutron"; empty: all
	Method  string // empty: all
	Path    string // within the service, as path.Match has it, such as "/v2.1/servers/*"; empty: all

	Delay      time.Duration // before the answer
	Hang       bool          // no answer until undo, or until the client gives up; then the request goes on
	Status     int           // answer this, 400 to 599, in the service's own form, instead of doing it; 0: do it
	Cut        bool          // cut the connection instead of an answer
	RetryAfter time.Duration // with Status: the header Retry-After, in whole seconds

	Skip        int     // so many requests first are left alone
	Times       int     // so many are hit then; 0: all until undo
	Probability float64 // of those, from more than 0 to 1, by the lab's seed; 0: 1
}

func (f Fault) check() error {
	switch _, err := path.Match(f.Path, ""); {
	case err != nil:
		return fmt.Errorf("its path %q: %w", f.Path, err)
	case f.Status == 0 && !f.Cut && f.Delay <= 0 && !f.Hang:
		return errors.New("it has no status, no delay, and neither cuts nor hangs")
	case f.Status != 0 && (f.Status < 400 || f.Status > 599):
		return fmt.Errorf("status %d is no error, 400 to 599", f.Status)
	case f.Probability < 0 || f.Probability > 1 || f.Skip < 0 || f.Times < 0 || f.Delay < 0 || f.RetryAfter < 0:
		return errors.New("a probability is from 0 to 1, and nothing is negative")
	}
	return nil
}

// Inject makes requests go wrong until undo. Faults add up: delays one after another, the first status is the answer.
func (l *Lab) Inject(f Fault) (undo func(), err error) {
	if err := f.check(); err != nil {
		return nil, fmt.Errorf("injecting a fault: %w", err)
	}
	return l.front.faults.inject(f), nil
}

type faults struct {
	mu     sync.Mutex
	random *rand.Rand
	active []*activeFault
	ended  chan struct{} // closed when the lab closes
}

type activeFault struct {
	Fault
	skipped, hit int
	undone       chan struct{}
}

func newFaults(seed uint64) *faults {
	return &faults{random: rand.New(rand.NewPCG(seed, 1)), ended: make(chan struct{})}
}

func (f *faults) inject(fault Fault) (undo func()) {
	a := &activeFault{Fault: fault, undone: make(chan struct{})}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.active = append(f.active, a)
	return sync.OnceFunc(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.active = slices.DeleteFunc(f.active, func(o *activeFault) bool { return o == a })
		close(a.undone)
	})
}

// hitting are the faults that a request meets.
func (f *faults) hitting(service string, r *http.Request) []*activeFault {
	f.mu.Lock()
	defer f.mu.Unlock()
	var hits []*activeFault
	for _, a := range f.active {
		if a.Service != "" && a.Service != service || a.Method != "" && a.Method != r.Method {
			continue
		}
		if a.Path != "" {
			if ok, _ := path.Match(a.Path, r.URL.Path); !ok {
				continue
			}
		}
		if a.skipped < a.Skip {
			a.skipped++
			continue
		}
		if a.Times > 0 && a.hit == a.Times || a.Probability > 0 && f.random.Float64() >= a.Probability {
			continue
		}
		a.hit++
		hits = append(hits, a)
	}
	return hits
}

// apply lets a request wait as long as its faults want, and returns the status to answer it with; 0 is none.
func (f *faults) apply(service string, w http.ResponseWriter, r *http.Request) (status int) {
	for _, a := range f.hitting(service, r) {
		if a.Hang {
			f.wait(r, a.undone, nil)
		}
		if a.Delay > 0 {
			t := time.NewTimer(a.Delay)
			f.wait(r, a.undone, t.C)
			t.Stop()
		}
		if a.Cut {
			panic(http.ErrAbortHandler) // net/http's way to cut a connection
		}
		if status == 0 && a.Status != 0 {
			status = a.Status
			if a.RetryAfter > 0 {
				w.Header().Set("Retry-After", strconv.Itoa(int(a.RetryAfter.Seconds())))
			}
		}
	}
	return status
}

// wait ends when one of its channels does; it cuts the connection when the client has given up, or the lab ends.
func (f *faults) wait(r *http.Request, undone <-chan struct{}, timer <-chan time.Time) {
	if err := holdBody(r); err != nil {
		panic(http.ErrAbortHandler)
	}
	select {
	case <-undone:
	case <-timer:
	case <-r.Context().Done():
		panic(http.ErrAbortHandler)
	case <-f.ended:
		panic(http.ErrAbortHandler)
	}
}

// holdBody reads a request's body for later: net/http notices that a client has gone only when nothing of it is unread.
func holdBody(r *http.Request) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxHeldBody))
	r.Body = io.NopCloser(bytes.NewReader(body))
	return err
}

// maxHeldBody is more than any service takes.
const maxHeldBody = 1 << 20

// close lets go of all who wait.
func (f *faults) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.ended:
	default:
		close(f.ended)
	}
}

// LoseBuilds makes servers that are scheduled to a host, or to any if its name is empty, stay in BUILD for ever, as they do when the
// message to build them is lost: so many of them, or if times is 0 all until undo. Those that were lost stay lost. The error is for a
// host that there is not.
func (l *Lab) LoseBuilds(host string, times int) (undo func(), err error) {
	return l.Nova.LoseBuilds(host, times)
}

// KillDesktop ends a server's SPICE server; Nova goes on to say ACTIVE, and where it was. undo boots the desktop again, on a
// port of its own, and returns when it listens; on a host that is down it does nothing. The error is that it could not, or did not until
// the context ended: then it goes on, and a further call waits for it.
func (l *Lab) KillDesktop(serverID string) (undo func(context.Context) error, err error) {
	return l.Nova.KillDesktop(serverID)
}

// RefuseConsoles makes requests for a server's console, or for all if serverID is empty, fail with a status of HTTP until undo.
func (l *Lab) RefuseConsoles(serverID string, status int) (undo func()) {
	return l.Nova.RefuseConsoles(serverID, status)
}

// ExpireTokens makes all tokens issued so far invalid.
func (l *Lab) ExpireTokens() { l.Keystone.ExpireTokens() }

// SetTokenLifetime sets how long tokens are valid that are issued from now on, until undo.
func (l *Lab) SetTokenLifetime(d time.Duration) (undo func()) {
	before := l.Keystone.SetLifetime(d)
	return sync.OnceFunc(func() { l.Keystone.SetLifetime(before) })
}
