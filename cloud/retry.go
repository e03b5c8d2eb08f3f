package cloud

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	firstBackoff = 200 * time.Millisecond
	maxBackoff   = 8 * time.Second

	// conflictRetries is how often a 409 is asked again: long enough for an object that another request holds just now,
	// short for a locked server, which looks the same and stays.
	conflictRetries = 3

	// maxAnswer bounds what is read of one answer, in bytes: a page of 1,000 servers is some 3 MB. maxRefusal bounds it when
	// the answer is an error.
	maxAnswer  = 32 << 20
	maxRefusal = 1 << 20
)

// call is the state of one exported call, which may take several requests.
type call struct {
	until   time.Time // no retry ends later
	retries atomic.Int32
}

type callKey struct{}

type onceKey struct{}

// once marks requests whose answer tells who did it: they are not repeated when it was lost.
func once(ctx context.Context) context.Context { return context.WithValue(ctx, onceKey{}, true) }

func withCall(ctx context.Context, c *call) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

// retrier repeats requests that were refused for a reason that passes. It is below gophercloud, which would only do so for
// 429, and knows no budget.
type retrier struct {
	next   http.RoundTripper
	budget *budget
	clock  clock
}

func (r *retrier) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	c, _ := ctx.Value(callKey{}).(*call)
	r.budget.request(r.clock.Now())
	for failed := 1; ; failed++ {
		resp, err := r.next.RoundTrip(req)
		wait, passes := pause(req, resp, err, failed, r.clock.Now())
		if !passes || c == nil || !r.allowed(ctx, c, wait) {
			if resp != nil {
				resp.Body = limit(resp)
			}
			return resp, err
		}
		if resp != nil {
			_, _ = io.CopyN(io.Discard, resp.Body, 1<<16) // so that the connection serves the next one
			_ = resp.Body.Close()
		}
		if err := r.clock.Sleep(ctx, wait); err != nil {
			return nil, err
		}
		c.retries.Add(1)
		if req, err = again(req); err != nil {
			return nil, err
		}
	}
}

// allowed prefers the cloud's refusal to a deadline that would say nothing about the cloud.
func (r *retrier) allowed(ctx context.Context, c *call, wait time.Duration) bool {
	then := r.clock.Now().Add(wait)
	if then.After(c.until) {
		return false
	}
	if deadline, ok := ctx.Deadline(); ok && then.After(deadline) {
		return false
	}
	return r.budget.retry(r.clock.Now())
}

// pause decides whether a request may be sent again, and when.
//
// 429 and 503 say that nothing was done (RFC 6585, section 4; RFC 9110, section 15.6.4), so anything may be repeated, as when
// no connection came about. When a connection broke half-way, something may have been done: only what may be done twice is
// repeated, and POST /servers is not. A 409 of an action means that the server is in the wrong state, which no repetition
// mends; a PUT or DELETE may have met another request on the same object, and is sent a few times more. (Placement's 409,
// an outdated generation in the body, would be neither: it asks for reading again, which is its caller's.)
func pause(req *http.Request, resp *http.Response, err error, failed int, now time.Time) (time.Duration, bool) {
	twice := false
	switch req.Method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete:
		twice = true
	}
	if err != nil {
		ctx := req.Context()
		return backoff(failed), ctx.Err() == nil && (notConnected(err) || twice && ctx.Value(onceKey{}) == nil && broken(err))
	}
	switch resp.StatusCode {
	case http.StatusConflict:
		return backoff(failed), twice && failed <= conflictRetries
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		// Added, not compared: clients that were all told the same second should not come together again.
		return retryAfter(resp.Header, now) + backoff(failed), true
	}
	return 0, false
}

// backoff doubles with each failure. Half of it is random.
func backoff(failed int) time.Duration {
	d := maxBackoff
	if failed < 7 {
		d = min(d, firstBackoff<<(failed-1))
	}
	return d/2 + rand.N(d/2)
}

// retryAfter reads the header's two forms, seconds and a date (RFC 9110, section 10.2.3).
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(0, date.Sub(now))
	}
	return 0
}

func notConnected(err error) bool {
	var op *net.OpError
	var name *net.DNSError
	if errors.As(err, &name) && name.IsNotFound {
		return false // a mistyped address
	}
	return errors.As(err, &op) && op.Op == "dial"
}

func broken(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE)
}

// again is the request with its body at the beginning.
func again(req *http.Request) (*http.Request, error) {
	next := req.Clone(req.Context())
	if req.Body == nil || req.Body == http.NoBody {
		return next, nil
	}
	if req.GetBody == nil {
		return nil, errors.New("the request cannot be sent twice")
	}
	var err error
	next.Body, err = req.GetBody()
	return next, err
}

// limitedBody ends an endless answer with an error.
type limitedBody struct {
	io.ReadCloser
	left int64
}

func limit(resp *http.Response) *limitedBody {
	if resp.StatusCode >= http.StatusBadRequest {
		return &limitedBody{resp.Body, maxRefusal}
	}
	return &limitedBody{resp.Body, maxAnswer}
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errors.New("the answer is too long to be one")
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
