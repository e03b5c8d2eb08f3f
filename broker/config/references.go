package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/deskstorm/deskstorm/broker/allocator"
)

// references checks what sections say of each other, and makes the allocators of it.
func (r *reader) references(c Config, rules []allocator.Allocator, def *allocator.Allocator) *allocator.Set {
	pools := map[string]bool{}
	var names []string
	for i, p := range c.Pools {
		if pools[p.Name] {
			r.Wrong(r.Node(fmt.Sprintf("$.pools[%d].name", i)), "%s is another pool's name already", p.Name)
			continue
		}
		pools[p.Name] = true
		names = append(names, p.Name)
	}
	pool := func(path, name string) {
		if !pools[name] {
			r.Wrong(r.Node(path), "expected a pool of this file (%s), found %q", strings.Join(names, ", "), name)
		}
	}
	for i, a := range rules {
		pool(fmt.Sprintf("$.allocators[%d].pool", i), a.Pool)
	}
	if def != nil {
		pool("$.default.pool", def.Pool)
	}

	set, err := allocator.New(rules, def)
	for _, err := range parts(err) {
		var rule *allocator.RuleError
		path := "$"
		if errors.As(err, &rule) && rule.Field != "" {
			path, err = "$.default."+rule.Field, rule.Err
			if rule.Rule >= 0 {
				path = fmt.Sprintf("$.allocators[%d].%s", rule.Rule, rule.Field)
			}
		}
		r.Wrong(r.Node(path), "%v", err)
	}
	return set
}

// parts are the errors that were joined.
func parts(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err != nil {
		return []error{err}
	}
	return nil
}
