package vdi

import (
	"errors"

	"github.com/grafana/sobek"
	"go.k6.io/k6/v2/metrics"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/broker/client/console"
)

// kindOf sorts an error into the few classes that scripts and metrics decide
// on.
func kindOf(err error) string {
	if errors.Is(err, errStopped) {
		return "stopped"
	}
	return console.Kind(err)
}

// failureTags are a failure's class and, where it has one, its step.
func failureTags(tags *metrics.TagSet, err error) *metrics.TagSet {
	tags = tags.With("class", kindOf(err))
	if step := console.Step(err); step != "" {
		tags = tags.With("step", step)
	}
	return tags
}

// scriptError is a JavaScript Error with the error's kind and, where a login or
// a connect failed, the step and the request's id in the other side's log.
func scriptError(rt *sobek.Runtime, err error) sobek.Value {
	e := rt.NewGoError(err)
	set := func(name, value string) {
		if value == "" {
			return
		}
		if err := e.Set(name, value); err != nil {
			panic(err) // A new object takes any property.
		}
	}
	set("kind", kindOf(err))
	set("step", console.Step(err))
	var way *client.Error
	if errors.As(err, &way) {
		set("requestId", way.RequestID)
	}
	return e
}
