// Package allocator decides which pool serves a login: rules in priority order, each on the user's groups and organizational
// units and on the login's tags, seat and site. The first rule that matches serves, else the default does. It does no I/O.
//
// Groups and organizational units come from the directory. Tags, seat, thin client and site are what the thin client says of
// itself: a rule that gives something that not everybody may have needs a group or an organizational unit too.
package allocator

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/broker/directory"
	"github.com/deskstorm/deskstorm/broker/store"
)

// Allocator is a rule: who matches it gets a desktop of its pool, bound as it says.
type Allocator struct {
	Name string
	// Priority orders the rules, the lowest number first, as routing rules and mail exchangers are ordered. No two rules
	// have the same one. The default's is not read.
	Priority int
	Match    Match // empty in the default alone
	Pool     string
	// Bind is what the desktop is bound to. A rule that binds to a seat or a thin client does not match a login that names
	// none; neither does a default.
	Bind store.BindingKind
}

// Match says whom a rule matches: every condition given must hold, and any value of a list is enough for its condition.
type Match struct {
	// Groups and OUs compare as a directory compares names (caseIgnoreMatch, RFC 4517, 4.2.11): regardless of case and of
	// spaces at the ends, several spaces in between being one.
	Groups []string
	OUs    []string
	Tags   map[string]string // every one must be there with this very value
	Seats  []string          // patterns of path.Match, such as "N2-*"
	Sites  []string          // spelled exactly so
}

// Request is what the rules decide on.
type Request struct {
	User  directory.User
	Login client.Login
}

// Set is rules in their order. Its methods may be called by many goroutines at once.
type Set struct {
	rules []rule // the default is the last
}

// RuleError is a mistake in a rule.
type RuleError struct {
	Rule  int    // the rule's place in what New was given; -1: the default
	Name  string // the rule's; may be empty
	Field string // "name", "priority", "pool", "bind", "match", "match.tag.KEY", or "match.seat[0]" and alike; empty: no rule at all
	Err   error
}

func (e *RuleError) Error() string {
	switch {
	case e.Field == "":
		return e.Err.Error()
	case e.Rule < 0:
		return fmt.Sprintf("default allocator: %s: %v", e.Field, e.Err)
	}
	return fmt.Sprintf("allocator %d (%q): %s: %v", e.Rule+1, e.Name, e.Field, e.Err)
}

func (e *RuleError) Unwrap() error { return e.Err }

// New takes the rules in any order, and the default, which may be nil. It keeps no reference to them. Its error joins a
// *RuleError for each mistake.
func New(allocators []Allocator, def *Allocator) (*Set, error) {
	var mistakes []error
	names, priorities := map[string]int{}, map[int]int{}
	s := &Set{}
	for i, a := range allocators {
		wrong := func(field, format string, args ...any) {
			mistakes = append(mistakes, &RuleError{Rule: i, Name: a.Name, Field: field, Err: fmt.Errorf(format, args...)})
		}
		if first, ok := names[a.Name]; ok {
			wrong("name", "is allocator %d's too; give each its own", first+1)
		} else {
			names[a.Name] = i
		}
		if first, ok := priorities[a.Priority]; ok {
			wrong("priority", "%d is allocator %d's too (%q), so that neither is first; give each its own",
				a.Priority, first+1, allocators[first].Name)
		} else {
			priorities[a.Priority] = i
		}
		if a.Match.empty() {
			wrong("match", "has no condition; a rule for everybody is the default, and one for every seat has the seat \"*\"")
		}
		a.check(wrong)
		s.rules = append(s.rules, compile(a))
	}
	slices.SortStableFunc(s.rules, func(a, b rule) int { return cmp.Compare(a.allocator.Priority, b.allocator.Priority) })

	if def != nil {
		wrong := func(field, format string, args ...any) {
			mistakes = append(mistakes, &RuleError{Rule: -1, Name: def.Name, Field: field, Err: fmt.Errorf(format, args...)})
		}
		if first, ok := names[def.Name]; ok {
			wrong("name", "%q is allocator %d's too; give each its own", def.Name, first+1)
		}
		if !def.Match.empty() {
			wrong("match", "has conditions; the default serves everybody whom no allocator matches")
		}
		def.check(wrong)
		s.rules = append(s.rules, compile(*def))
	}
	if len(s.rules) == 0 {
		mistakes = append(mistakes, &RuleError{Rule: -1,
			Err: errors.New("no allocators and no default: nobody would get a desktop")})
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	return s, nil
}

// check looks at a rule by itself.
func (a *Allocator) check(wrong func(field, format string, args ...any)) {
	if a.Name == "" {
		wrong("name", "is empty")
	}
	if a.Pool == "" {
		wrong("pool", "is empty")
	}
	kinds := []store.BindingKind{store.BindUser, store.BindSeat, store.BindThinClient, store.BindSession}
	if !slices.Contains(kinds, a.Bind) {
		wrong("bind", "is %q, must be user, seat, thin_client or session", a.Bind)
	}
	for _, list := range []struct {
		field  string
		values []string
	}{{"group", a.Match.Groups}, {"ou", a.Match.OUs}, {"seat", a.Match.Seats}, {"site", a.Match.Sites}} {
		for i, value := range list.values {
			if strings.TrimSpace(value) == "" {
				wrong(fmt.Sprintf("match.%s[%d]", list.field, i), "is empty")
			}
		}
	}
	for key, value := range a.Match.Tags {
		if key == "" || value == "" {
			wrong("match.tag."+key, "a tag needs a name and a value")
		}
	}
	for i, seat := range a.Match.Seats {
		if _, err := path.Match(seat, ""); err != nil {
			wrong(fmt.Sprintf("match.seat[%d]", i), "%q is no pattern: * is any text, ? one character, [a-z] a range", seat)
		}
	}
}

func (m *Match) empty() bool {
	return len(m.Groups) == 0 && len(m.OUs) == 0 && len(m.Tags) == 0 && len(m.Seats) == 0 && len(m.Sites) == 0
}

// Choose returns the first allocator that matches, else the default; false: there is none.
func (s *Set) Choose(r Request) (Allocator, bool) {
	f := factsOf(r)
	for _, rule := range s.rules {
		if rule.matches(f) {
			return rule.allocator, true
		}
	}
	return Allocator{}, false
}
