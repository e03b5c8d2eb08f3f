package directory

import (
	"slices"
	"strings"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// inChain is LDAP_MATCHING_RULE_IN_CHAIN, [MS-ADTS] section 3.1.1.3.4.4.3.
const inChain = "1.2.840.113556.1.4.1941"

// search returns the entries that match, sorted by key; false if there is no such base.
func (t *tree) search(base string, scope int, filter *ber.Packet) ([]*entry, bool) {
	top := key(base)
	if t.entries[top] == nil {
		return nil, false
	}
	var found []*entry
	look := func(e *entry) {
		if inScope(e, top, scope) && t.matches(e, filter) {
			found = append(found, e)
		}
	}
	if scope == ldap.ScopeBaseObject {
		look(t.entries[top])
	} else if few, ok := t.candidates(filter); ok {
		for _, e := range few {
			look(e)
		}
	} else {
		for _, e := range t.entries {
			look(e)
		}
	}
	slices.SortFunc(found, func(a, b *entry) int { return strings.Compare(a.key, b.key) })
	return slices.Compact(found), true
}

func inScope(e *entry, top string, scope int) bool {
	switch scope {
	case ldap.ScopeBaseObject:
		return e.key == top
	case ldap.ScopeSingleLevel:
		return e.parent == top
	}
	return e.key == top || strings.HasSuffix(e.key, ","+top)
}

// candidates returns entries of which none that matches is missing, if the index knows them.
func (t *tree) candidates(filter *ber.Packet) ([]*entry, bool) {
	switch filter.Tag {
	case ldap.FilterEqualityMatch:
		if name := text(filter.Children[0]); indexed(name) {
			return t.index[indexKey(name, fold(name, text(filter.Children[1])))], true
		}
	case ldap.FilterAnd:
		for _, child := range filter.Children {
			if few, ok := t.candidates(child); ok {
				return few, true
			}
		}
	case ldap.FilterOr:
		var all []*entry
		for _, child := range filter.Children {
			few, ok := t.candidates(child)
			if !ok {
				return nil, false
			}
			all = append(all, few...)
		}
		return all, true
	}
	return nil, false
}

// matches evaluates a filter as the LDAP library compiles it (RFC 4511 section 4.5.1.7). Ordering is that of strings, and
// what is approximately equal is equal.
func (t *tree) matches(e *entry, filter *ber.Packet) bool {
	switch filter.Tag {
	case ldap.FilterAnd:
		return !slices.ContainsFunc(filter.Children, func(f *ber.Packet) bool { return !t.matches(e, f) })
	case ldap.FilterOr:
		return slices.ContainsFunc(filter.Children, func(f *ber.Packet) bool { return t.matches(e, f) })
	case ldap.FilterNot:
		return !t.matches(e, filter.Children[0])
	case ldap.FilterPresent:
		return len(e.get(text(filter)).values) > 0
	case ldap.FilterExtensibleMatch:
		return t.matchesRule(e, filter)
	}
	name := text(filter.Children[0])
	if filter.Tag == ldap.FilterSubstrings {
		return slices.ContainsFunc(e.get(name).folded, func(value string) bool {
			return matchesParts(value, filter.Children[1].Children)
		})
	}
	want := fold(name, text(filter.Children[1]))
	return slices.ContainsFunc(e.get(name).folded, func(value string) bool {
		switch filter.Tag {
		case ldap.FilterGreaterOrEqual:
			return value >= want
		case ldap.FilterLessOrEqual:
			return value <= want
		}
		return value == want
	})
}

func matchesParts(value string, parts []*ber.Packet) bool {
	for _, part := range parts {
		want := strings.ToLower(text(part))
		switch part.Tag {
		case ldap.FilterSubstringsInitial:
			if !strings.HasPrefix(value, want) {
				return false
			}
			value = value[len(want):]
		case ldap.FilterSubstringsFinal:
			return strings.HasSuffix(value, want)
		default:
			_, after, found := strings.Cut(value, want)
			if !found {
				return false
			}
			value = after
		}
	}
	return true
}

// matchesRule evaluates Active Directory's rule that finds groups by members of any depth; no entry matches another rule.
func (t *tree) matchesRule(e *entry, filter *ber.Packet) bool {
	var rule, name, value string
	for _, child := range filter.Children {
		switch child.Tag {
		case ldap.MatchingRuleAssertionMatchingRule:
			rule = text(child)
		case ldap.MatchingRuleAssertionType:
			name = text(child)
		case ldap.MatchingRuleAssertionMatchValue:
			value = text(child)
		}
	}
	if rule != inChain || !strings.EqualFold(name, "member") {
		return false
	}
	seen := map[*entry]bool{}
	for above := t.index[indexKey(name, fold(name, value))]; len(above) > 0; {
		var next []*entry
		for _, g := range above {
			if !seen[g] {
				seen[g] = true
				next = append(next, t.index[indexKey(name, g.key)]...)
			}
		}
		above = next
	}
	return seen[e]
}

func text(p *ber.Packet) string { return ber.DecodeString(p.Data.Bytes()) }
