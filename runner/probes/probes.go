// Package probes is the native probes, and the native actions on desktops that are no faults: what an experiment asks of
// Prometheus, the broker, the cloud, the networks' DHCP and the message bus, and of the aggregates of its own run.
//
// What a probe finds is its value, also where that is bad news: a tolerance judges it. An error is that it could not ask.
package probes

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/runner/native"
	"github.com/deskstorm/deskstorm/runner/record"
)

// Env is what the probes of one run work with. The zero Env is for a table that only describes.
type Env struct {
	Config   Config
	Recorder *record.Recorder // of the run; nil: a table that only describes
	Ledger   Ledger           // of the resources that the run makes; nil: it makes none
	Run      string           // its ID, which is on all that it makes
}

// Table is the native probes and actions of this package.
func Table(env Env) []native.Function {
	p := &prober{Env: env}
	table := slices.Concat(p.prometheus(), p.slo(), p.login(), p.broker(), p.dhcp(), p.rabbitmq(), p.cloud(), p.servers())
	for i := range table {
		f := &table[i]
		if f.Kind == native.Probe {
			f.Parameters = append(f.Parameters, native.Parameter{Name: fieldName, Type: native.Text,
				Doc: "the part of the answer that is its value, with dots on the way, such as timings_ms.total; absent: all of it"})
			f.Run = field(f.Run)
		}
		f.Verify = p.verify(f.Name)
		if env.Recorder == nil {
			f.Run, f.Plan, f.Verify = nil, nil, nil
		}
	}
	return table
}

// prober is an Env and what its probes share.
type prober struct {
	Env
	clouds lazyClouds
	making making
}

const fieldName = "field"

// field narrows a probe's value to a part of it, so that a tolerance can be a range.
func field(run func(context.Context, native.Arguments) (any, error)) func(context.Context, native.Arguments) (any, error) {
	return func(ctx context.Context, a native.Arguments) (any, error) {
		value, err := run(ctx, a)
		path := a.Text(fieldName, "")
		if err != nil || path == "" {
			return value, err
		}
		text, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("finding the field %s: %w", path, err)
		}
		var part any
		if err := json.Unmarshal(text, &part); err != nil {
			return nil, fmt.Errorf("finding the field %s: %w", path, err)
		}
		whole, _ := part.(map[string]any)
		said, _ := whole["error"].(string) // of a login that failed
		kind, _ := whole["kind"].(string)
		for name := range strings.SplitSeq(path, ".") {
			m, _ := part.(map[string]any)
			next, ok := m[name]
			if !ok && said != "" {
				return nil, fmt.Errorf("there is no %s, because of this (%s): %.400s", path, kind, said)
			}
			if !ok {
				return nil, native.Wrong(fieldName, "there is no %q on the way of %s in the answer %.400s", name, path, text)
			}
			part = next
		}
		return part, nil
	}
}

// missing is that the configuration lacks a section.
func missing(function, section string) error {
	return fmt.Errorf("%s needs the section %s of the configuration, which is not there", function, section)
}

// named picks one of those that the configuration lists; without a name the only one.
func named[T any](what string, all []T, name string, nameOf func(T) string) (T, error) {
	var names []string
	for _, one := range all {
		if nameOf(one) == name || name == "" && len(all) == 1 {
			return one, nil
		}
		names = append(names, nameOf(one))
	}
	var none T
	if name == "" {
		return none, fmt.Errorf("which %s? The configuration has %s", what, strings.Join(names, ", "))
	}
	return none, fmt.Errorf("there is no %s %q in the configuration; it has %s", what, name, strings.Join(names, ", "))
}

// milliseconds as the Chaos Toolkit's journal and package results have durations.
func milliseconds(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}

// lazyClouds log in when a probe first needs them.
type lazyClouds struct {
	mutex              sync.Mutex
	patient, impatient *cloud.Lazy
}
