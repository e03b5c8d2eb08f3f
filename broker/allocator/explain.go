package allocator

import (
	"fmt"
	"strings"
)

// Reason says for one rule why it matches a request or not.
type Reason struct {
	Allocator string
	Matches   bool
	Serves    bool   // it is the first that matches
	Why       string // for people; short; names the conditions that failed, or those that hold
}

func (r Reason) String() string {
	switch {
	case r.Serves:
		return fmt.Sprintf("%s serves: %s", r.Allocator, r.Why)
	case r.Matches:
		return fmt.Sprintf("%s matches too, later: %s", r.Allocator, r.Why)
	}
	return fmt.Sprintf("%s does not match: %s", r.Allocator, r.Why)
}

// Explain goes through all rules in their order, the default last.
func (s *Set) Explain(r Request) []Reason {
	f := factsOf(r)
	reasons := make([]Reason, 0, len(s.rules))
	served := false
	for _, rule := range s.rules {
		why, matches := rule.why(f)
		reasons = append(reasons, Reason{Allocator: rule.allocator.Name, Matches: matches, Serves: matches && !served, Why: why})
		served = served || matches
	}
	return reasons
}

func (r *rule) why(f facts) (string, bool) {
	var held, failed []string
	for _, c := range r.conditions {
		if c.holds(f) {
			held = append(held, c.want)
		} else if found := c.found(f); found != "" {
			failed = append(failed, fmt.Sprintf("wants %s, has %s", c.want, found))
		} else {
			failed = append(failed, "wants "+c.want)
		}
	}
	switch {
	case len(failed) > 0:
		return strings.Join(failed, "; "), false
	case len(held) > 0:
		return strings.Join(held, ", "), true
	}
	return "everybody", true
}
