package vdi

import (
	"context"
	"errors"
	"fmt"

	"github.com/grafana/sobek"
)

// errStopped is what a call ends with that k6 cut short.
var errStopped = errors.New("k6 ended the iteration or the test")

// promise runs work beside the event loop, with the iteration's context. What
// it returns is made JavaScript's on the loop, where alone that is allowed: a
// value by convert, an error by scriptError.
func promise[T any](i *instance, work func(context.Context) (T, error), convert func(T) sobek.Value) *sobek.Promise {
	iteration := i.vu.Context()
	rt := i.vu.Runtime()
	p, resolve, reject := rt.NewPromise()
	enqueue := i.vu.RegisterCallback()
	go func() {
		v, err := work(iteration)
		if err != nil && iteration.Err() != nil {
			// The context ends with a deadline of k6's as well as by an
			// interrupt; neither is the desktop's.
			err = fmt.Errorf("%w: %w", errStopped, err)
		}
		enqueue(func() error {
			if err != nil {
				return reject(scriptError(rt, err))
			}
			return resolve(convert(v))
		})
	}()
	return p
}

// none is the result of what only succeeds.
type none struct{}

func undefined(none) sobek.Value { return sobek.Undefined() }
