package vdi

import (
	"github.com/grafana/sobek"
)

// promise runs work beside the event loop. What it returns is made JavaScript's
// on the loop, where alone that is allowed: a value by convert, an error by
// scriptError.
func promise[T any](i *instance, work func() (T, error), convert func(T) sobek.Value) *sobek.Promise {
	rt := i.vu.Runtime()
	p, resolve, reject := rt.NewPromise()
	enqueue := i.vu.RegisterCallback()
	go func() {
		v, err := work()
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
